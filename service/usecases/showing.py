"""Shows an answer while it is written. That something was shown is written to the database before anybody sees it, so
that no crash can lead to a second, different beginning of the same answer."""

import time

import structlog

from service.domain.jobs import Job
from service.usecases import ports

log = structlog.get_logger(__name__)

# How much of what was shown a crash of both the worker and Redis may cost.
CHECKPOINT_SECONDS = 5.0
# When the database is asked again after it was away.
RETRY_SECONDS = 1.0


class ClaimLost(Exception):
    """Another attempt has the job, or it is final: nothing of this one may be shown."""


class Showing:
    """One attempt's answer as it grows; called with each piece."""

    def __init__(
        self,
        job: Job,
        *,
        jobs: ports.Jobs,
        writer: ports.AnswerWriter,
        telemetry: ports.Telemetry,
        clock: ports.Clock,
        outages: tuple[type[Exception], ...],
    ) -> None:
        self._job = job
        self._jobs = jobs
        self._writer = writer
        self._telemetry = telemetry
        self._clock = clock
        self._outages = outages
        self._text = ""
        self._may_show = False
        self._next_checkpoint = 0.0

    def __call__(self, piece: str) -> None:
        """One more piece. Raises ClaimLost."""
        self._text += piece
        if time.monotonic() >= self._next_checkpoint:
            self._checkpoint()
        if self._may_show:
            self._writer.show(self._job.id, self._text)

    @property
    def shown(self) -> str | None:
        """What clients may have seen; None if nothing."""
        return self._text if self._may_show else None

    def end(self) -> None:
        """Nothing more comes, whatever became of it."""
        if self._may_show:
            self._writer.end(self._job.id)

    def _checkpoint(self) -> None:
        try:
            current = self._jobs.show(self._job, self._text)
        except self._outages as error:
            # Until the database has heard of it nothing is shown; the answer itself goes on meanwhile.
            log.warning("showing without the database", reason=type(error).__name__)
            self._next_checkpoint = time.monotonic() + RETRY_SECONDS
            return
        if not current:
            raise ClaimLost()
        self._next_checkpoint = time.monotonic() + CHECKPOINT_SECONDS
        if not self._may_show:
            self._may_show = True
            self._telemetry.first_shown(self._job, (self._clock.now() - self._job.created_at).total_seconds())
