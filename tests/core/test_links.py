"""Links: a bot's end user and an account become one, with every token, and the bot sees no more than before."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.mongo.jobs import MongoJobs
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.billing import EntryKind, PriceWeights
from service.domain.chat import ChatMessage
from service.domain.errors import (
    AccountBlocked,
    AccountLinked,
    Forbidden,
    InsufficientTokens,
    JobRunning,
    LinkCodeInvalid,
    NotFound,
    RateLimited,
    ValidationFailed,
)
from service.domain.jobs import JobStatus, failed
from service.domain.links import CODE_LIFE, hash_code, new_code
from service.usecases.jobs import Submission
from service.usecases.links import CODES_PER_HOUR, FAILURES_PER_END_USER, FAILURES_PER_OWNER, Confirmed, LinkService
from service.usecases.ports import IdempotencyKey, JobQuery, Movement, TrackQuery
from tests.core.checker import check_money
from tests.core.support import (
    ROOT,
    NewActor,
    SettableClock,
    ask,
    at_once,
    kinds,
    new_key,
    program_of,
    spread,
    submit,
    wallet,
)

CHAT_ID = "4242"


@pytest.fixture
def owner(db: Database, new_actor: NewActor) -> Actor:
    """Whose bot it is."""
    return new_actor(5_000)


@pytest.fixture
def vera(db: Database, new_actor: NewActor) -> Actor:
    """Who uses the bot and has an account."""
    return new_actor(20_000)


@pytest.fixture
def bot(container: Container, owner: Actor, upstream: UpstreamControl) -> Actor:
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    program = program_of(new_key(container, owner))
    container.billing.top_up(program, CHAT_ID, 1_500, None)
    return program


def code_of(container: Container, person: Actor) -> str:
    return container.links.issue(person).code


def link(container: Container, bot: Actor, person: Actor, user_id: str = CHAT_ID) -> Confirmed:
    return container.links.confirm(bot, user_id, code_of(container, person))


def balance(container: Container, actor: Actor, user_id: str | None = None) -> int:
    return container.billing.statement(actor, user_id).wallet.available


def links_with(container: Container, **changes: Any) -> LinkService:
    """The container's links with another clock or the like."""
    names = ("links", "keys", "accounts", "money", "owners", "rate_limits", "telemetry", "clock", "secret")
    return LinkService(**{**{name: getattr(container.links, f"_{name}") for name in names}, **changes})


def test_the_wallets_become_one_with_two_entries_of_one_cause(
    container: Container, db: Database, vera: Actor, bot: Actor
) -> None:
    confirmed = link(container, bot, vera)
    assert (confirmed.moved_tokens, confirmed.wallet.available) == (1_500, 21_500)
    entries = list(db.ledger.find({"kind": "link"}))
    assert {(entry["account_id"], entry["amount"]) for entry in entries} == {
        (vera.account_id, 1_500),
        (bot.owner(CHAT_ID), -1_500),
    }
    assert len({entry["reason"] for entry in entries}) == 1
    assert {entry["actor_id"] for entry in entries} == {bot.record_id}
    assert db.wallets.find_one({"_id": bot.owner(CHAT_ID)})["available"] == 0
    assert balance(container, bot, CHAT_ID) == wallet(container, vera)[0] == 21_500
    check_money(db)


def test_later_questions_are_the_accounts(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    link(container, bot, vera)
    job = ask(container, bot, user_id=CHAT_ID)
    assert (job.account_id, job.external_user_id, job.charged) == (vera.account_id, CHAT_ID, 38)
    assert wallet(container, vera) == (21_500 - 38, 0)
    assert container.jobs.get(vera, job.id).id == job.id
    assert container.jobs.get(bot, job.id).id == job.id
    assert [each.id for each in container.jobs.page(vera, JobQuery()).items] == [job.id]
    check_money(db)


def test_the_dialog_goes_on_and_is_the_accounts_but_not_the_webs(
    container: Container, db: Database, vera: Actor, bot: Actor, upstream: UpstreamControl
) -> None:
    ask(container, vera, "my secret is tamarisk")
    ask(container, bot, "asked before the link", user_id=CHAT_ID)
    link(container, bot, vera)
    job = ask(container, bot, "asked after the link", user_id=CHAT_ID)
    assert [message.content for message in job.prompt[1:]] == [
        "asked before the link",
        "pong",
        "asked after the link",
    ]
    assert [message.content for message in container.contexts.get(bot, CHAT_ID)][-2:] == [
        "asked after the link",
        "pong",
    ]
    assert [message.content for message in container.contexts.get(vera, None)] == ["my secret is tamarisk", "pong"]
    dialogs = container.admin.dialogs(ROOT, vera.account_id, None, 10).items
    assert {dialog.messages[0].content for dialog in dialogs} == {"my secret is tamarisk", "asked after the link"}
    container.contexts.reset(bot, CHAT_ID)
    assert container.contexts.get(bot, CHAT_ID) == ()
    assert len(container.contexts.get(vera, None)) == 2


def test_the_bot_reaches_nothing_else_of_the_person(
    container: Container, db: Database, vera: Actor, bot: Actor, owner: Actor
) -> None:
    private = ask(container, vera, "my secret is tamarisk")
    before = ask(container, bot, user_id=CHAT_ID)
    link(container, bot, vera)
    after = ask(container, bot, user_id=CHAT_ID)
    for use in (container.jobs.get, container.jobs.cancel):
        for actor in (bot, owner):
            with pytest.raises(Forbidden):
                use(actor, private.id)
    assert [job.id for job in container.jobs.page(bot, JobQuery(account_id=CHAT_ID)).items] == [after.id, before.id]
    amounts = [entry.amount for entry in container.billing.ledger(bot, CHAT_ID, None, 10).items]
    assert amounts == [-(1_500 - 38), -before.charged, 0, 1_500]
    usage = container.billing.usage(bot, CHAT_ID, "2020-01-01", "2040-01-01", "model")
    assert sum(row.jobs for row in usage) == 1
    statement = container.billing.statement(bot, CHAT_ID)
    assert (statement.account.external_id, statement.account.username) == (CHAT_ID, None)
    for name in (vera.account_id, db.accounts.find_one({"_id": bot.owner(CHAT_ID)})["link_id"]):
        assert container.billing.statement(bot, name).wallet.account_id == bot.owner(name) != vera.account_id


def test_a_linked_question_is_the_bots_and_the_persons_and_nobody_elses(
    container: Container, vera: Actor, owner: Actor, bot: Actor
) -> None:
    link(container, bot, vera)
    job = ask(container, bot, user_id=CHAT_ID)
    assert bot.name_of(job.account_id, job.external_user_id, job.end_user_id) == CHAT_ID
    for actor in (owner, program_of(new_key(container, owner)), program_of(new_key(container, vera))):
        if actor.account_id == vera.account_id:
            assert container.jobs.get(actor, job.id).id == job.id
            # Another bot's name for its user means nothing to a program of hers.
            assert actor.name_of(job.account_id, job.external_user_id, job.end_user_id) == vera.account_id
        else:
            with pytest.raises(Forbidden):
                container.jobs.get(actor, job.id)


def test_the_same_again_changes_nothing(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    container.links.confirm(bot, CHAT_ID, code)
    state = list(db.ledger.find()), list(db.accounts.find({"role": "end_user"}))
    again = container.links.confirm(bot, CHAT_ID, code)
    assert (again.moved_tokens, again.wallet.available) == (0, 21_500)
    assert link(container, bot, vera).moved_tokens == 0
    assert (list(db.ledger.find()), list(db.accounts.find({"role": "end_user"}))) == state
    check_money(db)


def test_one_account_may_have_several_bots(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    other = program_of(new_key(container, vera, name="another"))
    link(container, bot, vera)
    link(container, other, vera, "7")
    assert {(each.external_id, each.name) for each in container.links.own(vera)} == {
        (CHAT_ID, "program"),
        ("7", "another"),
    }
    assert balance(container, bot, CHAT_ID) == balance(container, other, "7") == 21_500
    check_money(db)


def test_linked_elsewhere_is_a_conflict(
    container: Container, db: Database, vera: Actor, bot: Actor, new_actor: NewActor
) -> None:
    link(container, bot, vera)
    ben = new_actor(1)
    with pytest.raises(AccountLinked):
        link(container, bot, ben)
    assert (wallet(container, ben), wallet(container, vera)) == ((1, 0), (21_500, 0))
    assert container.links.own(ben) == []
    check_money(db)


def test_while_a_question_is_open_the_link_waits(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    job = submit(container, bot, user_id=CHAT_ID)
    with pytest.raises(JobRunning):
        container.links.confirm(bot, CHAT_ID, code)
    assert container.links.own(vera) == []
    container.run(job.id)
    assert container.links.confirm(bot, CHAT_ID, code).moved_tokens == 1_500 - 38
    check_money(db)


def test_a_code_is_for_one_end_user(container: Container, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    container.links.confirm(bot, CHAT_ID, code)
    with pytest.raises(LinkCodeInvalid):
        container.links.confirm(bot, "another", code)


def test_a_newer_code_ends_the_one_before(container: Container, vera: Actor, bot: Actor) -> None:
    older, newer = code_of(container, vera), code_of(container, vera)
    with pytest.raises(LinkCodeInvalid):
        container.links.confirm(bot, CHAT_ID, older)
    assert container.links.confirm(bot, CHAT_ID, newer).moved_tokens == 1_500


def test_a_code_expires(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    clock = SettableClock()
    links = links_with(container, clock=clock)
    code = links.issue(vera).code
    clock.time += CODE_LIFE
    with pytest.raises(LinkCodeInvalid):
        links.confirm(bot, CHAT_ID, code)
    clock.time -= timedelta(seconds=1)
    assert links.confirm(bot, CHAT_ID, code).moved_tokens == 1_500
    indexes = db.link_codes.index_information().values()
    assert [index["expireAfterSeconds"] for index in indexes if "expireAfterSeconds" in index] == [0]


def test_a_code_is_not_stored(container: Container, db: Database, vera: Actor) -> None:
    code = code_of(container, vera)
    stored = str(list(db.link_codes.find()))
    assert code not in stored
    assert code.replace("-", "") not in stored
    assert hash_code(code, "another secret") not in stored, "a copy of the database alone tells nothing"


def test_a_code_may_be_typed_as_people_type(container: Container, vera: Actor, bot: Actor) -> None:
    assert {hash_code(each, "s") for each in ("01AB-CDEF", " olab cdef ", "oiab—CDEF", "O1A-B-CD-EF")} == {
        hash_code("01ABCDEF", "s")
    }
    code = code_of(container, vera)
    assert container.links.confirm(bot, CHAT_ID, f" {code.lower().replace('-', ' ')}\n").moved_tokens == 1_500


def test_codes_are_random() -> None:
    codes = {new_code() for _ in range(1_000)}
    assert len(codes) == 1_000
    assert all(len(code) == 9 and not set(code) & set("ILOU") for code in codes)


def test_guessing_is_throttled_per_end_user_and_per_owner(
    container: Container, db: Database, vera: Actor, owner: Actor, bot: Actor
) -> None:
    code = code_of(container, vera)
    for _ in range(FAILURES_PER_END_USER):
        with pytest.raises(LinkCodeInvalid):
            container.links.confirm(bot, "guesser", "AAAA-AAAA")
    with pytest.raises(RateLimited):
        container.links.confirm(bot, "guesser", code)
    # Another key of the same owner and ever new end users don't help either.
    other = program_of(new_key(container, owner))
    failures = 0
    for number in range(FAILURES_PER_OWNER):
        try:
            container.links.confirm(other, f"invented {number}", "AAAA-AAAA")
        except LinkCodeInvalid:
            failures += 1
        except RateLimited:
            break
    assert failures == FAILURES_PER_OWNER - FAILURES_PER_END_USER
    with pytest.raises(RateLimited):
        container.links.confirm(bot, CHAT_ID, code)
    stranger = program_of(new_key(container, vera))
    assert container.links.confirm(stranger, "1", code).moved_tokens == 0


def test_one_bad_typist_does_not_stop_the_others(container: Container, vera: Actor, bot: Actor) -> None:
    for _ in range(FAILURES_PER_END_USER + 3):
        with pytest.raises((LinkCodeInvalid, RateLimited)):
            container.links.confirm(bot, "guesser", "AAAA-AAAA")
    assert link(container, bot, vera).moved_tokens == 1_500


def test_codes_are_throttled(container: Container, vera: Actor) -> None:
    for _ in range(CODES_PER_HOUR):
        code_of(container, vera)
    with pytest.raises(RateLimited):
        code_of(container, vera)


def test_who_may_not(container: Container, vera: Actor, owner: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    with pytest.raises(Forbidden):
        container.links.confirm(vera, CHAT_ID, code)
    for actor, user_id in ((vera, vera.account_id), (ROOT, bot.owner(CHAT_ID)), (bot, owner.account_id)):
        with pytest.raises(ValidationFailed):
            container.links.confirm(actor, user_id, code)
    with pytest.raises(Forbidden):
        container.links.issue(Actor(account_id=vera.account_id, role=Role.GUEST, request_id="x"))


def test_a_removed_link_leaves_the_balance_with_the_account(
    container: Container, db: Database, vera: Actor, bot: Actor, new_actor: NewActor
) -> None:
    ask(container, bot, "before the link", user_id=CHAT_ID)
    link(container, bot, vera)
    ask(container, bot, "while linked", user_id=CHAT_ID)
    (found,) = container.links.own(vera)
    for stranger in (new_actor(), ROOT):
        with pytest.raises(Forbidden):
            container.links.remove(stranger, found.id)
    container.links.remove(vera, found.id)
    assert container.links.own(vera) == []
    assert (wallet(container, vera)[0], balance(container, bot, CHAT_ID)) == (21_500 - 38 - 38, 0)
    with pytest.raises(InsufficientTokens):
        submit(container, bot, user_id=CHAT_ID)
    assert [message.content for message in container.contexts.get(bot, CHAT_ID)] == ["before the link", "pong"]
    with pytest.raises(NotFound):
        container.links.remove(vera, found.id)
    container.billing.top_up(bot, CHAT_ID, 500, None)
    assert ask(container, bot, user_id=CHAT_ID).account_id == bot.owner(CHAT_ID)
    check_money(db)


def test_after_a_removed_link_another_account_may_follow(
    container: Container, db: Database, vera: Actor, bot: Actor, new_actor: NewActor
) -> None:
    link(container, bot, vera)
    container.links.remove(vera, container.links.own(vera)[0].id)
    container.billing.top_up(bot, CHAT_ID, 70, None)
    ben = new_actor(30)
    assert link(container, bot, ben).wallet.available == 100
    container.links.remove(ben, container.links.own(ben)[0].id)
    assert link(container, bot, vera).moved_tokens == 0
    check_money(db)


def test_a_used_code_is_no_way_back_after_the_link_was_removed(container: Container, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    container.links.confirm(bot, CHAT_ID, code)
    container.links.remove(vera, container.links.own(vera)[0].id)
    with pytest.raises(LinkCodeInvalid):
        container.links.confirm(bot, CHAT_ID, code)


def test_a_running_question_ends_where_it_began_when_its_link_is_removed(
    container: Container, db: Database, vera: Actor, bot: Actor
) -> None:
    link(container, bot, vera)
    job = submit(container, bot, user_id=CHAT_ID)
    container.links.remove(vera, container.links.own(vera)[0].id)
    container.run(job.id)
    assert container.jobs.get(bot, job.id).account_id == vera.account_id
    assert wallet(container, vera) == (21_500 - 38, 0)
    check_money(db)


def test_a_blocked_account_pays_for_no_bot(container: Container, vera: Actor, bot: Actor) -> None:
    code = code_of(container, vera)
    container.admin.set_blocked(ROOT, vera.account_id, True)
    with pytest.raises(AccountBlocked):
        container.links.confirm(bot, CHAT_ID, code)
    container.admin.set_blocked(ROOT, vera.account_id, False)
    container.links.confirm(bot, CHAT_ID, code)
    container.admin.set_blocked(ROOT, vera.account_id, True)
    for use in (
        lambda: submit(container, bot, user_id=CHAT_ID),
        lambda: container.contexts.get(bot, CHAT_ID),
        lambda: balance(container, bot, CHAT_ID),
    ):
        with pytest.raises(AccountBlocked):
            use()


def test_topping_up_a_linked_end_user_credits_the_account(
    container: Container, db: Database, vera: Actor, bot: Actor
) -> None:
    link(container, bot, vera)
    assert container.billing.top_up(bot, CHAT_ID, 500, None).available == 22_000
    assert wallet(container, vera) == (22_000, 0)
    # What an operator changes by the end user's own account would be out of everybody's reach.
    for change in (
        lambda: container.admin.adjust_balance(ROOT, bot.owner(CHAT_ID), 5, "", None),
        lambda: container.admin.set_balance(ROOT, bot.owner(CHAT_ID), 5, "", None),
        lambda: container.billing.top_up(ROOT, bot.owner(CHAT_ID), 5, None),
        lambda: submit(container, ROOT, user_id=bot.owner(CHAT_ID)),
    ):
        with pytest.raises(AccountLinked):
            change()
    check_money(db)


def test_an_idempotency_key_holds_across_the_link(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    once = IdempotencyKey(bot.owner(CHAT_ID), "update-1", "body")
    before = ask(container, bot, user_id=CHAT_ID, idempotency=once)
    link(container, bot, vera)
    assert submit(container, bot, user_id=CHAT_ID, idempotency=once).id == before.id
    assert wallet(container, vera) == (21_500 - 38, 0)


def test_an_empty_wallet_moves_nothing(container: Container, db: Database, vera: Actor, bot: Actor) -> None:
    assert link(container, bot, vera, "new").moved_tokens == 0
    assert db.ledger.count_documents({"kind": "link"}) == 0
    assert ask(container, bot, user_id="new").account_id == vera.account_id
    check_money(db)


def test_too_many_links_are_refused(
    container: Container, vera: Actor, bot: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.usecases.links.MAX_LINKS", 1)
    link(container, bot, vera)
    with pytest.raises(ValidationFailed):
        link(container, bot, vera, "another")


@pytest.mark.parametrize("repetition", range(5))
def test_confirmed_many_times_at_once_is_linked_once(
    processes: list[Container], db: Database, vera: Actor, bot: Actor, repetition: int
) -> None:
    container = processes[0]
    code = code_of(container, vera)
    results = at_once(spread(lambda c: c.links.confirm(bot, CHAT_ID, code), processes, 8))
    assert kinds(results) == {"Confirmed": 8}, results
    assert sum(result.moved_tokens for result in results) == 1_500
    assert wallet(container, vera) == (21_500, 0)
    assert db.sessions.count_documents({"channel": "link"}) == 1
    check_money(db)


@pytest.mark.parametrize("repetition", range(5))
def test_one_code_for_two_end_users_at_once_links_one(
    processes: list[Container], db: Database, vera: Actor, bot: Actor, repetition: int
) -> None:
    container = processes[0]
    code = code_of(container, vera)
    calls = [partial(processes[n % 4].links.confirm, bot, f"user {n % 2}", code) for n in range(4)]
    results = at_once(calls)
    assert set(kinds(results)) == {"Confirmed", "LinkCodeInvalid"}, results
    assert len(container.links.own(vera)) == 1
    check_money(db)


@pytest.mark.parametrize("repetition", range(5))
def test_codes_of_two_accounts_for_one_end_user_at_once_link_one(
    processes: list[Container], db: Database, vera: Actor, bot: Actor, new_actor: NewActor, repetition: int
) -> None:
    container, ben = processes[0], new_actor(20_000)
    codes = [code_of(container, vera), code_of(container, ben)]
    results = at_once([partial(processes[n].links.confirm, bot, CHAT_ID, codes[n]) for n in range(2)])
    assert kinds(results) == {"Confirmed": 1, "AccountLinked": 1}, results
    assert sorted([wallet(container, vera), wallet(container, ben)]) == [(20_000, 0), (21_500, 0)]
    check_money(db)


@pytest.mark.parametrize("repetition", range(10))
def test_confirmed_while_questions_are_accepted_loses_neither(
    processes: list[Container], db: Database, vera: Actor, bot: Actor, repetition: int
) -> None:
    """Each question is on one wallet or on the other, and none is refused because of the link."""
    container = processes[0]
    container.billing.top_up(bot, CHAT_ID, 1_000_000, None)
    code = code_of(container, vera)

    def confirm(process: Container) -> Confirmed:
        return process.links.confirm(bot, CHAT_ID, code)

    def question(process: Container) -> object:
        return submit(process, bot, user_id=CHAT_ID)

    def deposit(process: Container) -> object:
        return process.billing.top_up(bot, CHAT_ID, 7, None)

    calls: list[Callable[[], Any]] = [
        partial(call, processes[n % 4]) for n, call in enumerate([question, confirm, deposit, question, deposit] * 2)
    ]
    results = at_once(calls)
    assert not [each for each in results if isinstance(each, Exception) and not isinstance(each, JobRunning)], results
    for job in db.jobs.find():
        container.run(job["_id"])
        session = db.sessions.find_one({"_id": job["session_id"]})
        assert session["account_id"] == job["account_id"], "a dialog of who pays"
    if not container.links.own(vera):
        container.links.confirm(bot, CHAT_ID, code)
    total = 1_500 + 1_000_000 + 20_000 + 4 * 7 - 4 * 38
    assert wallet(container, vera) == (total, 0)
    assert db.wallets.find_one({"_id": bot.owner(CHAT_ID)})["available"] == 0
    check_money(db)


def test_what_was_decided_before_the_link_is_not_done_on_the_empty_wallet(
    container: Container, db: Database, vera: Actor, bot: Actor
) -> None:
    """The one place of the race above: whoever looked before the link finds the wallet taken over, also for nothing."""
    before = container.jobs._owners.party(bot, CHAT_ID, "chat.ask")
    asked = ask(container, bot, user_id=CHAT_ID)
    link(container, bot, vera)
    with pytest.raises(AccountLinked):
        container.jobs.accept(bot, before, Submission(message="ping", channel="api", user_id=CHAT_ID))
    free = replace(asked, id="free", weights=PriceWeights(1, 0, 0, 0), status=JobStatus.QUEUED, attempt=0)
    with pytest.raises(AccountLinked):
        container.jobs._money.reserve(free, None)
    movement = Movement("topup:late", before.account_id, EntryKind.TOPUP, bot.record_id)
    with pytest.raises(AccountLinked):
        container.jobs._money.deposit(movement, 5, None)
    assert db.jobs.count_documents({}) == 1
    check_money(db)


def test_removed_many_times_at_once(processes: list[Container], db: Database, vera: Actor, bot: Actor) -> None:
    container = processes[0]
    link(container, bot, vera)
    link_id = container.links.own(vera)[0].id
    results = at_once(spread(lambda c: c.links.remove(vera, link_id), processes, 6))
    assert kinds(results) == {"NoneType": 1, "NotFound": 5}, results
    assert balance(container, bot, CHAT_ID) == 0
    check_money(db)


def test_a_context_saved_by_the_bot_stays_in_its_dialog(container: Container, vera: Actor, bot: Actor) -> None:
    link(container, bot, vera)
    container.contexts.save(vera, None, [ChatMessage("user", "on the web")])
    container.contexts.save(bot, CHAT_ID, [ChatMessage("user", "in the bot")])
    assert [message.content for message in container.contexts.get(vera, None)] == ["on the web"]
    assert [message.content for message in container.contexts.get(bot, CHAT_ID)] == ["in the bot"]


def test_links_are_listed_newest_first(container: Container, vera: Actor, bot: Actor) -> None:
    for name in ("a", "b", "c"):
        link(container, bot, vera, name)
    found = container.links.own(vera)
    assert [each.external_id for each in found] == ["c", "b", "a"]
    assert all(newer.linked_at >= older.linked_at for newer, older in pairwise(found))


def test_a_question_is_not_asked_again_on_an_account_that_ended_the_link(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    person, program = new_actor(100_000), program_of(new_key(container, new_actor()))
    container.billing.top_up(program, "42", 50_000, None)
    container.links.confirm(program, "42", container.links.issue(person).code)
    job = submit(container, program, "linked", user_id="42")
    claimed = MongoJobs().claim(job.id, "a worker", 30)
    container.jobs._money.settle(claimed, failed("INTERNAL_ERROR"), 20)
    container.links.remove(person, container.links.own(person)[0].id)
    before = wallet(container, person)

    with pytest.raises(ValidationFailed) as refused:
        container.admin.retry_job(ROOT, job.id)

    assert refused.value.details == {"jobId": ["link_ended"]}
    assert wallet(container, person) == before
    check_money(db)


def test_after_the_link_the_dialog_is_the_persons_alone(
    container: Container, db: Database, vera: Actor, bot: Actor, upstream: UpstreamControl
) -> None:
    link(container, bot, vera)
    job = ask(container, bot, user_id=CHAT_ID)
    track = container.tracks.create(bot, CHAT_ID, {"title": "track"})
    session_id, chat_id = job.session_id or "", job.chat_id or ""
    assert container.dialogs.session(bot, session_id).account_id == vera.account_id
    assert container.tracks.get(bot, track.id).account_id == vera.account_id
    container.links.remove(vera, container.links.own(vera)[0].id)
    ask(container, vera, "what nobody else is to read", chat_id=chat_id)
    for use in (
        lambda: container.dialogs.session(bot, session_id),
        lambda: container.dialogs.messages(bot, chat_id, None, 10),
        lambda: container.dialogs.rename(bot, session_id, "mine"),
        lambda: container.dialogs.add_chat(bot, session_id, "mine"),
        lambda: container.export.session(bot, session_id),
        lambda: container.erase.session(bot, session_id),
        lambda: container.tracks.read(bot, track.id),
        lambda: container.tracks.delete(bot, track.id),
    ):
        with pytest.raises(Forbidden):
            use()
    assert container.jobs.get(bot, job.id).id == job.id, "what the program asked itself"
    assert container.tracks.page(bot, CHAT_ID, TrackQuery())[0] == []
    link(container, bot, vera)
    assert container.dialogs.session(bot, session_id).id == session_id
