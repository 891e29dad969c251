"""Submit, read, list, wait for and cancel jobs: what every surface does with the one engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import structlog

from service.domain import options as request_options
from service.domain import structured
from service.domain.accounts import Actor
from service.domain.billing import Meter, meter_of
from service.domain.callback_urls import CallbackPolicy
from service.domain.catalog import Assistant, ChatModel
from service.domain.chat import (
    MESSAGE_MAX_CHARACTERS,
    ChatMessage,
    CountTokens,
    prompt_tokens,
    window,
)
from service.domain.dialogs import Fork
from service.domain.errors import (
    AccountLinked,
    InvalidMessage,
    NotFound,
    Overloaded,
    Unavailable,
    UnsafeCallbackUrl,
    ValidationFailed,
)
from service.domain.jobs import Applies, Job, JobStatus, cancelled
from service.usecases import ports
from service.usecases.endings import Endings
from service.usecases.limits import Throttle
from service.usecases.owners import Owners, Party
from service.usecases.places import Places, Wanted
from service.usecases.replays import Replays

log = structlog.get_logger(__name__)

DEFAULT_ASSISTANT = "chat"
BREAKER_RETRY_SECONDS = 30
OVERLOAD_RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """How much the engine accepts: messages of history, jobs in the queue."""

    history_messages: int
    queue_length: int


@dataclass(frozen=True, slots=True)
class Submission:
    """One question. `context` is the client's own history, or None to continue the saved one.

    `assistant` None means the key's, or the one called `chat`. With `stream` the answer is shown while it is written.
    `place` is where it is said. `fork` says where in that chat it begins a branch; then `context` is what is before it
    there. What is said `NOWHERE` continues its `context` alone, and nothing of it is kept but the job.

    A use case that knows better gives the assistant itself, as it is for this question; what the answer `applies` to;
    and that it is `unasked`: nobody said the message.
    """

    message: str
    channel: str
    user_id: str | None = None
    assistant: str | Assistant | None = None
    context: Sequence[ChatMessage] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    idempotency: ports.IdempotencyKey | None = None
    stream: bool = False
    place: Wanted = None
    fork: Fork | None = None
    applies: Applies | None = None
    unasked: bool = False


class JobService:
    def __init__(
        self,
        *,
        owners: Owners,
        jobs: ports.Jobs,
        money: ports.Money,
        endings: Endings,
        places: Places,
        accounts: ports.Accounts,
        catalog: ports.Catalog,
        replays: Replays,
        throttle: Throttle,
        breaker: ports.Breaker,
        doorbell: ports.Doorbell,
        events: ports.JobEvents,
        telemetry: ports.Telemetry,
        clock: ports.Clock,
        count_tokens: CountTokens,
        limits: ChatLimits,
        callback_policy: CallbackPolicy,
        withdrawals: ports.Withdrawals,
        outages: tuple[type[Exception], ...],
    ) -> None:
        self._owners = owners
        self._jobs = jobs
        self._money = money
        self._endings = endings
        self._places = places
        self._accounts = accounts
        self._catalog = catalog
        self._replays = replays
        self._throttle = throttle
        self._breaker = breaker
        self._doorbell = doorbell
        self._events = events
        self._telemetry = telemetry
        self._clock = clock
        self._count = count_tokens
        self._limits = limits
        self._callback_policy = callback_policy
        self._withdrawals = withdrawals
        self._outages = outages

    def submit(self, actor: Actor, submission: Submission) -> Job:
        """Accept a question durably: the job and its hold are committed when this returns.

        Raises Forbidden, NotFound, InvalidMessage, ValidationFailed, UnsafeCallbackUrl, RateLimited, Overloaded,
        Unavailable, InsufficientTokens, NoCredits, JobRunning, IdempotencyMismatch. With a known idempotency key it
        returns the earlier job as it is now.
        """
        return self.on_behalf(actor, submission.user_id, lambda party: self.accept(actor, party, submission))

    def on_behalf(self, actor: Actor, user_id: str | None, accept: Callable[[Party], Job]) -> Job:
        """What `accept` makes of the party that this `userId` means. Raises Forbidden, NotFound, AccountBlocked."""
        try:
            return accept(self._owners.party(actor, user_id, "chat.ask"))
        except AccountLinked:
            # Linked between the two: the question is the account's now.
            return accept(self._owners.party(actor, user_id, "chat.ask"))

    def accept(self, actor: Actor, party: Party, submission: Submission) -> Job:
        """`submit` for a party that somebody has already decided on."""
        earlier = self.earlier(submission.idempotency)
        if earlier is not None:
            return earlier
        check_message(submission.message)
        if submission.callback_url is not None:
            self._callback_policy.check(submission.callback_url, "callbackUrl")
            if actor.key is not None and not actor.key.may_call(submission.callback_url):
                raise UnsafeCallbackUrl(details={"callbackUrl": ["url_not_of_key"]})
        assistant, model = self._offer(_assistant(actor, submission))
        return self.take(
            actor,
            party.account_id,
            submission.idempotency,
            model,
            lambda: self._metered(actor, party, self._draft(actor, party, submission, assistant, model)),
        )

    def earlier(self, idempotency: ports.IdempotencyKey | None) -> Job | None:
        """The job that this key led to before. Raises IdempotencyMismatch."""
        earlier = self._replays.earlier(idempotency)
        return None if earlier is None else self._look(earlier)

    def take(
        self,
        actor: Actor,
        owner_id: str,
        idempotency: ports.IdempotencyKey | None,
        model: ChatModel,
        draft: Callable[[], Job],
    ) -> Job:
        """Accept what `draft` makes of a sound question, if limits and balance allow it. Raises as `submit` does."""
        self._throttle.question(actor, owner_id, model.alias)
        self._admit()
        job = draft()
        self._throttle.tokens(actor, owner_id, model.alias, job.prompt_tokens + job.output_tokens)
        self._throttle.enter(actor, owner_id, model.alias, job.id)
        try:
            job = self._money.reserve(job, idempotency)
        except ports.AlreadyDone as race:
            self._throttle.leave(job.id)
            return self._look(self._replays.same(race.record, idempotency))
        except self._outages:
            self._throttle.leave(job.id)
            if idempotency is None:
                # With a key the client's next try finds the job, if there is one, and gets its answer.
                self._withdrawals.add(job.id)
            raise
        except Exception:
            self._throttle.leave(job.id)
            raise
        log.info("job accepted", job_id=job.id, hold=job.hold, meter=job.meter, model=job.model, channel=job.channel)
        self._telemetry.job_accepted(job)
        self._doorbell.ring([job.id])
        return job

    def quota(self, actor: Actor, user_id: str | None) -> ports.Quota:
        """How many questions the actor may still ask for this user. Raises Forbidden."""
        return self._throttle.quota(actor, actor.owner(user_id))

    def get(self, actor: Actor, job_id: str) -> Job:
        """One's own job. Raises NotFound, and Forbidden if it is somebody else's."""
        return self._owned(actor, job_id, "job.read")

    def wait(self, actor: Actor, job_id: str, seconds: float) -> Job:
        """The job when it is final, or as it is after so many seconds."""
        with self._events.watch(job_id) as finished:
            job = self.get(actor, job_id)
            if job.status.is_final or seconds <= 0:
                return job
            finished(seconds)
        return self._look(job_id)

    def page(self, actor: Actor, query: ports.JobQuery) -> ports.Page[Job]:
        """One's own jobs, newest first."""
        owner_id = self._owners.resolve(actor, query.account_id, "jobs.read")
        if actor.key is not None and owner_id != actor.account_id:
            return self._jobs.page(replace(query, account_id=None, end_user_id=owner_id))
        return self._jobs.page(replace(query, account_id=owner_id, end_user_id=None))

    def cancel(self, actor: Actor, job_id: str) -> Job:
        """Stop a job: at once if it is queued, within about a second if it runs; a final one stays as it is."""
        return self.stop(self._owned(actor, job_id, "job.cancel"))

    def stop(self, job: Job) -> Job:
        """`cancel` for a use case that has decided whose job it is."""
        while job.status is JobStatus.QUEUED:
            settled = self._endings.settle(job, cancelled())
            if settled is not None:
                log.info("job cancelled", job_id=job.id, was="queued")
                return settled
            job = self._look(job.id)
        if job.status is JobStatus.RUNNING and self._jobs.request_cancel(job.id):
            log.info("job cancel requested", job_id=job.id)
        return self._look(job.id)

    def _owned(self, actor: Actor, job_id: str, action: str) -> Job:
        job = self._look(job_id)
        named = (job.account_id, job.external_user_id, action)
        self._owners.check(actor, *named, end_user_id=job.end_user_id, job_id=job_id)
        return job

    def _look(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound("job")
        return job

    def _admit(self) -> None:
        if self._breaker.is_open():
            raise Unavailable("the provider refuses this installation", retry_after_seconds=BREAKER_RETRY_SECONDS)
        waiting = self._doorbell.waiting()
        if waiting is not None and waiting >= self._limits.queue_length:
            raise Overloaded(retry_after_seconds=OVERLOAD_RETRY_SECONDS)

    def _offer(self, wanted: str | Assistant) -> tuple[Assistant, ChatModel]:
        assistant = self._catalog.assistant(wanted) if isinstance(wanted, str) else wanted
        if assistant is None:
            raise ValidationFailed(details={"assistant": ["unknown_assistant"]})
        model = self._catalog.model(assistant.model)
        if model is None:
            raise Unavailable(f"assistant {assistant.id} names no known model: {assistant.model}")
        if assistant.response_format not in (None, *structured.FORMATS):
            raise Unavailable(f"assistant {assistant.id} names no known format: {assistant.response_format}")
        return assistant, model

    def _metered(self, actor: Actor, party: Party, job: Job) -> Job:
        """The job with the meter that it has for who asks; what costs them nothing is counted. Raises RateLimited."""
        meter = meter_of(job.meter, is_guest=party.is_guest)
        if meter is Meter.FREE:
            self._throttle.free(actor, job.account_id)
        elif meter is Meter.CREDITS and self._is_unlimited(job.account_id):
            self._throttle.fair_use(job.account_id)
        return replace(job, meter=meter)

    def _is_unlimited(self, account_id: str) -> bool:
        account = self._accounts.get(account_id)
        if account is None:
            raise NotFound("account")
        return self._money.credits(account).unlimited

    def _draft(self, actor: Actor, party: Party, submission: Submission, assistant: Assistant, model: ChatModel) -> Job:
        place = self._places.find(party, submission.channel, submission.place)
        persona = ChatMessage("system", assistant.persona)
        question = ChatMessage("user", submission.message)
        asked = structured.options(assistant.response_format)
        fixed = prompt_tokens((persona, question), self._count) + request_options.prompt_tokens(asked, self._count)
        history = window(
            place.context if submission.context is None else submission.context,
            max_messages=min(assistant.history_messages, self._limits.history_messages),
            budget_tokens=model.context_tokens - assistant.output_tokens - fixed,
            count=self._count,
        )
        counted = fixed + prompt_tokens(history, self._count) - prompt_tokens((), self._count)
        return Job(
            id=uuid4().hex,
            account_id=party.account_id,
            session_id=place.session_id,
            chat_id=place.chat_id,
            exclusive=place.exclusive,
            fork=submission.fork,
            opens=place.opens,
            assistant=assistant.id,
            meter=assistant.meter,
            channel=submission.channel,
            request_id=actor.request_id,
            model=model.alias,
            upstream_model=model.upstream_id,
            weights=model.weights,
            temperature=assistant.temperature,
            prompt=(persona, *history, question),
            prompt_tokens=counted,
            output_tokens=min(assistant.output_tokens, model.output_tokens),
            hold=0,
            created_at=self._clock.now(),
            context_version=place.context_version,
            replaces_context=submission.context is not None,
            # Of a structured answer a part is of no use, and it may turn out to be none.
            stream=submission.stream and assistant.response_format is None,
            metadata=submission.metadata,
            external_user_id=party.external_user_id,
            end_user_id=party.end_user_id,
            program_id=party.program_id,
            locale=party.locale or assistant.locale,
            callback_url=submission.callback_url,
            actor_id=actor.record_id,
            output_format=assistant.response_format,
            applies=submission.applies,
            unasked=submission.unasked,
        )


def _assistant(actor: Actor, submission: Submission) -> str | Assistant:
    """Who is asked: whom the client names, else the key, else the one called `chat`."""
    if submission.assistant is not None:
        return submission.assistant
    return (None if actor.key is None else actor.key.assistant) or DEFAULT_ASSISTANT


def check_message(message: str) -> None:
    """Raises InvalidMessage if it is blank or too long."""
    if not message.strip():
        raise InvalidMessage(details={"message": ["message_empty"]})
    if len(message) > MESSAGE_MAX_CHARACTERS:
        raise InvalidMessage(details={"message": ["message_too_long"]})
