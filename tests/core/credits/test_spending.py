"""Credits: one for an answer, the plan's before the extra ones, never more than there are."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import NoCredits
from service.domain.jobs import JobStatus, cancelled, failed
from tests.core.checker import check_money
from tests.core.credits.support import A_DAY, REPETITIONS, ask, credits_of, entries, give_extra, remaining, submit
from tests.core.streaming import Slow
from tests.core.support import SettableClock, at_once, key, kinds, runner_with, spread, wallet


def test_an_answer_costs_one_credit_and_no_tokens(container: Container, db: Database, anna: Actor) -> None:
    job = ask(container, anna)

    assert (job.status, job.meter, job.hold, job.charged, job.balance_after) == ("succeeded", "credits", 1, 1, 4)
    assert job.usage is not None
    assert job.usage.total_tokens == 38
    assert remaining(container, anna) == 4
    assert wallet(container, anna) == (0, 0)
    assert entries(db, f"{anna.account_id}:credits") == [("grant", 5, 0), ("hold", 0, 1), ("final", -1, 0)]
    assert container.billing.statement(anna, None).wallet.total_tokens == 38, "used, whoever paid for them"
    (used,) = container.billing.usage(anna, None, "2000-01-01", "2100-01-01", "model")
    assert (used.jobs, used.total_tokens, used.charged) == (1, 38, 0), "the sums are of tokens"
    check_money(db)


def test_what_is_shown_is_true_before_anybody_asked(container: Container, db: Database, anna: Actor) -> None:
    shown = credits_of(container, anna)
    assert (shown.plan, shown.remaining, shown.extra, shown.held, shown.unlimited) == ("FREE", 5, 0, 0, False)
    created = db.accounts.find_one({"_id": anna.account_id})["created_at"]
    assert timedelta(days=28) <= shown.period_ends_at - created <= timedelta(days=31)
    assert db.credits.count_documents({}) == 0, "reading writes nothing"
    assert db.ledger.count_documents({"kind": "grant"}) == 0


def test_whoever_has_used_them_up_is_refused(container: Container, db: Database, anna: Actor) -> None:
    for _ in range(4):
        ask(container, anna)
    waiting = submit(container, anna)

    with pytest.raises(NoCredits) as refused:
        submit(container, anna)

    assert refused.value.extra == {"required": 1, "available": 0, "held": 1}
    assert db.jobs.count_documents({}) == 5
    container.jobs.cancel(anna, waiting.id)
    assert ask(container, anna).balance_after == 0
    check_money(db)


@pytest.mark.parametrize("outcome", [failed("UPSTREAM_ERROR"), cancelled(), cancelled("shown by a lost worker")])
def test_what_is_no_answer_costs_nothing(container: Container, db: Database, anna: Actor, outcome: Any) -> None:
    job = submit(container, anna)
    settled = container.jobs._money.settle(job, outcome, 20)
    assert (settled.charged, settled.balance_after) == (0, 5)
    assert remaining(container, anna) == 5
    check_money(db)


def test_an_answer_cut_short_costs_one(container: Container, db: Database, anna: Actor) -> None:
    job = submit(container, anna, stream=True)
    runner_with(container, Slow("one ", "two ", then=lambda: container.jobs.cancel(anna, job.id)))(job.id)
    done = container.jobs.get(anna, job.id)
    assert (done.status, done.answer, done.charged, done.balance_after) == (JobStatus.CANCELLED, "one two ", 1, 4)
    check_money(db)


@pytest.mark.parametrize("left", [1, 3])
@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_of_parallel_questions_as_many_are_accepted_as_there_are_credits(
    container: Container, processes: list[Container], db: Database, anna: Actor, left: int, repetition: int
) -> None:
    for _ in range(5 - left):
        ask(container, anna)

    results = at_once(spread(submit, processes, 8, anna))

    assert kinds(results) == {"Job": left, "NoCredits": 8 - left}
    assert (remaining(container, anna), credits_of(container, anna).held) == (0, left)
    check_money(db)


def test_extra_credits_are_spent_after_the_months(
    container: Container, db: Database, anna: Actor, clock: SettableClock
) -> None:
    give_extra(container, anna, 2)
    assert (remaining(container, anna), credits_of(container, anna).extra) == (7, 2)
    balances = [ask(container, anna).balance_after for _ in range(7)]
    assert balances == [6, 5, 4, 3, 2, 1, 0]
    with pytest.raises(NoCredits):
        submit(container, anna)
    give_extra(container, anna, 1)
    refused = submit(container, anna)
    container.jobs.cancel(anna, refused.id)
    clock.time += 40 * A_DAY
    assert (remaining(container, anna), credits_of(container, anna).extra) == (6, 1), "they don't end"
    assert ask(container, anna).wallet_id == f"{anna.account_id}:credits"
    assert credits_of(container, anna).extra == 1
    check_money(db)


def test_a_repeated_question_costs_one_credit(
    container: Container, processes: list[Container], db: Database, anna: Actor
) -> None:
    once = partial(submit, idempotency=key(anna))
    results = at_once(spread(once, processes, 8, anna))
    assert {job.id for job in results} == {results[0].id}
    assert credits_of(container, anna).held == 1
    container.jobs.cancel(anna, results[0].id)
    assert remaining(container, anna) == 5
    check_money(db)


def test_a_replay_of_the_last_credits_question_is_its_job(
    container: Container, processes: list[Container], db: Database, anna: Actor
) -> None:
    for _ in range(4):
        ask(container, anna)
    results = at_once(spread(partial(submit, idempotency=key(anna)), processes, 8, anna))
    assert {job.id for job in results} == {results[0].id}, "the twins find no credit, and then their job"
    check_money(db)
