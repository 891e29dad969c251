"""Credits are granted once a month, to the moment, and what is left of them ends with it."""

from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.credits.support import A_DAY, REPETITIONS, ask, credits_of, months, remaining, submit
from tests.core.support import NewActor, SettableClock, at_once, kinds, spread


@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_ten_first_questions_at_once_are_granted_one_month(
    container: Container, processes: list[Container], db: Database, anna: Actor, repetition: int
) -> None:
    results = at_once(spread(submit, processes, 10, anna))
    assert kinds(results) == {"Job": 5, "NoCredits": 5}
    assert months(db, anna) == [("grant", 5)]
    check_money(db)


@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_ten_questions_at_once_begin_a_new_month_once(
    container: Container,
    processes: list[Container],
    db: Database,
    anna: Actor,
    clock: SettableClock,
    repetition: int,
) -> None:
    for _ in range(2):
        ask(container, anna)
    clock.time = credits_of(container, anna).period_ends_at

    results = at_once(spread(submit, processes, 10, anna))

    assert kinds(results) == {"Job": 5, "NoCredits": 5}
    assert months(db, anna) == [("grant", 5), ("expire", -3), ("grant", 5)]
    check_money(db)


def test_a_month_ends_to_the_moment(container: Container, db: Database, anna: Actor, clock: SettableClock) -> None:
    ask(container, anna)
    ends_at = credits_of(container, anna).period_ends_at
    clock.time = ends_at - timedelta(milliseconds=1)
    assert ask(container, anna).balance_after == 3
    clock.time = ends_at
    assert remaining(container, anna) == 5, "shown before it is written"
    assert credits_of(container, anna).period_ends_at > ends_at
    assert months(db, anna) == [("grant", 5)]
    assert ask(container, anna).balance_after == 4
    check_money(db)


def test_months_in_which_nobody_asked_are_not_made_up_for(
    container: Container, db: Database, anna: Actor, clock: SettableClock
) -> None:
    ask(container, anna)
    clock.time += 400 * A_DAY
    ask(container, anna)
    assert months(db, anna) == [("grant", 5), ("expire", -4), ("grant", 5)]
    stored = db.credits.find_one({"_id": f"{anna.account_id}:credits"})
    assert stored["anchor_at"] == db.accounts.find_one({"_id": anna.account_id})["created_at"]
    assert stored["period_starts_at"] <= clock.time < stored["period_ends_at"]
    check_money(db)


def test_a_clock_that_is_behind_grants_nothing_again(
    container: Container, db: Database, anna: Actor, clock: SettableClock
) -> None:
    ask(container, anna)
    clock.time += 40 * A_DAY
    ask(container, anna)
    clock.time -= 40 * A_DAY
    assert ask(container, anna).balance_after == 3
    assert months(db, anna) == [("grant", 5), ("expire", -4), ("grant", 5)]
    check_money(db)


@pytest.mark.parametrize("answered", [True, False])
def test_a_credit_that_comes_back_after_its_month_is_gone(
    container: Container, db: Database, anna: Actor, clock: SettableClock, answered: bool
) -> None:
    old = submit(container, anna)
    clock.time += 40 * A_DAY
    new = submit(container, anna)
    assert credits_of(container, anna).held == 2

    if answered:
        container.run(old.id)
        ended = container.jobs.get(anna, old.id)
    else:
        ended = container.jobs.cancel(anna, old.id)

    assert (ended.charged, ended.balance_after) == (int(answered), 4)
    assert container.jobs.cancel(anna, new.id).balance_after == 5, "one of this month comes back"
    assert remaining(container, anna) == 5
    assert ("expire", -1) in months(db, anna) if not answered else True
    check_money(db)


def test_a_late_end_tells_what_there_is_in_the_month_of_its_end(
    container: Container, db: Database, anna: Actor, clock: SettableClock
) -> None:
    """Three months: the question's, one in which another was asked, one of which the wallet knows nothing yet."""
    job = submit(container, anna)
    clock.time += 32 * A_DAY
    submit(container, anna)
    clock.time += 32 * A_DAY
    ended = container.jobs.cancel(anna, job.id)
    assert ended.balance_after == remaining(container, anna) == 5


def test_the_month_is_of_the_zone(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(billing_timezone="Europe/Paris"), new_actor(0)
    created = datetime(2024, 1, 31, 23, 30, tzinfo=UTC)
    db.accounts.update_one({"_id": anna.account_id}, {"$set": {"created_at": created}})
    wallets, settable = container.jobs._money._credits, SettableClock()
    wallets._clock, settable.time = settable, datetime(2024, 3, 10, tzinfo=UTC)
    # 1 February, 00:30 in Paris: so is 1 April, in summer time.
    assert credits_of(container, anna).period_ends_at == datetime(2024, 3, 31, 22, 30, tzinfo=UTC)
