"""The jobs that this worker process is running: leases kept, cancels heard, total deadline enforced.

One pair of background greenlets serves all runs of the process, with one query each per round.
"""

import contextvars
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent
import structlog
from gevent.event import AsyncResult

from service.domain.errors import UpstreamTimeout
from service.domain.jobs import Job
from service.usecases.ports import Jobs, RunCancelled, RunHandedBack

log = structlog.get_logger(__name__)

T = TypeVar("T")
CANCEL_POLL_SECONDS = 0.5
LEAVE_POLL_SECONDS = 0.1
# A lease is renewed so many times within its length.
LEASE_RENEWALS = 3


class LeasedRuns:
    def __init__(
        self,
        *,
        jobs: Jobs,
        worker_id: str,
        lease_seconds: int,
        deadline_seconds: float,
        outages: tuple[type[Exception], ...],
    ) -> None:
        self._jobs = jobs
        self._worker_id = worker_id
        self._lease_seconds = lease_seconds
        self._deadline_seconds = deadline_seconds
        self._outages = outages
        # By job and attempt: after an outage one job may run here twice, the older attempt for nothing.
        self._stops: dict[tuple[str, int], Callable[[Exception], object]] = {}
        # A run is in here once for each that wants it kept.
        self._leased: Counter[tuple[str, int]] = Counter()
        self._started = False
        self._leaving = False

    @contextmanager
    def leased(self, job: Job) -> Iterator[None]:
        """See `ports.Runs.leased`."""
        run = (job.id, job.attempt)
        self._leased[run] += 1
        self._start()
        try:
            yield
        finally:
            self._leased[run] -= 1
            if not self._leased[run]:
                del self._leased[run]

    def run(self, job: Job, work: Callable[[], T]) -> T:
        """See `ports.Runs.run`. The work runs in a greenlet of its own, because that can be stopped while it waits."""
        stopped, hub = AsyncResult(), gevent.get_hub()
        # Cancels are heard by another thread where gevent hasn't replaced threads.
        self._stops[job.id, job.attempt] = lambda why: hub.loop.run_callback_threadsafe(stopped.set, why)
        outcome: list[T | Exception] = []
        worker = gevent.spawn(contextvars.copy_context().run, _keep_outcome, work, outcome)
        either: list[Any] = [worker, stopped]
        try:
            with self.leased(job):
                gevent.wait(either, timeout=self._deadline_seconds, count=1)
        finally:
            worker.kill()
            del self._stops[job.id, job.attempt]
        if not outcome:
            if stopped.ready():
                raise stopped.value
            raise UpstreamTimeout(f"no answer within {self._deadline_seconds} s in all")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def is_leaving(self) -> bool:
        return self._leaving

    def leave(self, grace_seconds: float) -> None:
        """See `ports.Runs.leave`."""
        self._leaving = True
        deadline, pause = time.monotonic() + grace_seconds, threading.Event()
        while self._leased:
            if time.monotonic() >= deadline:
                for stop in list(self._stops.values()):
                    stop(RunHandedBack())
            pause.wait(LEAVE_POLL_SECONDS)

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._every(self._lease_seconds / LEASE_RENEWALS, self._renew, self._leased)
            self._every(CANCEL_POLL_SECONDS, self._hear_cancels, self._stops)

    def _every(self, seconds: float, action: Callable[[list[str]], None], runs: Collection[tuple[str, int]]) -> None:
        def loop() -> None:
            while True:
                gevent.sleep(seconds)
                try:
                    if runs:
                        action([job_id for job_id, _ in list(runs)])
                except self._outages as error:
                    log.warning("runs without the database", reason=type(error).__name__)
                except Exception:
                    # Without this loop every later run would lose its lease, or never hear of its cancel.
                    log.exception("runs broke")

        threading.Thread(target=loop, name=action.__name__, daemon=True).start()

    def _renew(self, job_ids: list[str]) -> None:
        self._jobs.renew(job_ids, self._worker_id, self._lease_seconds)

    def _hear_cancels(self, job_ids: list[str]) -> None:
        wanted = self._jobs.cancel_requests(job_ids)
        for (job_id, _), stop in list(self._stops.items()):
            if job_id in wanted:
                stop(RunCancelled())


def _keep_outcome(work: Callable[[], T], outcome: list[T | Exception]) -> None:
    """Hand an error to whoever waits instead of letting the greenlet print it."""
    try:
        outcome.append(work())
    except Exception as error:  # noqa: BLE001 - raised again by whoever waits
        outcome.append(error)
