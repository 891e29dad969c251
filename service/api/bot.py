"""What the bot profile answers: always HTTP 200, always the same flat fields, no nulls, and texts ready to be shown.

No-code builders branch on a variable and not on a status, lose what is nested, and show what they got to a person.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import structlog
from flask import Response, g, jsonify

from service.api.errors import CANCELLED, STATUSES, answer_under, text_params
from service.api.state import locale, services
from service.domain import telegram
from service.domain.accounts import Actor
from service.domain.errors import InsufficientTokens, InternalError, ServiceError
from service.domain.jobs import Job, JobStatus
from service.domain.parts import PART_CHARACTERS
from service.domain.telegram import TextFormat
from service.domain.texts import detail, keys, text

log = structlog.get_logger(__name__)

PREFIX = "/api/bot"
PARTS = 5
# What went wrong in the request itself is for whoever builds the bot: it is told with the field's name.
_OF_THE_BUILDER = frozenset({"VALIDATION_ERROR", "INVALID_JSON", "UNSAFE_CALLBACK_URL"})
# After these a look at the database would only fail as well, or break what is broken.
_NO_LOOK = frozenset({"INTERNAL_ERROR", "UNAVAILABLE", "ACCOUNT_BLOCKED"})
_STATUSES = {
    JobStatus.QUEUED: "queued",
    JobStatus.RUNNING: "running",
    JobStatus.SUCCEEDED: "done",
    JobStatus.FAILED: "failed",
    JobStatus.CANCELLED: "failed",
}

Flat = dict[str, str | int | bool]


def install() -> None:
    """Answer whatever fails below `/api/bot` in this shape."""
    answer_under(f"{PREFIX}/", _failed)


@dataclass
class Asked:
    """What is known of the request so far, for whatever its answer will be; its fields, once they are `read`."""

    actor: Actor
    read: bool = False
    user_id: str | None = None
    client_request_id: str = ""
    format: str | None = None

    @property
    def form(self) -> TextFormat:
        """The format that was asked for, else the key's, else plain."""
        of_key = self.actor.key.text_format if self.actor.key else None
        return TextFormat(self.format or of_key or TextFormat.PLAIN)

    @property
    def part_characters(self) -> int:
        return (self.actor.key.part_characters if self.actor.key else None) or PART_CHARACTERS


def remembering(view: Callable[..., Any]) -> Callable[..., Any]:
    """Have failures of this view know who asked: what is wrong with the request is found before the view is called."""

    @wraps(view)
    def begun(*args: Any, actor: Actor, **kwargs: Any) -> Any:
        g.bot_asked = Asked(actor)
        return view(*args, actor=actor, **kwargs)

    return begun


def remember(given: Mapping[str, Any]) -> Asked:
    """The request with what its fields say."""
    known = asked()
    known.read = True
    known.user_id = given.get("user_id")
    known.client_request_id = given.get("client_request_id") or ""
    known.format = given.get("format")
    return known


def asked() -> Asked:
    """The request that is being answered."""
    known: Asked = g.bot_asked
    return known


def done(of: Asked, balance: int, words: str) -> Flat:
    """Something that is not a question was done."""
    shown = telegram.escaped(words, of.form)
    return _reply(status="done", text=shown, part1=shown, partsCount=1, balance=balance)


def of_job(of: Asked, job: Job, balance: int, first_part: int) -> Flat:
    """A question as it is now; `part1` is the part with the number `first_part`."""
    about: Flat = {
        "status": _STATUSES[job.status],
        "jobId": job.id,
        "clientRequestId": str(job.metadata.get("clientRequestId", "")),
        "balance": balance,
    }
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        code = CANCELLED if job.status is JobStatus.CANCELLED else job.error_code or InternalError.code
        return _reply(**{**about, **_error(code, ServiceError(), 0, locale(job.locale)), "ok": False})
    if job.answer is None:
        return _reply(**about)
    parts = telegram.parts(job.answer, of.form, of.part_characters)
    shown = parts[first_part - 1 : first_part - 1 + PARTS]
    numbered: Flat = {f"part{number}": part for number, part in enumerate(shown, start=1)}
    return _reply(**about, **numbered, text=telegram.whole(job.answer, of.form), partsCount=len(parts))


def balance_of(actor: Actor, user_id: str | None) -> int:
    """What can be spent now, in tokens."""
    return services().billing.statement(actor, user_id).wallet.available


def answer(reply: Flat) -> Response:
    """The response, counted, with what its status doesn't say on the request's log line."""
    outcome = str(reply["errorCode"] or reply["status"])
    structlog.contextvars.bind_contextvars(bot_outcome=outcome)
    services().metrics.bot_reply(outcome)
    return jsonify(reply)


def _reply(**fields: str | int | bool) -> Flat:
    empty: Flat = {"ok": True, "status": "", "jobId": "", "clientRequestId": "", "text": ""}
    empty |= {f"part{number}": "" for number in range(1, PARTS + 1)}
    empty |= {"partsCount": 0, "errorCode": "", "errorText": "", "retryAfter": 0, "balance": 0}
    return {**empty, "topUpUrl": services().settings.top_up_url, **fields}


def _failed(code: str, error: ServiceError, retry_after: int | None) -> Response:
    words = _error(code, error, retry_after, locale())
    known: Asked | None = g.get("bot_asked")
    about: Flat = {"balance": _balance_after(code, error), "clientRequestId": known.client_request_id if known else ""}
    response = answer(_reply(**about, ok=False, status="failed", **words))
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _balance_after(code: str, error: ServiceError) -> int:
    """What a refusal says of the balance: 0 if nobody is known or nothing can be looked up."""
    if isinstance(error, InsufficientTokens):
        return int(error.extra["available"])
    known: Asked | None = g.get("bot_asked")
    # Before its fields are read nobody knows whose balance it would be.
    if known is None or not known.read or code in _NO_LOOK:
        return 0
    failures: tuple[type[Exception], ...] = (ServiceError, *services().outages)
    try:
        return balance_of(known.actor, known.user_id)
    except failures:
        # What went wrong first is what the bot is told.
        return 0


def _error(code: str, error: ServiceError, retry_after: int | None, language: str) -> Flat:
    known = code if code in STATUSES else InternalError.code
    params = {"url": services().settings.top_up_url, **text_params(error, retry_after)}
    key = f"{known}.bot" if f"{known}.bot" in keys(language) else f"{known}.message"
    words = text(language, key, **params)
    if known in _OF_THE_BUILDER and error.details:
        complaints = (f"{field}: {detail(language, each)}" for field, found in error.details.items() for each in found)
        words = f"{words} {' '.join(complaints)}"
    begun: Asked | None = g.get("bot_asked")
    shown = telegram.escaped(words, begun.form if begun else TextFormat.PLAIN)
    return {"errorCode": known, "errorText": shown, "retryAfter": retry_after or 0}
