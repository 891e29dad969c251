"""What makes "accepted means answered" hold: everything that a crash can leave behind is found here and finished.

Runs every second or so on one worker at a time. The database is read, never the broker: a lost message, a dead worker
and a flushed Redis all look the same from here.
"""

import structlog

from service.domain.jobs import INTERRUPTED, Job, JobStatus, cancelled, failed
from service.usecases import ports
from service.usecases.endings import Endings
from service.usecases.erase import EraseService

log = structlog.get_logger(__name__)

RING_BATCH = 500
# These are read whole, with their prompts.
EXPIRED_BATCH = 100
DESTINATIONS_BATCH = 500
# A ring is taken for lost after this long when the broker's queue is empty …
LOST_AFTER_SECONDS = 2
# … and repeated after this long however busy the queue is, because among many rings one may still be missing.
REPEAT_AFTER_SECONDS = 30


class UpkeepService:
    def __init__(
        self,
        *,
        jobs: ports.Jobs,
        endings: Endings,
        writer: ports.AnswerWriter,
        leases: ports.Leases,
        doorbell: ports.Doorbell,
        deliveries: ports.Deliveries,
        delivery_bell: ports.DeliveryBell,
        erase: EraseService,
        outages: tuple[type[Exception], ...],
        holder: str,
        lease_seconds: int,
        renewal_seconds: float,
    ) -> None:
        self._jobs = jobs
        self._endings = endings
        self._writer = writer
        self._leases = leases
        self._doorbell = doorbell
        self._deliveries = deliveries
        self._delivery_bell = delivery_bell
        self._erase = erase
        self._outages = outages
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._renewal_seconds = renewal_seconds

    def __call__(self) -> bool:
        """One round; False if another worker holds the upkeep lease."""
        held_seconds = self._leases.take("upkeep", self._holder, self._lease_seconds)
        if held_seconds is None:
            return False
        try:
            # After an outage of the database those who run jobs first get the time to renew their leases: an answer
            # that has come meanwhile must not be bought again.
            if held_seconds >= self._renewal_seconds:
                self.recover_expired()
        finally:
            # A job that can't be ended now, say of an account under heavy load, keeps nobody else's from running.
            self.ring_again()
            self.deliver_again()
            self._erase()
        return True

    def recover_expired(self) -> None:
        """Give jobs whose worker is gone back to the queue, or end them after their last attempt."""
        for job in self._jobs.expired(EXPIRED_BATCH):
            try:
                self._recover(job)
            except self._outages:
                raise
            except Exception:
                # One job that can't be ended must not keep all the others from their end.
                log.exception("job can't be recovered", job_id=job.id)

    def ring_again(self) -> None:
        """Announce queued jobs whose message may be lost."""
        waiting = self._doorbell.waiting()
        if waiting is None or (waiting and waiting >= self._jobs.count_by_status()[JobStatus.QUEUED]):
            # The broker is away, or holds a ring for each queued job: one more would only make its queue longer.
            return
        due = self._jobs.due(RING_BATCH, silent_seconds=REPEAT_AFTER_SECONDS if waiting else LOST_AFTER_SECONDS)
        if due and self._doorbell.ring(due):
            self._jobs.mark_announced(due)
            log.info("jobs announced again", count=len(due))

    def deliver_again(self) -> None:
        """Give back deliveries whose worker is gone, and ring for every destination that something is due for."""
        recovered = self._deliveries.recover_expired(DESTINATIONS_BATCH)
        if recovered:
            log.warning("deliveries given back after a lost worker", count=recovered)
        waiting = self._delivery_bell.waiting()
        if waiting is None or waiting < DESTINATIONS_BATCH:
            self._delivery_bell.ring(self._deliveries.due(DESTINATIONS_BATCH))

    def _recover(self, job: Job) -> None:
        if job.cancel_requested or job.shown is not None or job.is_last_attempt:
            self._give_up(job)
        elif self._jobs.requeue(job):
            log.warning("job requeued after a lost worker", job_id=job.id, attempt=job.attempt)

    def _give_up(self, job: Job) -> None:
        shown = self._shown(job)
        outcome = cancelled(shown) if job.cancel_requested else failed(INTERRUPTED, shown)
        if self._endings.settle(job, outcome) is not None:
            log.error("job given up after a lost worker", job_id=job.id, attempt=job.attempt, status=outcome.status)

    def _shown(self, job: Job) -> str | None:
        """What clients have seen of the answer; closed first, because the lost worker may only be slow."""
        if job.shown is None:
            return None
        return max(job.shown, self._writer.seal(job.id), key=len)
