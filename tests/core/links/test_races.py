"""Links at the same time as other links, questions and deposits: no token is lost or made."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.billing import EntryKind, PriceWeights
from service.domain.errors import AccountLinked, JobRunning
from service.domain.jobs import JobStatus
from service.usecases.jobs import Submission
from service.usecases.links import Confirmed
from service.usecases.ports import Movement
from tests.core.checker import check_money
from tests.core.links.support import CHAT_ID, balance, code_of, link
from tests.core.support import NewActor, ask, at_once, kinds, spread, submit, wallet


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
