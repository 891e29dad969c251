"""A worker's running jobs: leases kept while they run, cancels heard, the total deadline, and nothing left behind.

The work here waits with gevent, as a worker's calls do once gevent has patched the sockets; that a real call to the
provider is cut off by a cancel is shown with real worker processes.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import gevent
import pytest
from gevent.event import Event
from pymongo.database import Database

from service.adapters.mongo.jobs import MongoJobs
from service.adapters.outages import OUTAGES
from service.adapters.runs import LeasedRuns
from service.bootstrap import Container
from service.domain.errors import UpstreamFailed, UpstreamTimeout
from service.domain.jobs import Job, JobStatus
from service.usecases.ports import RunCancelled, RunHandedBack
from tests.core.support import NewActor, at_once, submit

WORKER = "the worker"
LEASE_SECONDS = 0.6
PATIENCE_SECONDS = 10.0


class ShakyJobs(MongoJobs):
    """The jobs in MongoDB, whose first renewals fail in a way that nobody thought of."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def renew(self, job_ids: Sequence[str], worker_id: str, lease_seconds: int) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise RuntimeError("a defect")
        super().renew(job_ids, worker_id, lease_seconds)


def runs(deadline_seconds: float = PATIENCE_SECONDS, jobs: MongoJobs | None = None) -> LeasedRuns:
    return LeasedRuns(
        jobs=jobs or MongoJobs(),
        worker_id=WORKER,
        lease_seconds=LEASE_SECONDS,
        deadline_seconds=deadline_seconds,
        outages=OUTAGES,
    )


@pytest.fixture
def claimed(container: Container, db: Database, new_actor: NewActor) -> Callable[[], Job]:
    """Submits and claims a job; each time another."""
    actor = new_actor(1_000_000)

    def claim() -> Job:
        job = MongoJobs().claim(submit(container, actor).id, WORKER, LEASE_SECONDS)
        assert job is not None
        return job

    return claim


def until(condition: Callable[[], object]) -> None:
    """Wait as a worker's work waits, until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        gevent.sleep(0.02)


def lease(db: Database, job: Job) -> datetime:
    until: datetime = db.jobs.find_one({"_id": job.id})["lease_until"]
    return until


def wait_for_ever() -> None:
    gevent.sleep(PATIENCE_SECONDS)


def test_what_the_work_returns_or_raises_is_what_comes_of_it(claimed: Callable[[], Job]) -> None:
    def fail() -> None:
        raise UpstreamFailed("broken")

    assert runs().run(claimed(), lambda: "pong") == "pong"
    assert runs().run(claimed(), lambda: None) is None
    with pytest.raises(UpstreamFailed, match="broken"):
        runs().run(claimed(), fail)


def test_a_lease_is_kept_after_the_work_for_as_long_as_it_is_needed(db: Database, claimed: Callable[[], Job]) -> None:
    keeper, job = runs(), claimed()
    with keeper.leased(job):
        keeper.run(job, lambda: None)
        after_the_work = lease(db, job)
        until(lambda: lease(db, job) > after_the_work)
    assert not keeper._leased


def test_a_lease_is_kept_for_as_long_as_the_work_takes(db: Database, claimed: Callable[[], Job]) -> None:
    job = claimed()
    first = lease(db, job)

    def work() -> None:
        until(lambda: lease(db, job) > first and datetime.now(UTC) > first)

    runs().run(job, work)
    assert MongoJobs().expired(10) == []
    assert lease(db, job) > datetime.now(UTC)


def test_a_cancel_stops_the_work(db: Database, claimed: Callable[[], Job]) -> None:
    job, stopped = claimed(), Event()

    def work() -> None:
        MongoJobs().request_cancel(job.id)
        try:
            wait_for_ever()
        finally:
            stopped.set()

    started = time.monotonic()
    with pytest.raises(RunCancelled):
        runs().run(job, work)
    assert time.monotonic() - started < 2
    assert stopped.is_set()


def test_a_cancel_of_another_job_stops_nothing(db: Database, claimed: Callable[[], Job]) -> None:
    worker, job, other = runs(), claimed(), claimed()
    done = Event()

    def short() -> None:
        MongoJobs().request_cancel(other.id)
        until(done.is_set)

    def cancelled() -> None:
        with pytest.raises(RunCancelled):
            worker.run(other, wait_for_ever)
        done.set()

    assert at_once([lambda: worker.run(job, short), cancelled]) == [None, None]


def test_work_that_is_done_is_not_undone_by_a_cancel_that_came_late(claimed: Callable[[], Job]) -> None:
    job = claimed()

    def work() -> str:
        MongoJobs().request_cancel(job.id)
        return "pong"

    assert runs().run(job, work) == "pong"


def test_the_deadline_ends_the_work(claimed: Callable[[], Job]) -> None:
    stopped = Event()

    def work() -> None:
        try:
            wait_for_ever()
        finally:
            stopped.set()

    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        runs(deadline_seconds=0.1).run(claimed(), work)
    assert time.monotonic() - started < 2
    assert stopped.is_set()


def test_a_lease_is_kept_after_a_defect_too(db: Database, claimed: Callable[[], Job]) -> None:
    """A worker whose leases are no longer kept would run every job three times for nothing."""
    job, jobs = claimed(), ShakyJobs(failures=2)
    first = lease(db, job)
    runs(jobs=jobs).run(job, lambda: until(lambda: lease(db, job) > first))
    assert jobs.failures == 0


def test_two_attempts_of_a_job_in_one_process_do_not_get_in_each_others_way(
    container: Container, db: Database, claimed: Callable[[], Job]
) -> None:
    """MongoDB was away for longer than the lease: the job was given back and claimed here again."""
    worker, first = runs(), claimed()
    started, ended, results = Event(), Event(), {}

    def run(name: str, job: Job, work: Callable[[], Any]) -> None:
        try:
            results[name] = worker.run(job, work)
        except Exception as error:  # noqa: BLE001 - looked at below
            results[name] = error

    def first_work() -> None:
        started.set()
        until(ended.is_set)

    def second_work() -> str:
        ended.set()
        until(lambda: "first" in results)
        before = lease(db, first)
        until(lambda: lease(db, first) > before)
        return "pong"

    with ThreadPoolExecutor(2) as pool:
        stale = pool.submit(run, "first", first, first_work)
        until(started.is_set)
        assert MongoJobs().requeue(first)
        second = MongoJobs().claim(first.id, WORKER, LEASE_SECONDS)
        current = pool.submit(run, "second", second, second_work)
        stale.result(PATIENCE_SECONDS)
        current.result(PATIENCE_SECONDS)

    assert results["second"] == "pong"
    assert results["first"] is None or isinstance(results["first"], RunCancelled)


def test_leases_of_ended_runs_are_not_kept(container: Container, db: Database, claimed: Callable[[], Job]) -> None:
    worker, ended, running = runs(), claimed(), claimed()
    worker.run(ended, lambda: None)
    end, first = lease(db, ended), lease(db, running)
    worker.run(running, lambda: until(lambda: lease(db, running) > first))
    assert lease(db, ended) == end


def test_a_whole_run_keeps_what_it_bound_to_its_log(
    container: Container, db: Database, new_actor: NewActor, capsys: pytest.CaptureFixture[str]
) -> None:
    actor = new_actor()
    job = submit(container, actor)
    assert container.run(job.id).status is JobStatus.SUCCEEDED
    line = next(line for line in capsys.readouterr().out.splitlines() if "upstream call" in line)
    assert job.id in line
    assert "test-request" in line


def test_who_leaves_lets_runs_end_within_the_grace_period(claimed: Callable[[], Job]) -> None:
    worker, job = runs(), claimed()

    def work() -> str:
        until(lambda: worker.is_leaving())
        return "pong"

    with ThreadPoolExecutor(2) as pool:
        run = pool.submit(worker.run, job, work)
        until(lambda: worker._stops)
        leaving = pool.submit(worker.leave, PATIENCE_SECONDS)
        assert run.result(PATIENCE_SECONDS) == "pong"
        leaving.result(PATIENCE_SECONDS)


def test_who_leaves_stops_what_does_not_end_within_the_grace_period(claimed: Callable[[], Job]) -> None:
    worker, job = runs(), claimed()
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(worker.run, job, wait_for_ever)
        until(lambda: worker._stops)
        worker.leave(0)
        with pytest.raises(RunHandedBack):
            run.result(PATIENCE_SECONDS)
