"""Registration, guests, and what becomes of them."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.chat import ChatMessage
from service.domain.errors import (
    BadCredentials,
    Forbidden,
    NotFound,
    RateLimited,
    Unauthorized,
    UsernameTaken,
    ValidationFailed,
)
from service.usecases.accounts import GUEST_LIFE, LoggedIn, Registration
from tests.core.checker import check_money
from tests.core.support import SettableClock, accounts_with, ask, at_once, kinds, wallet

PASSWORD = "correct horse"
HERE = "192.0.2.1"


def register(container: Container, username: str | None = "Anna", **fields: object) -> LoggedIn:
    registration = Registration(password=PASSWORD, username=username, **fields)
    return container.accounts.register(registration, address=HERE)


def actor_of(logged_in: LoggedIn) -> Actor:
    account = logged_in.account
    return Actor(account_id=account.id, role=account.role, request_id="r", login_id=logged_in.login.id, address=HERE)


def recognised(container: Container, logged_in: LoggedIn) -> bool:
    """Whether this login's access token would be taken now."""
    account = logged_in.account
    try:
        return container.accounts.recognise(account.id, logged_in.login.id, account.token_version).id == account.id
    except Unauthorized:
        return False


def test_a_new_account_has_its_names_a_wallet_and_its_grant(container: Container, db: Database) -> None:
    fields = {"email": "anna@example.com", "first_name": "Anna", "last_name": "K", "locale": "ru"}
    account = register(container, **fields).account

    stored = container.accounts.me(Actor(account_id=account.id, role=Role.USER, request_id="r"))
    assert (stored.username, stored.email, stored.first_name, stored.last_name) == ("Anna", *list(fields.values())[:3])
    assert (stored.locale, stored.plan, stored.role, stored.blocked) == ("ru", "FREE", Role.USER, False)
    (entry,) = db.ledger.find({"account_id": account.id})
    assert (entry["_id"], entry["kind"], entry["amount"]) == (f"{account.id}:signup", "signup", 100_000)
    assert db.accounts.find_one({"_id": account.id})["password_hash"].startswith("$argon2id$")
    check_money(db)


@pytest.mark.parametrize("name", ["anna", "ANNA", " Ａｎｎａ ", "anna@example.com", "ANNA@Example.com"])
def test_a_name_is_known_in_every_case_and_width(container: Container, db: Database, name: str) -> None:
    account = register(container, email="Anna@Example.com").account
    assert container.accounts.log_in(name, PASSWORD, address=HERE).account.id == account.id


@pytest.mark.parametrize("name", ["anna", "ANNA", "Ａｎｎａ", "ａNNA "])
def test_a_name_is_taken_in_every_case_and_width(container: Container, db: Database, name: str) -> None:
    register(container)
    with pytest.raises(UsernameTaken):
        register(container, name)
    assert db.accounts.count_documents({}) == db.wallets.count_documents({}) == 1
    check_money(db)


def test_an_email_is_taken_too_by_a_name_that_looks_like_it(container: Container, db: Database) -> None:
    register(container, None, email="anna@example.com")
    for taken in ({"username": "ANNA@example.com"}, {"username": "other", "email": "Anna@Example.COM"}):
        with pytest.raises(UsernameTaken):
            register(container, **taken)
    assert register(container, "other").account.username == "other", "a refused registration leaves no name behind"


def test_of_parallel_registrations_of_a_name_one_wins(container: Container, db: Database) -> None:
    names = ["Анна", "анна", "АННА"] * 4
    results = at_once([partial(register, container, name) for name in names])
    assert kinds(results) == {"LoggedIn": 1, "UsernameTaken": len(names) - 1}
    assert db.accounts.count_documents({}) == db.wallets.count_documents({}) == 1
    check_money(db)


@pytest.mark.parametrize(
    "registration",
    [
        Registration(password=PASSWORD),
        Registration(password=PASSWORD, username="ab"),
        Registration(password=PASSWORD, username="аdmin"),
        Registration(password="short", username="anna"),
        Registration(password="x" * 129, username="anna"),
    ],
    ids=["no name", "short name", "mixed scripts", "short password", "long password"],
)
def test_a_bad_registration_is_refused(container: Container, db: Database, registration: Registration) -> None:
    with pytest.raises(ValidationFailed):
        container.accounts.register(registration, address=HERE)
    assert db.accounts.count_documents({}) == 0


def test_an_admin_is_created_once(container: Container, db: Database) -> None:
    assert container.accounts.create_admin("Root", PASSWORD)
    assert not container.accounts.create_admin("ROOT", "another password")
    account = container.accounts.log_in("root", PASSWORD, address=HERE).account
    assert account.role is Role.ADMIN
    assert db.ledger.count_documents({}) == 0


def test_an_admin_is_created_once_by_all_who_start_at_once(container: Container, db: Database) -> None:
    created = at_once([partial(container.accounts.create_admin, "root", PASSWORD)] * 6)
    assert sorted(created) == [False] * 5 + [True]
    assert db.accounts.count_documents({}) == 1


def test_signups_are_limited_by_address(container: Container, db: Database) -> None:
    accounts = accounts_with(container, signups_per_hour_and_address=2)
    accounts.register(Registration(password=PASSWORD, username="anna"), address=HERE)
    accounts.guest_login(address=HERE, locale=None)
    for act in (
        lambda: accounts.register(Registration(password=PASSWORD, username="bob"), address=HERE),
        lambda: accounts.guest_login(address=HERE, locale=None),
    ):
        with pytest.raises(RateLimited) as refused:
            act()
        assert 0 < refused.value.retry_after_seconds <= 3_600
    accounts.guest_login(address="192.0.2.2", locale=None)


def test_a_bad_registration_does_not_count_as_a_signup(container: Container, db: Database) -> None:
    accounts = accounts_with(container, signups_per_hour_and_address=1)
    for _ in range(3):
        with pytest.raises(ValidationFailed):
            accounts.register(Registration(password="short", username="anna"), address=HERE)
    accounts.register(Registration(password=PASSWORD, username="anna"), address=HERE)


def test_a_guest_has_an_allowance_and_no_name(container: Container, db: Database) -> None:
    guests = [container.accounts.guest_login(address=HERE, locale="fr") for _ in range(3)]
    for guest in guests:
        assert (guest.account.role, guest.account.username, guest.account.locale) == (Role.GUEST, None, "fr")
        assert wallet(container, actor_of(guest)) == (5_000, 0)
        assert recognised(container, guest)
    with pytest.raises(BadCredentials):
        container.accounts.log_in(guests[0].account.id, "", address=HERE)
    with pytest.raises(BadCredentials):
        container.accounts.change_password(actor_of(guests[0]), "", PASSWORD)
    check_money(db)


def test_guests_may_be_forbidden(container: Container, db: Database) -> None:
    with pytest.raises(Forbidden):
        accounts_with(container, allow_guests=False).guest_login(address=HERE, locale=None)
    assert db.accounts.count_documents({}) == 0


def test_a_guests_life_ends(container: Container, db: Database) -> None:
    clock = SettableClock()
    accounts = accounts_with(container, clock)
    guest = accounts.guest_login(address=HERE, locale=None)
    identity = (guest.account.id, guest.login.id, guest.account.token_version)
    assert guest.login.expires_at == guest.account.expires_at == clock.time + GUEST_LIFE

    clock.time += GUEST_LIFE - timedelta(seconds=1)
    assert accounts.recognise(*identity).id == guest.account.id
    renewed = accounts.refresh(guest.account.id, guest.login.id, guest.login.refresh_id, 0)
    assert renewed.login.expires_at == accounts.recognise(*identity).expires_at, "a refresh doesn't prolong a life"

    clock.time += timedelta(seconds=1)
    with pytest.raises(Unauthorized):
        accounts.recognise(*identity)
    with pytest.raises(Unauthorized):
        accounts.refresh(guest.account.id, guest.login.id, renewed.login.refresh_id, 0)


def test_a_guest_who_registers_keeps_history_and_balance(
    container: Container, db: Database, upstream: UpstreamControl
) -> None:
    clock = SettableClock()
    accounts = accounts_with(container, clock)
    guest = accounts.guest_login(address=HERE, locale=None)
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    job = ask(container, actor_of(guest))

    registration = Registration(password=PASSWORD, username="Anna", first_name="Anna", locale="ru")
    registered = accounts.register(registration, address=HERE, guest=actor_of(guest))

    actor = actor_of(registered)
    assert registered.account.id == guest.account.id
    assert wallet(container, actor) == (5_000 - 38 + 100_000, 0)
    assert container.contexts.get(actor, None) == (ChatMessage("user", "ping"), ChatMessage("assistant", "pong"))
    assert container.jobs.get(actor, job.id).answer == "pong"
    stored = accounts.me(actor)
    assert (stored.role, stored.username, stored.expires_at, stored.locale) == (Role.USER, "Anna", None, "ru")
    assert abs(stored.created_at - guest.account.created_at) < timedelta(milliseconds=1)
    clock.time += 2 * GUEST_LIFE
    assert accounts.recognise(guest.account.id, guest.login.id, 0).role is Role.USER, "its login goes on"
    assert accounts.log_in("anna", PASSWORD, address=HERE).account.id == guest.account.id
    check_money(db)


def test_a_guest_registers_once(container: Container, db: Database) -> None:
    guest = actor_of(container.accounts.guest_login(address=HERE, locale=None))
    names = [f"anna-{number}" for number in range(6)]
    results = at_once(
        [
            partial(container.accounts.register, Registration(password=PASSWORD, username=n), address=HERE, guest=guest)
            for n in names
        ]
    )
    assert kinds(results) == {"LoggedIn": 1, "Unauthorized": 5}
    assert wallet(container, guest) == (105_000, 0)
    check_money(db)


def test_a_guest_who_wants_a_taken_name_stays_a_guest(container: Container, db: Database) -> None:
    register(container)
    guest = actor_of(container.accounts.guest_login(address=HERE, locale=None))
    with pytest.raises(UsernameTaken):
        container.accounts.register(Registration(password=PASSWORD, username="ANNA"), address=HERE, guest=guest)
    assert container.accounts.me(guest).role is Role.GUEST
    assert wallet(container, guest) == (5_000, 0)
    check_money(db)


def test_a_blocked_guest_stays_blocked_when_it_registers(container: Container, db: Database) -> None:
    guest = container.accounts.guest_login(address=HERE, locale=None)
    db.accounts.update_one({"_id": guest.account.id}, {"$set": {"blocked": True}})
    container.accounts.register(Registration(password=PASSWORD, username="anna"), address=HERE, guest=actor_of(guest))
    assert db.accounts.find_one({"_id": guest.account.id})["blocked"] is True


def test_whoever_is_registered_gets_another_account_by_registering(container: Container, db: Database) -> None:
    first = register(container)
    second = container.accounts.register(
        Registration(password=PASSWORD, username="bob"), address=HERE, guest=actor_of(first)
    )
    assert second.account.id != first.account.id
    check_money(db)


def test_nobody_is_not_found(container: Container, db: Database) -> None:
    with pytest.raises(NotFound):
        container.accounts.me(Actor(account_id="nobody", role=Role.USER, request_id="r"))


def test_the_last_visit_is_remembered_once_a_minute(container: Container, db: Database) -> None:
    anna = register(container)
    assert recognised(container, anna)
    first = db.accounts.find_one({"_id": anna.account.id})["last_seen_at"]
    assert recognised(container, anna)
    assert db.accounts.find_one({"_id": anna.account.id})["last_seen_at"] == first

    db.accounts.update_one({"_id": anna.account.id}, {"$set": {"last_seen_at": first - timedelta(seconds=61)}})
    assert recognised(container, replace(anna))
    assert db.accounts.find_one({"_id": anna.account.id})["last_seen_at"] >= first
