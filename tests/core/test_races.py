"""Whoever comes at the same moment: one of them ends the job, and the money moves once."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.billing import Charge
from service.domain.chat import Usage
from service.domain.jobs import Job, JobStatus, Outcome, failed
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, ask, at_once, lose_worker, spread, submit, wallet

# With RACE_REPETITIONS=1000 each of a thousand cancels that met an answer ended its job once.
REPETITIONS = int(os.environ.get("RACE_REPETITIONS", "8"))
BALANCE = 5_000


@dataclass(frozen=True)
class Race:
    """One job and those who want to end it, each in any of several processes.

    Each way in returns the job if it was the one that ended it, else None.
    """

    processes: list[Container]
    db: Database
    actor: Actor
    job: Job

    @property
    def container(self) -> Container:
        return random.choice(self.processes)

    def answer(self) -> Job | None:
        """What a worker does, without the provider: claim, settle."""
        claimed = self.container.run._jobs.claim(self.job.id, "a worker", 30)
        return None if claimed is None else self.settle_answer(claimed)

    def settle_answer(self, claimed: Job) -> Job | None:
        pong = Outcome(JobStatus.SUCCEEDED, Charge(5), "pong", Usage(prompt_tokens=3, completion_tokens=2), "stop")
        return self.container.jobs._money.settle(claimed, pong, 20)

    def settle_failure(self, claimed: Job) -> Job | None:
        return self.container.jobs._money.settle(claimed, failed("UPSTREAM_ERROR"), 20)

    def cancel(self) -> None:
        self.container.jobs.cancel(self.actor, self.job.id)

    def upkeep(self) -> None:
        self.container.upkeep.recover_expired()

    def requeue(self, claimed: Job) -> None:
        self.container.run._jobs.requeue(claimed)

    def give_up(self, claimed: Job) -> Job | None:
        return self.container.jobs._money.settle(claimed, failed("INTERRUPTED"), 20)

    def run(self, *calls: Callable[[], Job | None]) -> list[Job]:
        """All at once, in any order; those that ended the job."""
        shuffled = random.sample(calls, len(calls))
        results = at_once(shuffled)
        errors = [result for result in results if isinstance(result, Exception)]
        assert errors == []
        return [result for result in results if result is not None]

    def check(self, enders: list[Job]) -> Job:
        """One end at most, and the database agrees with it."""
        stored = self.container.jobs.get(self.actor, self.job.id)
        assert len(enders) <= 1
        for ender in enders:
            assert (stored.status, stored.charged) == (ender.status, ender.charged)
        available, held = wallet(self.container, self.actor)
        assert available + held == BALANCE - stored.charged
        assert held == (0 if stored.status.is_final else stored.hold)
        check_money(self.db)
        return stored


@pytest.fixture
def race(processes: list[Container], db: Database, new_actor: NewActor) -> Race:
    actor = new_actor(BALANCE)
    return Race(processes, db, actor, submit(processes[0], actor))


repeated = pytest.mark.parametrize("repetition", range(REPETITIONS))


@repeated
def test_a_queued_job_is_cancelled_or_answered(race: Race, repetition: int) -> None:
    enders = race.run(race.answer, race.answer, race.cancel, race.cancel, race.cancel)
    stored = race.check(enders)
    assert stored.status in (JobStatus.SUCCEEDED, JobStatus.CANCELLED)
    assert (len(enders) == 1) == (stored.status is JobStatus.SUCCEEDED)


@repeated
def test_a_running_job_is_settled_by_one(race: Race, repetition: int) -> None:
    claimed = race.container.run._jobs.claim(race.job.id, "a worker", 30)
    calls = (race.settle_answer, race.settle_answer, race.settle_failure, race.give_up)
    enders = race.run(*(partial(call, claimed) for call in calls), race.cancel)
    assert len(enders) == 1
    assert race.check(enders).status.is_final


@repeated
def test_a_late_answer_and_upkeep_agree(race: Race, repetition: int) -> None:
    """The worker was paused longer than its lease, and comes back just as upkeep gives its job away."""
    lose_worker(race.container, race.db, race.job)
    claimed = race.container.jobs.get(race.actor, race.job.id)
    enders = race.run(partial(race.settle_answer, claimed), race.upkeep, race.upkeep, race.cancel, race.answer)
    stored = race.check(enders)
    if not stored.status.is_final:
        race.answer()
        assert race.container.jobs.get(race.actor, race.job.id).status is JobStatus.SUCCEEDED
        check_money(race.db)


@repeated
def test_a_late_answer_and_the_last_attempts_end_agree(race: Race, repetition: int) -> None:
    lose_worker(race.container, race.db, race.job)
    race.db.jobs.update_one({"_id": race.job.id}, {"$set": {"attempt": 3}})
    claimed = race.container.jobs.get(race.actor, race.job.id)
    enders = race.run(partial(race.settle_answer, claimed), race.upkeep, race.upkeep, race.upkeep)
    stored = race.check(enders)
    assert stored.status is (JobStatus.SUCCEEDED if enders else JobStatus.FAILED)


@repeated
def test_attempts_of_one_job_are_fenced(race: Race, repetition: int) -> None:
    first = race.container.run._jobs.claim(race.job.id, "first", 30)
    race.requeue(first)
    second = race.container.run._jobs.claim(race.job.id, "second", 30)
    calls = (race.settle_answer, race.settle_failure, race.requeue, race.give_up)
    enders = race.run(*(partial(call, first) for call in calls), partial(race.settle_answer, second))
    assert [ender.attempt for ender in enders] == [2]
    race.check(enders)


def test_one_of_many_workers_claims_a_job(race: Race) -> None:
    claims = at_once([lambda n=n: race.container.run._jobs.claim(race.job.id, f"worker {n}", 30) for n in range(16)])
    (claimed,) = [claim for claim in claims if claim is not None]
    assert claimed.attempt == 1


def test_everything_at_once_on_one_account(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(contains="bad", status=400)
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    actor = new_actor(1_000_000)

    def fail(process: Container) -> None:
        ask(process, actor, "bad")

    def answer(process: Container) -> None:
        ask(process, actor)

    def cancel_one(process: Container) -> None:
        process.jobs.cancel(actor, submit(process, actor).id)

    def top_up(process: Container) -> None:
        process.billing.top_up(ROOT, actor.account_id, 1_000, None)

    def adjust(process: Container) -> None:
        process.admin.adjust_balance(ROOT, actor.account_id, -1_000, "fee", None)

    def reset(process: Container) -> None:
        process.contexts.reset(actor, None)

    deeds = (answer, fail, cancel_one, top_up, adjust, reset)
    calls = [call for deed in deeds for call in spread(deed, random.sample(processes, 3), 3)]
    results = at_once(random.sample(calls, len(calls)))

    assert [result for result in results if isinstance(result, Exception)] == []
    assert wallet(container, actor) == (1_000_000 - 3 * 38, 0)
    check_money(db)
