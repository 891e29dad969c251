"""End users of an API key: each in its key's namespace, with a wallet of its own, out of everybody else's reach."""

from datetime import timedelta
from functools import partial

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.chat import ChatMessage
from service.domain.errors import (
    AccountBlocked,
    ContextNotFound,
    Forbidden,
    InsufficientTokens,
    NotFound,
    RateLimited,
    TopUpUnavailable,
    UnsafeCallbackUrl,
    ValidationFailed,
)
from service.domain.keys import Scope
from service.usecases.ports import JobQuery, UserQuery
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, ask, at_once, new_key, program_of, submit, wallet

CHAT_ID = "4242"


@pytest.fixture
def anna(db: Database, new_actor: NewActor) -> Actor:
    return new_actor(5_000)


@pytest.fixture
def bot(container: Container, anna: Actor) -> Actor:
    return program_of(new_key(container, anna))


@pytest.fixture
def other_bot(container: Container, anna: Actor) -> Actor:
    """Another program of the same person."""
    return program_of(new_key(container, anna))


def top_up(container: Container, program: Actor, external_id: str = CHAT_ID, tokens: int = 10_000) -> None:
    container.billing.top_up(program, external_id, tokens, None)


def balance(container: Container, program: Actor, external_id: str | None = CHAT_ID) -> int:
    return container.billing.statement(program, external_id).wallet.available


def test_an_end_user_begins_with_nothing_and_pays_for_itself(
    container: Container, db: Database, anna: Actor, bot: Actor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    assert balance(container, bot) == 0
    with pytest.raises(InsufficientTokens):
        submit(container, bot, user_id=CHAT_ID)
    top_up(container, bot)
    job = ask(container, bot, user_id=CHAT_ID)
    assert (job.charged, job.external_user_id) == (38, CHAT_ID)
    assert balance(container, bot) == 10_000 - 38
    assert wallet(container, anna) == (5_000, 0)
    check_money(db)


def test_a_key_without_a_user_acts_for_its_account(
    container: Container, db: Database, anna: Actor, bot: Actor, upstream: UpstreamControl
) -> None:
    job = ask(container, bot)
    assert (job.account_id, job.external_user_id) == (anna.account_id, None)
    assert ask(container, bot, user_id=anna.account_id).account_id == anna.account_id
    assert container.jobs.get(anna, job.id).id == job.id
    check_money(db)


def test_the_same_name_under_two_keys_is_two_people(
    container: Container, db: Database, bot: Actor, other_bot: Actor, upstream: UpstreamControl
) -> None:
    top_up(container, bot)
    job = ask(container, bot, user_id=CHAT_ID)
    assert balance(container, other_bot) == 0
    with pytest.raises(ContextNotFound):
        container.contexts.get(other_bot, CHAT_ID)
    with pytest.raises(Forbidden):
        container.jobs.get(other_bot, job.id)
    with pytest.raises(Forbidden):
        container.jobs.cancel(other_bot, job.id)
    assert container.jobs.page(other_bot, JobQuery(account_id=CHAT_ID)).items == []
    assert [found.id for found in container.jobs.page(bot, JobQuery(account_id=CHAT_ID)).items] == [job.id]
    assert container.jobs.get(bot, job.id).id == job.id


def test_naming_anothers_account_reaches_nobody(
    container: Container, db: Database, new_actor: NewActor, anna: Actor, bot: Actor, other_bot: Actor
) -> None:
    ben = new_actor(777)
    top_up(container, bot)
    end_user_id = bot.owner(CHAT_ID)
    for named in (ben.account_id, end_user_id):
        assert balance(container, other_bot, named) == 0
        container.contexts.save(other_bot, named, [ChatMessage("user", "mine")])
    assert wallet(container, ben) == (777, 0)
    assert balance(container, bot) == 10_000
    for person in (ben, anna):
        with pytest.raises(Forbidden):
            container.billing.statement(person, end_user_id)
    check_money(db)


def test_an_admin_names_an_end_user_by_its_account(
    container: Container, db: Database, bot: Actor, upstream: UpstreamControl
) -> None:
    top_up(container, bot)
    account = container.billing.statement(ROOT, bot.owner(CHAT_ID)).account
    assert (account.role, account.external_id) == (Role.END_USER, CHAT_ID)
    assert bot.key is not None
    assert account.key_id == bot.key.id
    rows, total = container.admin.users(ROOT, UserQuery(role=Role.END_USER))
    assert ([row.account.id for row in rows], total) == ([account.id], 1)
    with pytest.raises(ValidationFailed):
        container.admin.set_role(ROOT, account.id, Role.END_USER)


def test_an_end_user_gets_no_role(container: Container, bot: Actor) -> None:
    top_up(container, bot)
    with pytest.raises(NotFound):
        container.admin.set_role(ROOT, bot.owner(CHAT_ID), Role.ADMIN)


def test_a_blocked_end_user_is_blocked_alone(container: Container, bot: Actor) -> None:
    top_up(container, bot)
    container.admin.set_blocked(ROOT, bot.owner(CHAT_ID), True)
    for use in (
        lambda: submit(container, bot, user_id=CHAT_ID),
        lambda: balance(container, bot),
        lambda: container.contexts.reset(bot, CHAT_ID),
        lambda: top_up(container, bot),
        lambda: container.jobs.page(bot, JobQuery(account_id=CHAT_ID)),
    ):
        with pytest.raises(AccountBlocked):
            use()
    assert balance(container, bot, "another") == 0


@pytest.mark.parametrize("repetition", range(5))
def test_first_uses_at_once_make_one_wallet(
    container: Container, db: Database, bot: Actor, upstream: UpstreamControl, repetition: int
) -> None:
    calls = [partial(top_up, container, bot, CHAT_ID, 100), partial(balance, container, bot)] * 6
    results = at_once(calls)
    assert [result for result in results if isinstance(result, Exception)] == []
    assert balance(container, bot) == 600
    assert db.accounts.count_documents({"role": "end_user"}) == 1
    check_money(db)


def test_names_that_look_alike_are_different_people(container: Container, bot: Actor) -> None:
    names = ("a", "A", "a ", " a", "4242", "04242", "ä", "a\u0308", "$a", "a.b", "Иванов", "x" * 128)
    assert len({bot.owner(name) for name in names}) == len(names)
    for name in names:
        top_up(container, bot, name, 5)
    assert {balance(container, bot, name) for name in names} == {5}


def test_a_key_credits_its_end_users_only(container: Container, db: Database, anna: Actor, bot: Actor) -> None:
    top_up(container, bot, tokens=300)
    (entry,) = container.billing.ledger(bot, CHAT_ID)(None, 10).items
    assert bot.key is not None
    assert (entry.amount, entry.actor_id) == (300, f"key:{bot.key.id}")
    for own in (None, anna.account_id):
        with pytest.raises(ValidationFailed):
            container.billing.top_up(bot, own, 300, None)
    with pytest.raises(TopUpUnavailable):
        container.billing.top_up(anna, None, 300, None)
    assert wallet(container, anna) == (5_000, 0)
    check_money(db)


def test_a_key_without_the_scope_credits_nobody(container: Container, db: Database, anna: Actor) -> None:
    poor = program_of(new_key(container, anna, scopes=[Scope.CHAT, Scope.BILLING_READ]))
    with pytest.raises(Forbidden):
        top_up(container, poor)
    assert db.accounts.count_documents({"role": "end_user"}) == 0


def test_a_rotated_key_keeps_its_end_users(container: Container, anna: Actor, bot: Actor) -> None:
    top_up(container, bot)
    assert bot.key is not None
    rotated = container.keys.rotate(anna, bot.key.id, timedelta(), None)
    renewed = program_of(rotated)
    assert balance(container, renewed) == 10_000


def test_a_program_has_no_audit_of_its_own_people(container: Container, db: Database, bot: Actor) -> None:
    container.contexts.save(bot, CHAT_ID, [ChatMessage("user", "hello")])
    container.contexts.get(bot, CHAT_ID)
    assert db.audit.count_documents({"subject_id": bot.owner(CHAT_ID)}) == 0


def test_a_retried_job_stays_its_programs(
    container: Container, db: Database, bot: Actor, upstream: UpstreamControl
) -> None:
    upstream.rule(times=1, status=400)
    top_up(container, bot)
    failed = ask(container, bot, user_id=CHAT_ID)
    again = container.admin.retry_job(ROOT, failed.id)
    assert container.jobs.get(bot, again.id).external_user_id == CHAT_ID


def test_a_programs_endpoints_hear_of_its_end_users(
    container: Container, db: Database, anna: Actor, bot: Actor, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    hers = container.webhooks.create(anna, {"url": "https://example.com/"})
    container.webhooks.create(new_actor(), {"url": "https://example.org/"})
    top_up(container, bot)
    job = ask(container, bot, user_id=CHAT_ID, callback_url="https://example.com/one")
    found = {row["endpoint_id"]: row["account_id"] for row in db.deliveries.find({"job_id": job.id})}
    # Both are hers: she can look at them and send them once more, and her secret signs the callback.
    assert found == {hers.id: anna.account_id, None: anna.account_id}


def test_a_keys_callbacks_go_to_its_hosts_alone(container: Container, db: Database, anna: Actor) -> None:
    bot = program_of(new_key(container, anna, callback_hosts=["Bot.Example.com", "second.example.com"]))
    for url in ("https://bot.example.com/x", "https://BOT.example.com:8443/?y=1", "https://second.example.com/"):
        assert submit(container, bot, callback_url=url).callback_url == url
    for url in ("https://example.com/", "https://evil.bot.example.com/", "https://bot.example.com.evil.com/"):
        with pytest.raises(UnsafeCallbackUrl) as refused:
            submit(container, bot, callback_url=url)
        assert refused.value.details == {"callbackUrl": ["url_not_of_key"]}
    assert submit(container, anna, callback_url="https://example.com/").callback_url is not None
    assert submit(container, program_of(new_key(container, anna)), callback_url="https://example.com/")


def test_a_keys_assistant_answers_by_default(container: Container, anna: Actor) -> None:
    bot = program_of(new_key(container, anna, assistant="tutor"))
    assert submit(container, bot).assistant == "tutor"
    assert submit(container, bot, assistant="chat").assistant == "chat"


def test_a_key_has_a_rate_limit_of_its_own(container: Container, db: Database, anna: Actor) -> None:
    bot, free = (program_of(new_key(container, anna, requests_per_minute=limit)) for limit in (3, None))
    for number in range(3):
        top_up(container, bot, f"user {number}")
        submit(container, bot, user_id=f"user {number}")
    with pytest.raises(RateLimited):
        submit(container, bot, user_id="user 0")
    with pytest.raises(RateLimited):
        submit(container, bot)
    submit(container, free)
    check_money(db)
