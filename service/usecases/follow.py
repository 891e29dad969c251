"""Follows an answer as it is written, from any place in it, on any web process.

Events are numbered by the place in the answer where they end, in characters, and the last one by the place after it. So
a client that has seen event N has seen N characters, and what it is sent next begins there, whether that comes from a
worker's hands or from the database.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from service.domain.errors import NotFound
from service.domain.jobs import Job
from service.usecases import ports

HEARTBEAT_SECONDS = 15.0
# For so long after its end an answer is sent again to whoever follows it; later its end alone.
KEPT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Chunk:
    """The characters of the answer up to place `id` that weren't sent yet."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class StillRunning:
    """There was nothing new for a while."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The job is final: the last event."""

    id: int
    job: Job


Event = Chunk | StillRunning | Ended


class Departure:
    """The news that a client is gone, for whoever follows an answer on its behalf. For any number of answers."""

    def __init__(self) -> None:
        self.happened = False
        self._tells: list[Callable[[], None]] = []

    def announce(self) -> None:
        """Returns at once."""
        self.happened = True
        for tell in list(self._tells):
            tell()

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell` when it happens, for as long as this lasts."""
        self._tells.append(tell)
        try:
            yield
        finally:
            self._tells.remove(tell)


class FollowService:
    def __init__(
        self,
        *,
        jobs: ports.Jobs,
        events: ports.JobEvents,
        followers: ports.AnswerFollowers,
        telemetry: ports.Telemetry,
        clock: ports.Clock,
    ) -> None:
        self._jobs = jobs
        self._events = events
        self._followers = followers
        self._telemetry = telemetry
        self._clock = clock

    def __call__(
        self,
        job: Job,
        after: int = 0,
        *,
        kept_for: timedelta = KEPT,
        stays: bool = False,
        departure: Departure | None = None,
    ) -> Iterator[Event]:
        """The events of a job that the caller may read, but those up to number `after`.

        Leaving does not stop the job. Who has seen the last event already gets none. When this process is about to end
        they stop without a last one: the client comes back with the number that it has seen and goes on elsewhere. For
        one that can't they go on if it `stays`. At the `departure` of the client they stop at once.
        """
        if job.status.is_final:
            yield from _rest(job, after, kept=self._ended_within(job, kept_for))
            if after != _end_of(job):
                yield Ended(max(_end_of(job), after + 1), job)
            return
        gone = departure or Departure()
        self._telemetry.streams_open(1)
        try:
            with self._followers.follow(job.id, live=job.stream) as followed, gone.telling(followed.ring):
                sent, final = after, self._look(job.id)
                while not final.status.is_final:
                    text = followed.text
                    if gone.happened:
                        return
                    if len(text) > sent:
                        yield Chunk(len(text), text[sent:])
                        sent = len(text)
                    elif self._events.is_released() and not stays:
                        return
                    elif followed.ended():
                        final = self._look(job.id)
                    elif not followed.wait(HEARTBEAT_SECONDS):
                        yield StillRunning()
            yield from _rest(final, sent, kept=True)
            yield Ended(max(_end_of(final), sent + 1), final)
        finally:
            self._telemetry.streams_open(-1)

    def _ended_within(self, job: Job, time: timedelta) -> bool:
        return job.finished_at is not None and self._clock.now() - job.finished_at < time

    def _look(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound("job")
        return job


def _rest(job: Job, sent: int, *, kept: bool) -> Iterator[Chunk]:
    text = job.answer or ""
    if kept and len(text) > sent:
        yield Chunk(len(text), text[sent:])


def _end_of(job: Job) -> int:
    """The number of the last event."""
    return len(job.answer or "") + 1
