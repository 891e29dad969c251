"""Credits: granted once a month, one for an answer, the plan's before the extra ones, never more than there are."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.errors import AccountLinked, JobRunning, NoCredits, NotFound, RateLimited
from service.domain.jobs import Job, JobStatus, cancelled, failed
from service.domain.plans import Credits, Plan
from service.usecases.accounts import Registration
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.streaming import Slow
from tests.core.support import (
    ROOT,
    NewActor,
    SettableClock,
    at_once,
    key,
    kinds,
    new_key,
    program_of,
    runner_with,
    spread,
    wallet,
)
from tests.core.support import ask as ask_anybody
from tests.core.support import submit as submit_to_anybody
from tests.core.test_accounts import HERE, PASSWORD, actor_of

# 100 of 100 were exact when it was last run so often: MONEY_REPETITIONS=100.
REPETITIONS = int(os.environ.get("MONEY_REPETITIONS", "10"))
A_DAY = timedelta(days=1)


def submit(container: Container, actor: Actor, **fields: Any) -> Job:
    return submit_to_anybody(container, actor, assistant="coach", **fields)


def ask(container: Container, actor: Actor, **fields: Any) -> Job:
    return ask_anybody(container, actor, assistant="coach", **fields)


def credits_of(container: Container, actor: Actor) -> Credits:
    return container.billing.credits(actor, None)


def remaining(container: Container, actor: Actor) -> int | None:
    return credits_of(container, actor).remaining


def entries(db: Database, wallet_id: str) -> list[tuple[str, int, int]]:
    """Kind, amount and what is held afterwards, oldest first."""
    rows = db.ledger.find({"account_id": wallet_id}).sort("seq", 1)
    return [(row["kind"], row["amount"], row["held_after"]) for row in rows]


def months(db: Database, actor: Actor) -> list[tuple[str, int]]:
    """The grants and what expired, oldest first."""
    found = entries(db, f"{actor.account_id}:credits")
    return [(kind, amount) for kind, amount, _ in found if kind in ("grant", "expire")]


def give_extra(container: Container, actor: Actor, amount: int) -> None:
    container.admin.adjust_credits(ROOT, actor.account_id, amount, "a gift", None)


@pytest.fixture
def clock(container: Container, processes: list[Container]) -> Iterator[SettableClock]:
    """A clock that a test moves, by which all these processes tell the month."""
    settable = SettableClock()
    wallets = [process.jobs._money._credits for process in processes]
    usual = [each._clock for each in wallets]
    for each in wallets:
        each._clock = settable
    yield settable
    for each, before in zip(wallets, usual, strict=True):
        each._clock = before


@pytest.fixture
def anna(db: Database, new_actor: NewActor, upstream: UpstreamControl) -> Actor:
    """Somebody with the free plan and no tokens."""
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    return new_actor(0)


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


@pytest.mark.parametrize(("given", "monthly"), [(True, 5), (False, 0)])
def test_end_users_have_the_free_plans_credits_if_the_operator_says_so(
    build: Build, db: Database, new_actor: NewActor, given: bool, monthly: int
) -> None:
    container = build(end_user_credits=given)
    program = program_of(new_key(container, new_actor()))
    assert container.billing.credits(program, "4242").remaining == monthly
    if given:
        assert ask(container, program, user_id="4242").balance_after == 4
    else:
        with pytest.raises(NoCredits):
            submit(container, program, user_id="4242")
    end_user = container.billing.statement(program, "4242").account.id
    container.admin.set_plan(ROOT, end_user, Plan.BASIC)
    assert container.billing.credits(program, "4242").remaining == 50, "a plan that somebody gave them counts"
    check_money(db)


def test_a_link_takes_the_extra_credits_along(container: Container, db: Database, new_actor: NewActor) -> None:
    vera, program = new_actor(), program_of(new_key(container, new_actor()))
    end_user = container.billing.statement(program, "4242").account.id
    container.admin.adjust_credits(ROOT, end_user, 3, "paid", None)
    waiting = submit(container, program, user_id="4242")
    with pytest.raises(JobRunning):
        container.links.confirm(program, "4242", container.links.issue(vera).code)
    container.jobs.cancel(program, waiting.id)

    container.links.confirm(program, "4242", container.links.issue(vera).code)

    assert (credits_of(container, vera).remaining, credits_of(container, vera).extra) == (8, 3)
    assert ask(container, program, user_id="4242").wallet_id == f"{vera.account_id}:credits"
    assert container.billing.credits(program, "4242").remaining == 7
    for refused in (
        lambda: container.admin.set_plan(ROOT, end_user, Plan.BASIC),
        lambda: container.admin.adjust_credits(ROOT, end_user, 1, "", None),
    ):
        with pytest.raises(AccountLinked):
            refused()
    (link,) = container.links.own(vera)
    container.links.remove(vera, link.id)
    assert container.billing.credits(program, "4242").remaining == 5, "its own month again, without what went away"
    submit(container, program, user_id="4242")
    check_money(db)


def test_a_question_without_a_hold_is_answered_though_its_account_is_linked_meanwhile(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    vera, program = new_actor(), program_of(new_key(container, new_actor()))
    end_user = container.billing.statement(program, "4242").account.id
    container.admin.set_plan(ROOT, end_user, Plan.PREMIUM)
    waiting = submit(container, program, user_id="4242")
    container.links.confirm(program, "4242", container.links.issue(vera).code)

    container.run(waiting.id)

    done = container.jobs.get(ROOT, waiting.id)
    assert (done.status, done.charged, done.wallet_id) == (JobStatus.SUCCEEDED, 0, f"{end_user}:credits")
    assert credits_of(container, vera).remaining == 5
    check_money(db)


@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_nobody_asks_on_a_wallet_that_is_linked_meanwhile(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor, repetition: int
) -> None:
    vera, program = new_actor(), program_of(new_key(container, new_actor()))
    end_user = container.billing.statement(program, "4242").account.id
    code = container.links.issue(vera).code

    def link(process: Container) -> object:
        return process.links.confirm(program, "4242", code)

    results = at_once([*spread(link, processes, 1), *spread(submit, processes, 4, program, user_id="4242")])

    linked = db.accounts.find_one({"_id": end_user})["linked_account_id"] is not None
    assert set(kinds(results)) <= {"Confirmed", "Job", "JobRunning"}
    own = [job for job in results if isinstance(job, Job) and job.account_id == end_user]
    assert not (linked and own), "asked on its own wallet, and linked while that ran"
    check_money(db)


def test_an_account_that_does_not_exist_has_no_credits(container: Container, db: Database) -> None:
    with pytest.raises(NotFound):
        submit(container, ROOT, user_id="nobody")
    with pytest.raises(NotFound):
        container.admin.adjust_credits(ROOT, "nobody", 1, "", None)
    assert db.credits.count_documents({}) == 0
    check_money(db)


def test_guests_have_credits_that_they_keep_when_they_register(
    container: Container, db: Database, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    guest = actor_of(container.accounts.guest_login(address=HERE, locale=None))
    assert ask(container, guest).balance_after == 4
    give_extra(container, guest, 2)
    registered = container.accounts.register(
        Registration(password=PASSWORD, username="anna"), address=HERE, guest=guest
    )
    assert registered.account.role is Role.USER
    assert (credits_of(container, guest).monthly, credits_of(container, guest).extra) == (4, 2)
    assert [kind for kind, _ in months(db, guest)] == ["grant"]
    check_money(db)


def test_the_month_is_of_the_zone(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(billing_timezone="Europe/Paris"), new_actor(0)
    created = datetime(2024, 1, 31, 23, 30, tzinfo=UTC)
    db.accounts.update_one({"_id": anna.account_id}, {"$set": {"created_at": created}})
    wallets, settable = container.jobs._money._credits, SettableClock()
    wallets._clock, settable.time = settable, datetime(2024, 3, 10, tzinfo=UTC)
    # 1 February, 00:30 in Paris: so is 1 April, in summer time.
    assert credits_of(container, anna).period_ends_at == datetime(2024, 3, 31, 22, 30, tzinfo=UTC)
