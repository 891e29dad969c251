"""The job: one answer of a model, from acceptance to its final state."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from service.domain import structured
from service.domain.billing import Charge, Meter, PriceWeights, charge
from service.domain.chat import ChatMessage, Usage
from service.domain.dialogs import Dialog, Fork

# The code of a job whose worker was lost, or had to end, after something of the answer was shown or too often.
INTERRUPTED = "INTERRUPTED"
MAX_ATTEMPTS = 3
FREE = Charge(0)


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
OPEN_STATUSES = frozenset({JobStatus.QUEUED, JobStatus.RUNNING})


@dataclass(frozen=True, slots=True)
class Applies:
    """What an answer changes when it is settled: the modules of a track, or the material of a lesson of a module."""

    track_id: str | None = None
    module_id: str | None = None
    lesson_id: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a worker needs to answer, and everything that came of it.

    `prompt` is the whole prompt, pinned at acceptance: the system message, the window and the new message; of a program
    that brings all of it, whatever it is. Such a job belongs to no dialog and has no `session_id` and no `chat_id`. An
    `exclusive` one is the only open job of its chat. With a `fork` its turn begins a branch there. `options` are those
    of `service/domain/options.py`. `attempt` counts claims and is the fence: a write of an older attempt matches
    nothing. `handed_back` counts those that a worker gave back because it was told to end. `context_version` is the
    chat's at acceptance; the answer joins the saved context only if that is still the one, unless
    `replaces_context` says that the client brought a context of its own. `external_user_id` is what an API key's
    program calls `end_user_id`, who is the account itself or linked to it; `program_id` is the account of that key.
    `locale` is the language of the job's own texts, None for the usual. `actor_id` is who asked, as the ledger calls
    them. `hold` is kept for it in the wallet `wallet_id`, and `charged` and `balance_after` are of its `meter`'s unit:
    tokens, or credits; `balance_after` is None where nothing limits them. `period_starts_at` says from which month
    held credits are. With `stream` the answer is shown while it is written: `shown` is the beginning of it that clients
    may have seen, None while they have seen nothing, and a job that has shown something is never run again. Of a job
    that did not succeed `answer` is what was shown until then. Tokens and credits are whole numbers. `output_format` is
    one of `service/domain/structured.py`: such an answer is the text of an object, and never shown in pieces.
    `error_reason` says more about an `error_code` where there is more to say. Of one that was erased with its dialog,
    at `erased_at`, there is no prompt, answer or metadata any more, only what it cost.
    `applies` says what a structured answer changes beside that. An `unasked` one has no question that anybody said: its
    chat gets the answer alone.
    Two are not stored: `opens`, the dialog that begins with a job, while it is accepted; and `destinations`, for whom a
    webhook delivery is due, right after it was settled.
    """

    id: str
    account_id: str
    session_id: str | None
    assistant: str
    meter: str
    channel: str
    request_id: str
    model: str
    upstream_model: str
    weights: PriceWeights
    temperature: float | None
    prompt: tuple[ChatMessage, ...]
    prompt_tokens: int
    output_tokens: int
    hold: int
    created_at: datetime
    context_version: int = 0
    replaces_context: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    status: JobStatus = JobStatus.QUEUED
    attempt: int = 0
    cancel_requested: bool = False
    shown: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    answer: str | None = None
    usage: Usage | None = None
    charged: int = 0
    balance_after: int | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    error_reason: str | None = None
    external_user_id: str | None = None
    actor_id: str | None = None
    handed_back: int = 0
    end_user_id: str | None = None
    program_id: str | None = None
    locale: str | None = None
    chat_id: str | None = None
    exclusive: bool = False
    fork: Fork | None = None
    erased_at: datetime | None = None
    opens: Dialog | None = None
    wallet_id: str = ""
    period_starts_at: datetime | None = None
    output_format: str | None = None
    applies: Applies | None = None
    unasked: bool = False
    destinations: tuple[str, ...] = ()

    @property
    def message(self) -> ChatMessage:
        """The user's message that this job answers, of a dialog's."""
        return self.prompt[-1]

    @property
    def is_last_attempt(self) -> bool:
        """Whether it is not run again if this run gets lost."""
        return self.attempt - self.handed_back >= MAX_ATTEMPTS

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer to go on from: a complete one, or the part before a cancel."""
        return self.answer is not None and self.status in (JobStatus.SUCCEEDED, JobStatus.CANCELLED)

    @property
    def result(self) -> dict[str, Any] | None:
        """The object that a structured answer is."""
        if self.output_format is None or self.answer is None or self.status is not JobStatus.SUCCEEDED:
            return None
        found: dict[str, Any] = json.loads(self.answer)
        return found

    @property
    def said(self) -> str | None:
        """What the chat shows of the answer."""
        return self.answer if self.result is None else structured.said(self.output_format or "", self.result)

    def context(self, max_messages: int) -> tuple[ChatMessage, ...]:
        """The dialog's window after this job, without the system message."""
        dialog = tuple(message for message in self.prompt if message.role != "system")
        if self.unasked:
            dialog = dialog[:-1]
        if self.said is not None and self.is_answered:
            dialog += (ChatMessage("assistant", self.said),)
        return dialog[-max_messages:]


def charge_for(job: Job, usage: Usage) -> Charge:
    """What an answer that used this costs its account. One that isn't paid for in tokens costs what is held for it."""
    return charge(usage, job.weights, job.hold) if job.meter == Meter.TOKENS else Charge(job.hold)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ends: its final status, what it produced and what that costs."""

    status: JobStatus
    charge: Charge = FREE
    answer: str | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    error_reason: str | None = None


def failed(error_code: str, shown: str | None = None, reason: str | None = None) -> Outcome:
    """An end that is nobody's answer: it costs nothing. What clients have seen of one is kept."""
    return Outcome(status=JobStatus.FAILED, error_code=error_code, error_reason=reason, answer=shown)


def cancelled(shown: str | None = None) -> Outcome:
    """A cancel that costs nothing: nothing was shown, or its worker is gone with the count."""
    return Outcome(status=JobStatus.CANCELLED, finish_reason="cancelled", answer=shown)
