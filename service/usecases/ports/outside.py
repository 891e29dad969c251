"""What the use cases need of the rest of the outside: broker, model provider, limits, passwords, time."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from service.domain.jobs import Job
from service.usecases.ports.records import (
    ChatAnswer,
    ChatRequest,
    Quota,
    UpstreamCheck,
)

T = TypeVar("T")


class Doorbell(Protocol):
    """Tells workers that jobs wait. Best effort: a lost ring is repeated by upkeep, a repeated one is harmless."""

    def ring(self, job_ids: Sequence[str]) -> bool:
        """False if the broker is away."""

    def waiting(self) -> int | None:
        """How many rings no worker has heard yet; None if the broker is away."""


class DeliveryBell(Protocol):
    """Tells workers that something is due for destinations. Best effort, as `Doorbell`."""

    def ring(self, destinations: Sequence[str]) -> None: ...

    def waiting(self) -> int | None:
        """How many rings no worker has heard yet; None if the broker is away."""


class JobEvents(Protocol):
    """Tells waiting clients that a job is final."""

    def announce(self, job_id: str) -> None:
        """Best effort."""

    def start(self) -> None:
        """Begin to listen, in a process that will watch."""

    def watch(self, job_id: str) -> AbstractContextManager[Callable[[float], bool]]:
        """Yields a function that waits up to so many seconds and says whether the job is final, or the process ends."""

    def on_final(self, job_id: str, tell: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `tell` when the job is final or the process ends, perhaps more than once, until the context ends."""

    def release(self) -> None:
        """The process ends: tell everyone, now and from now on, that waiting is over."""

    def is_released(self) -> bool: ...


class CountAttempt(Protocol):
    """`RateLimits.hit` or `RateLimits.peek`, as an argument."""

    def __call__(self, name: str, key: str, limit: int, per_seconds: int) -> int | None: ...


class RateLimits(Protocol):
    def hit(self, name: str, key: str, limit: int, per_seconds: int, cost: int = 1) -> int | None:
        """Count `cost`; returns None, or when over the limit the seconds until it is worth trying again."""

    def peek(self, name: str, key: str, limit: int, per_seconds: int) -> int | None:
        """The same without counting."""

    def quota(self, name: str, key: str, limit: int, per_seconds: int) -> Quota:
        """What is left of a limit."""


class Pauses(Protocol):
    def begin(self, name: str, key: str, milliseconds: int) -> int | None:
        """Begin a pause; None, or if one is on already, the milliseconds that are left of that."""


class OpenJobs(Protocol):
    """Counts the jobs that are not final yet. Best effort: a place that nobody gives back is free again by itself."""

    def enter(self, job_id: str, limits: Mapping[str, int]) -> bool | None:
        """Count the job under each of these names; False, and under none, if there are so many already of one; None if
        nobody can say."""

    def leave(self, job_id: str) -> None:
        """The job is final, or never began."""


class Breaker(Protocol):
    """Open while the provider refuses this installation (no quota, bad key)."""

    def is_open(self) -> bool: ...

    def open(self, reason: str) -> None: ...


class Passwords(Protocol):
    def hash(self, password: str) -> str: ...

    def matches(self, password_hash: str | None, password: str) -> bool:
        """None stands for an unknown account and costs the same time."""


class Upstream(Protocol):
    def answer(self, request: ChatRequest) -> ChatAnswer:
        """One complete answer. Raises UpstreamFailed, UpstreamTimeout."""

    def stream(self, request: ChatRequest, show: Callable[[str], None]) -> ChatAnswer:
        """The same, each piece of it handed to `show` as it comes, in order; once that was called nothing is retried.

        The pieces make up the answer's text. What `show` raises ends the call.
        """

    def check(self, upstream_model: str) -> UpstreamCheck:
        """Ask for the list of models, within a few seconds and without a second try.

        Raises UpstreamFailed with a `reason`, UpstreamTimeout. The outcome is no sign to anybody else.
        """

    def offered(self) -> dict[str, str | None]:
        """The provider's models by its ids, each with the ISO day on which it ends, if that is announced.

        Raises as `check` does.
        """


class Runs(Protocol):
    """The jobs that this process is running: keeps their leases and hears of their cancels."""

    def leased(self, job: Job) -> AbstractContextManager[None]:
        """Keep the job's lease for as long as this lasts."""

    def run(self, job: Job, work: Callable[[], T]) -> T:
        """Call `work` while holding the job's lease.

        Raises RunCancelled, RunHandedBack, UpstreamTimeout at the total deadline.
        """

    def is_leaving(self) -> bool:
        """The process is about to end: it begins no run any more."""

    def leave(self, grace_seconds: float) -> None:
        """Let the runs go on for so long, and stop those that didn't end. Returns when none is left."""


class RunHandedBack(Exception):
    """This process ends before the run does."""


class Withdrawals(Protocol):
    """Questions whose refusal was said although they may have been stored."""

    def add(self, job_id: str) -> None:
        """Cancel this job when the database answers again, should it exist."""


class RunCancelled(Exception):
    """Somebody asked for this job's end while it ran."""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One HTTP request to a receiver, complete but for what belongs to the connection."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class WebhookReply:
    status: int
    retry_after_seconds: int | None = None


class SendFailed(Exception):
    """There was no HTTP answer; `reason` is one of a few words for people and metrics, without the URL."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WebhookSender(Protocol):
    def send(self, request: WebhookRequest) -> WebhookReply:
        """Send it within a few seconds to an address that may be called. Raises SendFailed."""


class Telemetry(Protocol):
    """Counts what operators watch. Labels name models, channels and outcomes, never people."""

    def job_accepted(self, job: Job) -> None: ...

    def job_final(self, job: Job) -> None: ...

    def first_shown(self, job: Job, seconds: float) -> None:
        """The first piece of a streamed answer, so long after the question was accepted."""

    def streams_open(self, change: int) -> None:
        """So many more clients follow a job's events."""

    def connection_refused(self, by: str) -> None:
        """Somebody holds too many: `account`, `address` or `key` says whose limit it was."""

    def sockets_open(self, change: int) -> None:
        """So many more WebSockets are open."""

    def webhook_delivery(self, outcome: str) -> None:
        """One try: `delivered`, `retry` or `dead`."""

    def webhook_lag(self, seconds: float) -> None:
        """A receiver heard of an event so long after it happened."""

    def link(self, outcome: str) -> None:
        """Of an end user to an account: `linked`, `removed`, or `refused` for a wrong code."""

    def structured_answer(self, output_format: str, outcome: str) -> None:
        """One that the model was asked for: `valid`, `failed`, or the reason why it can't be used."""

    def upstream_check(self, outcome: str) -> None:
        """Somebody asked whether the provider is there: `ok`, `no_model`, `timeout`, or the reason why not."""

    def deleted(self, kind: str) -> None:
        """A `session` or an `account`."""

    def erased(self, what: str, count: int) -> None:
        """So many `messages`, or texts of `jobs`."""

    def upstream_call(self, model: str, seconds: float, error_code: str | None) -> None: ...


class Traffic(Protocol):
    def request(self, error_code: str | None) -> None:
        """The API has answered one more request, with this error code if it was one. Costs the caller nothing."""

    def flush(self) -> None:
        """Write down what was counted so far: the process ends. What can't be written now stays counted."""


class Clock(Protocol):
    def now(self) -> datetime:
        """UTC."""
