"""The jobs that this worker process is running: leases kept, cancels heard, total deadline enforced.

One pair of background greenlets serves all runs of the process, with one query each per round.
"""

import contextvars
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
import structlog
from gevent.event import Event

from service.domain.errors import UpstreamTimeout
from service.domain.jobs import Job
from service.usecases.ports import Jobs, RunCancelled

log = structlog.get_logger(__name__)

T = TypeVar("T")
CANCEL_POLL_SECONDS = 0.5


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
        self._cancels: dict[tuple[str, int], Callable[[], object]] = {}
        self._started = False

    def run(self, job: Job, work: Callable[[], T]) -> T:
        """See `ports.Runs.run`. The work runs in a greenlet of its own, because that can be stopped while it waits."""
        cancel, hub = Event(), gevent.get_hub()
        # Cancels are heard by another thread where gevent hasn't replaced threads.
        self._cancels[job.id, job.attempt] = lambda: hub.loop.run_callback_threadsafe(cancel.set)
        self._start()
        outcome: list[T | Exception] = []
        worker = gevent.spawn(contextvars.copy_context().run, _keep_outcome, work, outcome)
        either: list[Any] = [worker, cancel]
        try:
            gevent.wait(either, timeout=self._deadline_seconds, count=1)
        finally:
            worker.kill()
            del self._cancels[job.id, job.attempt]
        if not outcome:
            if cancel.is_set():
                raise RunCancelled()
            raise UpstreamTimeout(f"no answer within {self._deadline_seconds} s in all")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def _start(self) -> None:
        if not self._started:
            self._started = True
            self._every(self._lease_seconds / 3, self._renew)
            self._every(CANCEL_POLL_SECONDS, self._hear_cancels)

    def _every(self, seconds: float, action: Callable[[list[str]], None]) -> None:
        def loop() -> None:
            while True:
                gevent.sleep(seconds)
                try:
                    if self._cancels:
                        action([job_id for job_id, _ in list(self._cancels)])
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
        for (job_id, _), cancel in list(self._cancels.items()):
            if job_id in wanted:
                cancel()


def _keep_outcome(work: Callable[[], T], outcome: list[T | Exception]) -> None:
    """Hand an error to whoever waits instead of letting the greenlet print it."""
    try:
        outcome.append(work())
    except Exception as error:  # noqa: BLE001 - raised again by whoever waits
        outcome.append(error)
