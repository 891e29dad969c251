"""Takes back questions that were refused while nobody could know what had become of them.

A database that hangs in the middle of a commit may have stored the job or may still store it when it comes back. The
client was told that nothing was accepted, so if the job turns up it is cancelled before it costs anything.
"""

import threading
import time
from dataclasses import dataclass

import structlog

from service.domain.jobs import JobStatus, cancelled
from service.usecases.ports import Jobs, Money

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
# A transaction that isn't committed so long after the database answers again never will be: its lifetime is 3 s.
DOUBT_SECONDS = 5.0


@dataclass(slots=True)
class _Doubt:
    job_id: str
    over_at: float | None = None


class BackgroundWithdrawals:
    """One thread per process, only while there is something to take back."""

    def __init__(self, *, jobs: Jobs, money: Money, outages: tuple[type[Exception], ...]) -> None:
        self._jobs = jobs
        self._money = money
        self._outages = outages
        self._doubts: list[_Doubt] = []
        self._lock = threading.Lock()

    def add(self, job_id: str) -> None:
        """See `ports.Withdrawals.add`."""
        with self._lock:
            self._doubts.append(_Doubt(job_id))
            alone = len(self._doubts) == 1
        if alone:
            threading.Thread(target=self._work, name="withdrawals", daemon=True).start()

    def _work(self) -> None:
        while True:
            threading.Event().wait(POLL_SECONDS)
            with self._lock:
                doubts = list(self._doubts)
            over = [doubt for doubt in doubts if self._is_over(doubt)]
            with self._lock:
                self._doubts = [doubt for doubt in self._doubts if doubt not in over]
                if not self._doubts:
                    return

    def _is_over(self, doubt: _Doubt) -> bool:
        try:
            return self._withdraw(doubt)
        except self._outages:
            doubt.over_at = None
        except Exception:
            # One that can't be taken back must not keep the others from it.
            log.exception("withdrawing broke", job_id=doubt.job_id)
            return True
        return False

    def _withdraw(self, doubt: _Doubt) -> bool:
        job = self._jobs.get(doubt.job_id)
        if job is None:
            if doubt.over_at is None:
                doubt.over_at = time.monotonic() + DOUBT_SECONDS
            return time.monotonic() >= doubt.over_at
        if job.status is JobStatus.QUEUED and self._money.settle(job, cancelled(), 0) is not None:
            log.warning("refused question withdrawn", job_id=job.id)
            return True
        if job.status is JobStatus.RUNNING:
            self._jobs.request_cancel(job.id)
        return job.status.is_final
