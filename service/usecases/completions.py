"""Questions of programs that bring the whole prompt themselves: no persona, no saved context, no dialog.

The same jobs as all others: held, run, settled and limited alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from service.domain import options as request_options
from service.domain.accounts import Actor
from service.domain.billing import OUTPUT_FLOOR_TOKENS
from service.domain.catalog import ChatModel
from service.domain.chat import ChatMessage, CountTokens, prompt_tokens
from service.domain.errors import ContextTooLong, ModelNotFound
from service.domain.jobs import Job
from service.usecases import ports
from service.usecases.jobs import JobService
from service.usecases.owners import Party

# What the job calls the persona, of which there is none.
NO_ASSISTANT = "none"
# Where the program sets no limit. Its whole price is held while the job runs, so the model's own would lock a balance.
DEFAULT_OUTPUT_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Completion:
    """One whole prompt. `options` are those of `service/domain/options.py`; `output_tokens` None means a default."""

    model: str
    messages: Sequence[ChatMessage]
    channel: str
    user_id: str | None = None
    output_tokens: int | None = None
    temperature: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    idempotency: ports.IdempotencyKey | None = None


class CompletionService:
    def __init__(
        self,
        *,
        jobs: JobService,
        catalog: ports.Catalog,
        clock: ports.Clock,
        count_tokens: CountTokens,
    ) -> None:
        self._jobs = jobs
        self._catalog = catalog
        self._clock = clock
        self._count = count_tokens

    def submit(self, actor: Actor, completion: Completion) -> Job:
        """Accept a prompt durably: the job and its hold are committed when this returns.

        Raises what `JobService.submit` raises, and ModelNotFound, ContextTooLong. With a known idempotency key it
        returns the earlier job as it is now.
        """
        return self._jobs.on_behalf(actor, completion.user_id, lambda party: self._accept(actor, party, completion))

    def models(self) -> list[ChatModel]:
        """What is on offer, by the names that clients may use."""
        return self._catalog.models()

    def model(self, alias: str) -> ChatModel:
        """Raises ModelNotFound."""
        model = self._catalog.model(alias)
        if model is None:
            raise ModelNotFound(alias)
        return model

    def _accept(self, actor: Actor, party: Party, completion: Completion) -> Job:
        earlier = self._jobs.earlier(completion.idempotency)
        if earlier is not None:
            return earlier
        model, options = self.model(completion.model), request_options.checked(completion.options)
        return self._jobs.take(
            actor,
            party.account_id,
            completion.idempotency,
            model,
            lambda: self._draft(actor, party, completion, model, options),
        )

    def _draft(
        self, actor: Actor, party: Party, completion: Completion, model: ChatModel, options: Mapping[str, Any]
    ) -> Job:
        messages = tuple(completion.messages)
        counted = prompt_tokens(messages, self._count) + request_options.prompt_tokens(options, self._count)
        room = model.context_tokens - counted
        wanted = completion.output_tokens or DEFAULT_OUTPUT_TOKENS
        if room < min(wanted, OUTPUT_FLOOR_TOKENS):
            raise ContextTooLong(tokens=counted, limit=model.context_tokens)
        return Job(
            id=uuid4().hex,
            account_id=party.account_id,
            session_id=None,
            assistant=NO_ASSISTANT,
            meter="tokens",
            channel=completion.channel,
            request_id=actor.request_id,
            model=model.alias,
            upstream_model=model.upstream_id,
            weights=model.weights,
            temperature=completion.temperature,
            options=options,
            prompt=messages,
            prompt_tokens=counted,
            output_tokens=min(wanted, model.output_tokens, room),
            hold=0,
            created_at=self._clock.now(),
            stream=completion.stream,
            metadata=completion.metadata,
            external_user_id=party.external_user_id,
            end_user_id=party.end_user_id,
            program_id=party.program_id,
            locale=party.locale,
            actor_id=actor.record_id,
        )
