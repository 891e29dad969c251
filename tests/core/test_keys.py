"""API keys: what is stored, who may make and end them, and when one is recognised."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pymongo.database import Database

from service.adapters.mongo.keys import MongoKeys
from service.bootstrap import Container
from service.domain.accounts import Role
from service.domain.errors import AccountBlocked, Forbidden, NotFound, Unauthorized, ValidationFailed
from service.domain.keys import Scope, hash_secret
from service.usecases.keys import MAX_KEYS, KeyService, NewKey
from service.usecases.ports import KeyQuery
from tests.core.support import ROOT, NewActor, SettableClock, at_once, new_key, program_of

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def keys(container: Container, db: Database, clock: SettableClock) -> KeyService:
    real = container.keys
    return KeyService(
        keys=real._keys, accounts=real._accounts, catalog=real._catalog, auditor=real._auditor, clock=clock
    )


def test_a_changed_key_is_what_it_was_otherwise(container: Container, db: Database, new_actor: NewActor) -> None:
    anna = new_actor()
    issued = new_key(container, anna, wait_seconds=5, callback_hosts=["a.example.com"], max_open_jobs=3)
    keys, key_id = container.keys, issued.key.id
    changes = {"name": "renamed", "wait_seconds": None, "callback_hosts": ["B.example.com", "b.example.com"]}
    changes |= {"requests_per_minute": 7, "assistant": "tutor", "part_characters": 500, "locale": "fr"}
    changed = keys.change(anna, key_id, changes, timedelta(days=1))
    assert changed == replace(
        issued.key,
        name="renamed",
        wait_seconds=None,
        callback_hosts=("b.example.com",),
        requests_per_minute=7,
        assistant="tutor",
        part_characters=500,
        locale="fr",
        expires_at=changed.expires_at,
        last_used_at=changed.last_used_at,
    )
    assert changed.expires_at is not None
    assert keys.recognise(issued.secret).key.name == "renamed"
    assert keys.change(anna, key_id, {}, None).name == "renamed"
    for stranger in (new_actor(), ROOT):
        with pytest.raises(Forbidden):
            keys.change(stranger, key_id, {"name": "mine"}, None)
    for wrong in ({"assistant": "nobody"}, {"callback_hosts": ["127.0.0.1"]}):
        with pytest.raises(ValidationFailed):
            keys.change(anna, key_id, wrong, None)
    keys.revoke(anna, key_id)
    with pytest.raises(NotFound):
        keys.change(anna, key_id, {"name": "late"}, None)


def test_an_owner_keeps_or_drops_a_granted_scope_but_takes_none(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    granted = new_key(container, anna, scopes=[Scope.CHAT, Scope.BILLING_TOPUP]).key
    kept = container.keys.change(anna, granted.id, {"scopes": [Scope.BOT, Scope.BILLING_TOPUP]}, None)
    assert kept.scopes == (Scope.BILLING_TOPUP, Scope.BOT)
    assert container.keys.change(anna, granted.id, {"scopes": [Scope.BOT]}, None).scopes == (Scope.BOT,)
    with pytest.raises(Forbidden):
        container.keys.change(anna, granted.id, {"scopes": [Scope.BILLING_TOPUP]}, None)


def test_a_secret_is_recognised_and_not_stored(keys: KeyService, db: Database, new_actor: NewActor) -> None:
    anna = new_actor()
    issued = keys.create(anna, NewKey(name="program", scopes=[Scope.CONTEXT, Scope.CHAT, Scope.CHAT], wait_seconds=25))
    found = keys.recognise(issued.secret)
    assert (found.key.id, found.account.id) == (issued.key.id, anna.account_id)
    assert (found.key.scopes, found.key.wait_seconds) == ((Scope.CHAT, Scope.CONTEXT), 25)
    stored = str(db.keys.find_one())
    assert issued.secret not in stored
    assert issued.secret[10:] not in stored
    assert hash_secret(issued.secret) in stored
    assert issued.secret.startswith(found.key.prefix)
    assert hash_secret(issued.secret) not in repr(found)


def test_no_two_secrets_are_alike(keys: KeyService, new_actor: NewActor) -> None:
    anna = new_actor()
    issued = [keys.create(anna, NewKey(name="program")) for _ in range(10)]
    assert len({each.secret for each in issued}) == len({each.key.namespace for each in issued}) == 10
    assert {len(each.secret) for each in issued} == {46}


@pytest.mark.parametrize("text", ["", "tm_", "tm_" + "x" * 43, "x" * 46, "tm_" + "é" * 43, "tm_" + "\ud800" * 43, "{}"])
def test_what_is_no_key_is_refused(keys: KeyService, text: str) -> None:
    with pytest.raises(Unauthorized):
        keys.recognise(text)


def test_a_hash_is_no_secret(keys: KeyService, new_actor: NewActor) -> None:
    issued = keys.create(new_actor(), NewKey(name="program"))
    for guess in (hash_secret(issued.secret), issued.key.prefix, issued.key.id, issued.secret[:-1] + "!"):
        with pytest.raises(Unauthorized):
            keys.recognise(guess)


def test_an_expired_key_is_refused_until_it_is_renewed(
    keys: KeyService, clock: SettableClock, new_actor: NewActor
) -> None:
    anna = new_actor()
    issued = keys.create(anna, NewKey(name="program", life=timedelta(days=1)))
    clock.time += timedelta(days=1) - timedelta(seconds=1)
    keys.recognise(issued.secret)
    clock.time += timedelta(seconds=1)
    with pytest.raises(Unauthorized):
        keys.recognise(issued.secret)
    with pytest.raises(Unauthorized):
        keys.recognise(keys.rotate(anna, issued.key.id, HOUR, None).secret)
    renewed = keys.rotate(anna, issued.key.id, HOUR, timedelta(days=2))
    assert keys.recognise(renewed.secret).key.expires_at is not None


def test_a_rotated_key_has_two_secrets_for_a_while(keys: KeyService, clock: SettableClock, new_actor: NewActor) -> None:
    anna = new_actor()
    first = keys.create(anna, NewKey(name="program"))
    second = keys.rotate(anna, first.key.id, HOUR, None)
    for secret in (first.secret, second.secret):
        found = keys.recognise(secret)
        assert (found.key.id, found.key.namespace) == (first.key.id, first.key.namespace)
        assert found.key.prefix == second.secret[:10]
    clock.time += HOUR
    keys.recognise(second.secret)
    with pytest.raises(Unauthorized):
        keys.recognise(first.secret)


def test_a_rotation_without_overlap_ends_the_old_secret_at_once(keys: KeyService, new_actor: NewActor) -> None:
    anna = new_actor()
    first = keys.create(anna, NewKey(name="program"))
    second = keys.rotate(anna, first.key.id, timedelta(), None)
    with pytest.raises(Unauthorized):
        keys.recognise(first.secret)
    third = keys.rotate(anna, first.key.id, HOUR, None)
    keys.recognise(second.secret)
    keys.recognise(third.secret)
    with pytest.raises(Unauthorized):
        keys.recognise(first.secret)


def test_rotations_at_once_leave_two_valid_secrets(keys: KeyService, db: Database, new_actor: NewActor) -> None:
    anna = new_actor()
    first = keys.create(anna, NewKey(name="program"))
    issued = at_once([lambda: keys.rotate(anna, first.key.id, HOUR, None)] * 6)
    valid = []
    for each in issued:
        try:
            valid.append(keys.recognise(each.secret))
        except Unauthorized:
            continue
    assert len(valid) == 2
    assert len(db.keys.find_one()["secrets"]) == 2


def test_a_revoked_key_is_over_for_good(keys: KeyService, new_actor: NewActor) -> None:
    anna = new_actor()
    issued = keys.create(anna, NewKey(name="program"))
    assert keys.revoke(anna, issued.key.id).revoked_at is not None
    with pytest.raises(Unauthorized):
        keys.recognise(issued.secret)
    for again in (
        lambda: keys.rotate(anna, issued.key.id, HOUR, None),
        lambda: keys.revoke(anna, issued.key.id),
        lambda: keys.grant(ROOT, issued.key.id, [Scope.CHAT]),
        lambda: keys.revoke_any(ROOT, issued.key.id),
    ):
        with pytest.raises(NotFound):
            again()
    assert keys.own(anna) == []


def test_a_blocked_account_blocks_its_keys(container: Container, keys: KeyService, new_actor: NewActor) -> None:
    anna = new_actor()
    issued = keys.create(anna, NewKey(name="program"))
    container.admin.set_blocked(ROOT, anna.account_id, True)
    with pytest.raises(AccountBlocked):
        keys.recognise(issued.secret)


def test_use_is_remembered(keys: KeyService, new_actor: NewActor) -> None:
    anna = new_actor()
    issued = keys.create(anna, NewKey(name="program"))
    assert keys.own(anna)[0].last_used_at is None
    keys.recognise(issued.secret)
    assert keys.own(anna)[0].last_used_at is not None


def test_only_an_admin_grants_topping_up(keys: KeyService, new_actor: NewActor) -> None:
    anna, admin = new_actor(), new_actor(role=Role.ADMIN)
    with pytest.raises(Forbidden):
        keys.create(anna, NewKey(name="program", scopes=[Scope.CHAT, Scope.BILLING_TOPUP]))
    assert keys.create(admin, NewKey(name="program", scopes=[Scope.BILLING_TOPUP])).key.scopes == (Scope.BILLING_TOPUP,)
    issued = keys.create(anna, NewKey(name="program"))
    with pytest.raises(Forbidden):
        keys.grant(anna, issued.key.id, list(Scope))
    with pytest.raises(Forbidden):
        keys.grant(new_actor(role=Role.SUPPORT), issued.key.id, list(Scope))
    assert keys.grant(admin, issued.key.id, list(Scope)).scopes == tuple(Scope)
    assert Scope.BILLING_TOPUP in keys.recognise(issued.secret).key.scopes


def test_a_key_has_no_role(keys: KeyService, container: Container, new_actor: NewActor) -> None:
    admin = new_actor(role=Role.ADMIN)
    program = replace(program_of(keys.create(admin, NewKey(name="program"))), role=Role.ADMIN)
    assert not program.is_admin
    assert not program.is_staff
    with pytest.raises(Forbidden):
        keys.overview(program, KeyQuery())
    with pytest.raises(Forbidden):
        keys.create(program, NewKey(name="program", scopes=[Scope.BILLING_TOPUP]))


@pytest.mark.parametrize("role", [Role.GUEST, Role.END_USER])
def test_guests_and_end_users_have_no_keys(keys: KeyService, new_actor: NewActor, role: Role) -> None:
    with pytest.raises(Forbidden):
        keys.create(new_actor(role=role), NewKey(name="program"))


def test_somebody_elses_key_is_nobodys_to_change(keys: KeyService, new_actor: NewActor) -> None:
    issued = keys.create(new_actor(), NewKey(name="program"))
    for actor in (new_actor(), new_actor(role=Role.SUPPORT), ROOT):
        with pytest.raises(Forbidden):
            keys.rotate(actor, issued.key.id, HOUR, None)
        with pytest.raises(Forbidden):
            keys.revoke(actor, issued.key.id)
    keys.recognise(issued.secret)


def test_staff_sees_every_key_and_an_admin_revokes_one(
    keys: KeyService, container: Container, db: Database, new_actor: NewActor
) -> None:
    anna, ben, support = new_actor(), new_actor(), new_actor(role=Role.SUPPORT)
    issued = [keys.create(actor, NewKey(name="program")) for actor in (anna, anna, ben)]
    keys.revoke(anna, issued[0].key.id)
    first = keys.overview(support, KeyQuery(limit=2))
    second = keys.overview(support, KeyQuery(cursor=first.next_cursor, limit=2))
    assert {key.id for key in first.items + second.items} == {each.key.id for each in issued}
    assert [key.id for key in keys.overview(support, KeyQuery(account_id=ben.account_id)).items] == [issued[2].key.id]
    for refused in (anna, support):
        with pytest.raises(Forbidden):
            keys.revoke_any(refused, issued[2].key.id)
    keys.revoke_any(ROOT, issued[2].key.id)
    with pytest.raises(Unauthorized):
        keys.recognise(issued[2].secret)
    line = container.admin.audit_trail(ROOT, ben.account_id, None, 10).items[0]
    assert (line.action, line.details) == ("key.revoke", {"key_id": issued[2].key.id})


@pytest.mark.parametrize(
    ("host", "stored"),
    [
        ("Bot.Example.com", "bot.example.com"),
        ("a.b.c.example.com.", "a.b.c.example.com"),
        ("xn--e1afmkfd.xn--p1ai", ""),
    ],
)
def test_hosts_are_kept_in_one_form(keys: KeyService, new_actor: NewActor, host: str, stored: str) -> None:
    issued = keys.create(new_actor(), NewKey(name="program", callback_hosts=[host, host.upper()]))
    assert issued.key.callback_hosts == (stored or host,)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "::1",
        "https://example.com",
        "example.com:443",
        "example.com/path",
        "user@example.com",
        "*.example.com",
        "-a.example.com",
        "a-.example.com",
        "a..example.com",
        "exa mple.com",
        "exam\nple.com",
        "пример.рф",
        "a" * 64 + ".com",
        ".".join(["a" * 60] * 5) + ".com",
    ],
)
def test_what_is_no_host_name_is_refused(keys: KeyService, new_actor: NewActor, host: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        keys.create(new_actor(), NewKey(name="program", callback_hosts=[host]))
    assert refused.value.details == {"callbackHosts": ["not_host_name"]}


def test_an_unknown_assistant_is_refused(keys: KeyService, new_actor: NewActor) -> None:
    with pytest.raises(ValidationFailed):
        keys.create(new_actor(), NewKey(name="program", assistant="nobody"))
    assert keys.create(new_actor(), NewKey(name="program", assistant="coach")).key.assistant == "coach"


def test_an_account_has_so_many_keys(keys: KeyService, new_actor: NewActor) -> None:
    anna = new_actor()
    issued = [keys.create(anna, NewKey(name="program")) for _ in range(MAX_KEYS)]
    with pytest.raises(ValidationFailed):
        keys.create(anna, NewKey(name="program"))
    keys.revoke(anna, issued[0].key.id)
    keys.create(anna, NewKey(name="program"))


def test_a_granted_scope_survives_a_rotation(container: Container, keys: KeyService, new_actor: NewActor) -> None:
    anna = new_actor()
    issued = new_key(container, anna)
    assert keys.recognise(keys.rotate(anna, issued.key.id, HOUR, None).secret).key.scopes == tuple(Scope)


def test_a_scope_that_was_taken_away_meanwhile_does_not_come_back(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    owner = new_actor()
    key_id = new_key(container, owner).key.id
    container.keys.grant(ROOT, key_id, (Scope.CHAT, Scope.BILLING_TOPUP))
    seen = MongoKeys().get(key_id)
    container.keys.grant(ROOT, key_id, (Scope.CHAT,))

    assert MongoKeys().change(seen, {"scopes": seen.scopes}) is None
    with pytest.raises(Forbidden):
        container.keys.change(owner, key_id, {"scopes": seen.scopes}, None)

    assert MongoKeys().get(key_id).scopes == (Scope.CHAT,)
