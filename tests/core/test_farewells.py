"""Deleting an account: what ends at once, what is erased, and what stays in the books."""

from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.billing import Unit, extra_wallet_id, monthly_wallet_id
from service.domain.errors import (
    BadCredentials,
    Forbidden,
    NotFound,
    ServiceError,
    TooManyAttempts,
    Unauthorized,
    Unavailable,
    ValidationFailed,
)
from service.domain.jobs import JobStatus
from service.domain.links import hash_code
from service.usecases import erase
from service.usecases.places import NewSession
from service.usecases.ports import UserQuery
from tests.core.checker import check_money
from tests.core.erasing import everything, long_ago
from tests.core.paying import start
from tests.core.support import (
    ROOT,
    NewActor,
    ask,
    at_once,
    kinds,
    new_key,
    program_of,
    set_balance,
    submit,
)
from tests.core.test_accounts import HERE, PASSWORD, actor_of, recognised, register

SECRET = "tamarisk"


def rest_erased(container: Container, db: Database) -> None:
    """Upkeep, until there is nothing left to erase and nothing can come any more."""
    for _ in range(30):
        long_ago(db)
        container.erase()
        if not db.erasures.count_documents({}):
            return
    raise AssertionError(list(db.erasures.find()))


def test_an_account_leaves_with_all_that_it_said_and_had(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    login = register(container, SECRET, email=f"{SECRET}@example.com", first_name=SECRET, last_name=SECRET)
    actor = actor_of(login)
    set_balance(container, actor, 1_000_000)
    upstream.rule(contains="say", answer=SECRET)
    ask(container, actor, f"say {SECRET}")
    ask(container, actor, SECRET, place=NewSession(title=SECRET))
    ask(container, actor, SECRET, stream=True)
    queued = submit(container, actor, SECRET)
    issued = new_key(container, actor, name=SECRET)
    bot = program_of(issued)
    container.billing.top_up(bot, "4242", 100_000, None)
    ask(container, bot, SECRET, user_id="4242")
    endpoint = container.webhooks.create(actor, {"url": f"https://example.com/{SECRET}"})
    container.webhooks.test(actor, endpoint.id, {"a": SECRET})
    container.tracks.create(actor, None, {"title": SECRET})
    other = program_of(new_key(container, new_actor()))
    container.links.confirm(other, "7", container.links.issue(actor).code)
    ask(container, other, SECRET, user_id="7")
    of_account = {"account_id": actor.account_id}
    ledger = db.ledger.count_documents(of_account)

    container.farewells.leave(actor, PASSWORD)

    assert not recognised(container, login)
    with pytest.raises(Unauthorized):
        container.keys.recognise(issued.secret)
    with pytest.raises(BadCredentials):
        container.accounts.log_in(SECRET, PASSWORD, address=HERE)
    assert db.accounts.count_documents({"linked_account_id": actor.account_id}) == 0
    assert db.endpoints.count_documents({}) == 0
    register(container, SECRET, email=f"{SECRET}@example.com")
    db.accounts.delete_many({"username": SECRET})
    rest_erased(container, db)
    assert SECRET not in everything(db)
    assert container.run._jobs.get(queued.id).status is JobStatus.CANCELLED  # type: ignore[union-attr]
    assert db.jobs.count_documents({"erased_at": None}) == 0
    assert db.ledger.count_documents(of_account) == ledger + 1
    assert db.accounts.count_documents({"key_id": issued.key.id}) == 0
    assert db.keys.count_documents({"account_id": actor.account_id}) == 0
    assert db.audit.count_documents({"action": "account.delete", "actor_id": actor.account_id, "outcome": "done"}) == 1
    # The bot's user is its program's again.
    container.billing.top_up(other, "7", 10_000, None)
    assert ask(container, other, "hello", user_id="7").account_id != actor.account_id
    check_money(db)


def test_only_with_the_password(container: Container, db: Database) -> None:
    login = register(container)
    actor = actor_of(login)
    with pytest.raises(ValidationFailed):
        container.farewells.leave(actor, None)
    with pytest.raises(BadCredentials):
        container.farewells.leave(actor, "wrong")
    for _ in range(15):
        with pytest.raises((BadCredentials, TooManyAttempts)):
            container.farewells.leave(actor, "wrong")
    with pytest.raises(TooManyAttempts):
        container.farewells.leave(actor, PASSWORD)
    assert recognised(container, login)


def test_a_guest_leaves_without_one(container: Container, db: Database) -> None:
    login = container.accounts.guest_login(address=HERE, locale=None)
    container.farewells.leave(actor_of(login), None)
    assert not recognised(container, login)
    rest_erased(container, db)
    check_money(db)


def test_guests_whose_time_is_over_are_erased(container: Container, db: Database, upstream: UpstreamControl) -> None:
    logins = [container.accounts.guest_login(address=HERE, locale=None) for _ in range(3)]
    for login in logins:
        set_balance(container, actor_of(login), 10_000)
        ask(container, actor_of(login), SECRET)
    late, adopted, young = (login.account.id for login in logins)
    earlier = datetime.now(UTC) - timedelta(seconds=1)
    db.accounts.update_many({"_id": {"$ne": young}}, {"$set": {"expires_at": earlier}})
    db.accounts.update_one({"_id": adopted}, {"$set": {"role": "user"}})

    container.upkeep()

    assert {row["_id"] for row in db.accounts.find()} == {adopted, young}
    rest_erased(container, db)
    assert db.jobs.count_documents({"account_id": late, "erased_at": None}) == 0
    assert db.jobs.count_documents({"account_id": {"$in": [adopted, young]}, "erased_at": None}) == 2
    assert container.run._jobs.get(db.jobs.find_one({"account_id": late})["_id"]).erased_at  # type: ignore[index,union-attr]
    check_money(db)


def test_the_last_admin_stays(container: Container, db: Database, processes: list[Container]) -> None:
    for name in ("first", "second"):
        assert container.accounts.create_admin(name, PASSWORD)
    actors = [actor_of(container.accounts.log_in(name, PASSWORD, address=HERE)) for name in ("first", "second")]
    results = at_once(
        [
            lambda a=actor, p=process: p.farewells.leave(a, PASSWORD)
            for actor, process in zip(actors, processes, strict=False)
        ]
    )
    assert kinds(results) == {"NoneType": 1, "ValidationFailed": 1}
    (refused,) = [result for result in results if isinstance(result, ServiceError)]
    assert refused.details == {"userId": ["last_admin"]}
    assert db.accounts.count_documents({"role": "admin"}) == 1


def test_two_admins_do_not_dismiss_each_other(container: Container, db: Database, processes: list[Container]) -> None:
    for name in ("first", "second"):
        assert container.accounts.create_admin(name, PASSWORD)
    first, second = (actor_of(container.accounts.log_in(name, PASSWORD, address=HERE)) for name in ("first", "second"))
    at_once(
        [
            lambda: processes[0].farewells.dismiss(first, second.account_id),
            lambda: processes[1].farewells.dismiss(second, first.account_id),
        ]
    )
    assert db.accounts.count_documents({"role": "admin"}) == 1


def test_admins_delete_others_and_not_themselves(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor, admin = new_actor(), new_actor(role=Role.ADMIN)
    ask(container, actor, SECRET)
    for who in (actor, new_actor(role=Role.SUPPORT)):
        with pytest.raises(Forbidden):
            container.farewells.dismiss(who, actor.account_id)
    with pytest.raises(ValidationFailed):
        container.farewells.dismiss(admin, admin.account_id)
    container.farewells.dismiss(admin, actor.account_id)
    with pytest.raises(NotFound):
        container.farewells.dismiss(admin, actor.account_id)
    with pytest.raises(NotFound):
        container.admin.user(ROOT, actor.account_id)
    assert container.admin.users(ROOT, UserQuery(sort="balance"))[1] >= 1
    rest_erased(container, db)
    assert SECRET not in everything(db)
    check_money(db)


def test_a_deleted_end_user_may_come_back_when_all_is_erased(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    bot = program_of(new_key(container, new_actor()))
    container.billing.top_up(bot, "4242", 100_000, None)
    job = ask(container, bot, SECRET, user_id="4242")
    container.farewells.dismiss(ROOT, job.account_id)
    with pytest.raises(Unavailable):
        submit(container, bot, "hello", user_id="4242")
    rest_erased(container, db)
    again = ask(container, bot, "hello", user_id="4242")
    assert (again.account_id, again.status) == (job.account_id, JobStatus.SUCCEEDED)
    assert [message.content for message in again.prompt[1:]] == ["hello"]
    assert SECRET not in everything(db)
    check_money(db)


def test_a_question_that_was_being_accepted_when_its_account_left(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor: Actor = new_actor()
    container.erase.account(actor.account_id)
    job = submit(container, actor, SECRET)
    rest_erased(container, db)
    assert container.run._jobs.get(job.id).status is JobStatus.CANCELLED  # type: ignore[union-attr]
    assert SECRET not in everything(db)
    assert db.sessions.count_documents({}) == 0
    check_money(db)


def test_the_list_by_balance_has_no_holes_where_accounts_left(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    gone, stays = [register(container, name) for name in ("ann", "bob", "carl")], register(container, "dora")
    for login in gone:
        set_balance(container, actor_of(login), 5)
        container.farewells.leave(actor_of(login), PASSWORD)
    set_balance(container, actor_of(stays), 10)
    for sort in ("balance", "-balance"):
        users, _ = container.admin.users(ROOT, UserQuery(sort=sort, limit=1))
        assert [user.account.username for user in users] == ["dora"]


def test_one_who_comes_back_is_in_the_list_again(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    bot = program_of(new_key(container, new_actor(0)))
    container.billing.top_up(bot, "4242", 100_000, None)
    container.farewells.dismiss(ROOT, bot.owner("4242"))
    rest_erased(container, db)
    container.billing.top_up(bot, "4242", 5, None)
    users, _ = container.admin.users(ROOT, UserQuery(sort="-balance", limit=1))
    assert [user.wallet.available for user in users] == [100_005]


def test_credits_that_are_paid_when_the_account_has_left_are_in_the_books(shop: Container, db: Database) -> None:
    """Else nobody could give the money back."""
    actor = actor_of(register(shop, "ann"))
    payment = start(shop, actor, tokens=5, unit=Unit.CREDITS)
    shop.farewells.leave(actor, PASSWORD)
    rest_erased(shop, db)
    shop.paying.payments._steps.credit_by_hand(payment, "system", None)
    assert db.payments.find_one({"_id": payment.id})["status"] == "succeeded"  # type: ignore[index]
    assert db.credits.find_one({"_id": extra_wallet_id(actor.account_id)})["available"] == 5  # type: ignore[index]
    assert db.credits.find_one({"_id": monthly_wallet_id(actor.account_id)})["available"] == 0  # type: ignore[index]
    check_money(db)


def test_nobody_is_linked_who_has_just_left(container: Container, db: Database, new_actor: NewActor) -> None:
    vera, bot = new_actor(1_000), program_of(new_key(container, new_actor()))
    container.billing.top_up(bot, "4242", 500, None)
    code = container.links._links.code(hash_code(container.links.issue(vera).code, container.links._secret))
    assert code is not None
    container.farewells.dismiss(ROOT, bot.owner("4242"))
    with pytest.raises(NotFound):
        container.links._links.link(bot.owner("4242"), code, "link", "test")
    rest_erased(container, db)
    assert container.billing.top_up(bot, "4242", 5, None).available == 505
    check_money(db)


def test_a_password_is_not_changed_of_one_who_has_just_left(container: Container, db: Database) -> None:
    actor = actor_of(register(container, "ann"))
    login = container.accounts._login(container.accounts.me(actor), "login")
    container.farewells.leave(actor, PASSWORD)
    with pytest.raises(Unauthorized):
        container.accounts._accounts.set_password(actor.account_id, "hash", login)


def test_an_account_with_many_sessions_is_erased_by_one_entry(
    container: Container, db: Database, upstream: UpstreamControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One for each session would be hours of others' waiting."""
    monkeypatch.setattr(erase, "MESSAGES_BATCH", 2)
    monkeypatch.setattr(erase, "SESSIONS_BATCH", 2)
    actor = actor_of(register(container, "ann"))
    set_balance(container, actor, 1_000_000)
    for _ in range(3):
        job = ask(container, actor, SECRET, place=NewSession())
        ask(container, actor, SECRET, chat_id=job.chat_id)
    container.farewells.leave(actor, PASSWORD)
    assert db.messages.count_documents({}) == 12 - 2
    assert db.sessions.count_documents({}) == 3, "while something was said in it, it is found"
    container.upkeep()
    assert (db.sessions.count_documents({}), db.messages.count_documents({}), db.chats.count_documents({})) == (0, 0, 0)
    assert [row["kind"] for row in db.erasures.find()] == ["account"]
    assert SECRET not in everything(db)
    check_money(db)


def test_a_guest_who_cannot_be_deleted_keeps_nobody_elses_from_being_erased(
    container: Container, db: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = container.accounts.guest_login(address=HERE, locale=None).account.id
    db.accounts.update_one({"_id": guest}, {"$set": {"expires_at": datetime.now(UTC) - timedelta(hours=1)}})
    actor = new_actor()
    session = container.dialogs.create(actor, None, "api", NewSession()).session
    container.erase._erasures.begin(session, "successor")
    long_ago(db)

    def broken(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(container.erase._accounts, "begin", broken)
    container.erase()
    assert db.erasures.count_documents({}) == 0
    assert db.accounts.count_documents({"_id": guest}) == 1
