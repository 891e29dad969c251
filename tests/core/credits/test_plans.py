"""Plans: another one begins at once and once, and one without a limit costs nothing."""

from datetime import timedelta

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import RateLimited
from service.domain.plans import Plan
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.credits.support import A_DAY, REPETITIONS, ask, credits_of, give_extra, months, remaining, submit
from tests.core.support import ROOT, SettableClock, at_once, kinds, spread


def test_another_plan_begins_now_with_all_its_credits(
    container: Container, db: Database, anna: Actor, clock: SettableClock
) -> None:
    ask(container, anna)
    clock.time += 10 * A_DAY
    give_extra(container, anna, 3)
    container.admin.set_plan(ROOT, anna.account_id, Plan.BASIC)

    changed = credits_of(container, anna)
    assert (changed.plan, changed.monthly, changed.extra) == ("BASIC", 50, 3)
    assert timedelta(days=28) <= changed.period_ends_at - clock.time <= timedelta(days=31)
    assert months(db, anna) == [("grant", 5), ("expire", -4), ("grant", 50)]

    ask(container, anna)
    clock.time += A_DAY
    container.admin.set_plan(ROOT, anna.account_id, Plan.BASIC)
    assert credits_of(container, anna).period_ends_at == changed.period_ends_at, "the same plan changes nothing"
    assert (remaining(container, anna), len(months(db, anna))) == (52, 3)
    check_money(db)


@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_a_plan_that_is_given_many_times_at_once_is_given_once(
    container: Container, processes: list[Container], db: Database, anna: Actor, repetition: int
) -> None:
    def give(process: Container) -> object:
        return process.admin.set_plan(ROOT, anna.account_id, Plan.BASIC)

    results = at_once([*spread(give, processes, 5), *spread(submit, processes, 5, anna)])

    assert kinds(results) == {"Account": 5, "Job": 5}
    assert [amount for kind, amount in months(db, anna) if kind == "grant"] in ([5, 50], [50])
    check_money(db)


def test_a_plan_without_a_limit_holds_and_costs_nothing(container: Container, db: Database, anna: Actor) -> None:
    container.admin.set_plan(ROOT, anna.account_id, Plan.PREMIUM)
    job = ask(container, anna)
    assert (job.hold, job.charged, job.balance_after) == (0, 0, None)
    shown = credits_of(container, anna)
    assert (shown.unlimited, shown.remaining, shown.plan) == (True, None, "PREMIUM")
    own = [(row["kind"], row["amount"]) for row in db.ledger.find({"job_id": job.id}).sort("seq", 1)]
    assert own == [("hold", 0), ("final", 0)]
    container.admin.set_plan(ROOT, anna.account_id, Plan.FREE)
    assert remaining(container, anna) == 5
    check_money(db)


def test_a_hold_of_the_old_plan_ends_with_it(container: Container, db: Database, anna: Actor) -> None:
    waiting = submit(container, anna)
    container.admin.set_plan(ROOT, anna.account_id, Plan.PREMIUM)
    assert container.jobs.cancel(anna, waiting.id).balance_after is None
    container.admin.set_plan(ROOT, anna.account_id, Plan.FREE)
    assert remaining(container, anna) == 5
    check_money(db)


def test_a_plan_without_a_limit_is_used_fairly(build: Build, db: Database, anna: Actor) -> None:
    container = build(fair_use_per_day=3)
    container.admin.set_plan(ROOT, anna.account_id, Plan.PREMIUM)
    for _ in range(3):
        submit(container, anna)
    with pytest.raises(RateLimited) as refused:
        submit(container, anna)
    assert 60 < (refused.value.retry_after_seconds or 0) <= 86_400
    container.admin.set_plan(ROOT, anna.account_id, Plan.BASIC)
    submit(container, anna)
    check_money(db)
