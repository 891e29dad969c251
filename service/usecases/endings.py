"""What follows a job's end, whoever ended it: a worker, its owner, upkeep, or whoever erases it."""

from service.domain.jobs import Job, Outcome
from service.usecases import ports


class Endings:
    def __init__(
        self,
        *,
        money: ports.Money,
        telemetry: ports.Telemetry,
        open_jobs: ports.OpenJobs,
        events: ports.JobEvents,
        delivery_bell: ports.DeliveryBell,
        history_messages: int,
    ) -> None:
        self._money = money
        self._telemetry = telemetry
        self._open_jobs = open_jobs
        self._events = events
        self._delivery_bell = delivery_bell
        self._history_messages = history_messages

    def settle(self, job: Job, outcome: Outcome) -> Job | None:
        """End a job and tell everybody who waits for that; the job as it is then, or None if it wasn't as given.

        Nothing that is told here is needed: what gets lost is found by upkeep, or by whoever waits, in the database.
        """
        settled = self._money.settle(job, outcome, self._history_messages)
        if settled is None:
            return None
        self._telemetry.job_final(settled)
        self._open_jobs.leave(settled.id)
        self._events.announce(settled.id)
        self._delivery_bell.ring(settled.destinations)
        return settled
