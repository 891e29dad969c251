"""What a receiver is sent: the same event as signed JSON, as botboom's form posts, or in a template's words."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from service.domain.jobs import Job
from service.domain.parts import split
from service.domain.texts import DEFAULT_LOCALE, text
from service.domain.webhooks import Delivery, Endpoint, EventType, WebhookFormat, sign
from service.usecases.ports import WebhookRequest

PLACEHOLDERS = frozenset(
    {"event", "eventId", "jobId", "userId", "status", "message", "text", "model", "finishReason", "tokensUsed"}
    | {"charged", "currentBalance", "errorCode", "errorText", "createdAt", "finishedAt"}
)
_PLACEHOLDER = re.compile(r"\{([A-Za-z]+(?:\.[A-Za-z0-9_]+)?)\}")
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_JSON = "application/json; charset=utf-8"
_DATED = "%Y-%m-%dT%H:%M:%SZ"


class Undeliverable(Exception):
    """No try can succeed; `reason` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, with its data under camelCase names. `end_user` is what the receiver's program calls who asked."""

    id: str
    kind: EventType
    at: datetime
    data: Mapping[str, Any]
    request_id: str
    end_user: str | None = None


def event(delivery: Delivery, job: Job | None) -> Event:
    """The event of a delivery; of a test if there is no job."""
    at = delivery.created_at if job is None or job.finished_at is None else job.finished_at
    if job is None:
        return Event(delivery.id, delivery.event, at, dict(delivery.subject), delivery.request_id)
    # Only the program knows its end user by that name, and only by that one.
    end_user = job.external_user_id if delivery.account_id == job.program_id else None
    return Event(delivery.id, delivery.event, at, _job_data(job, end_user), delivery.request_id, end_user)


def messages(endpoint: Endpoint, happened: Event, now: datetime) -> list[WebhookRequest]:
    """The requests that tell it, in order. Raises Undeliverable."""
    if endpoint.format is WebhookFormat.BOTBOOM:
        return _botboom(endpoint, happened)
    if endpoint.format is WebhookFormat.TEMPLATE:
        return [_template(endpoint, happened)]
    return [_native(endpoint, happened, now)]


def unknown_placeholders(template: str) -> list[str]:
    """Names in braces that mean nothing; `metadata.` takes any."""
    names = _PLACEHOLDER.findall(template)
    return [name for name in names if name not in PLACEHOLDERS and not name.startswith("metadata.")]


def _job_data(job: Job, end_user: str | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "jobId": job.id,
        "userId": end_user or job.account_id,
        "status": job.status.value,
        "message": job.answer if job.is_answered else None,
        "result": job.result,
        "model": job.model,
        "tokensUsed": None if job.usage is None else job.usage.total_tokens,
        "charged": job.charged,
        "currentBalance": job.balance_after,
        "finishReason": job.finish_reason,
        "error": None if job.error_code is None else _error(job.error_code, job.error_reason, job.locale),
        "metadata": dict(job.metadata) or None,
        "createdAt": _moment(job.created_at),
        "finishedAt": None if job.finished_at is None else _moment(job.finished_at),
    }
    return {name: value for name, value in data.items() if value is not None}


def _native(endpoint: Endpoint, happened: Event, now: datetime) -> WebhookRequest:
    body = _dump({"type": happened.kind.value, "timestamp": _moment(happened.at), "data": happened.data})
    timestamp = int(now.timestamp())
    signatures = [sign(secret, happened.id, timestamp, body) for secret in endpoint.secrets_at(now) if secret]
    headers = {"webhook-id": happened.id, "webhook-timestamp": str(timestamp)}
    if signatures:
        headers["webhook-signature"] = " ".join(signatures)
    return _request("POST", endpoint.url, _JSON, body, happened, headers)


def _botboom(endpoint: Endpoint, happened: Event) -> list[WebhookRequest]:
    metadata = happened.data.get("metadata") or {}
    chat_id = metadata.get("chatId")
    if chat_id is None or chat_id == "":
        chat_id = happened.end_user
    if chat_id is None:
        raise Undeliverable("no_recipient")
    parts = split(_text(happened), endpoint.part_characters)
    return [
        _request("POST", endpoint.url, _FORM, urlencode({"chatId": chat_id, "caption": part}).encode(), happened)
        for part in parts
    ]


def _template(endpoint: Endpoint, happened: Event) -> WebhookRequest:
    if endpoint.template is None:
        raise Undeliverable("no_template")
    values = _values(happened)
    filled = {name: _fill(text, values) for name, text in endpoint.template.fields.items()}
    method = endpoint.template.method
    if endpoint.template.body == "json":
        return _request(method, endpoint.url, _JSON, _dump(_nested(filled)), happened)
    return _request(method, endpoint.url, _FORM, urlencode(filled, quote_via=quote).encode(), happened)


def _request(
    method: str, url: str, content_type: str, body: bytes, happened: Event, headers: Mapping[str, str] | None = None
) -> WebhookRequest:
    shared = {"Content-Type": content_type, "X-Request-Id": happened.request_id, "webhook-id": happened.id}
    return WebhookRequest(method, url, {**shared, **(headers or {})}, body)


def _text(happened: Event) -> str:
    """What to show to the person who asked."""
    error = happened.data.get("error")
    return str(happened.data.get("message") or (error or {}).get("message") or "")


def _values(happened: Event) -> dict[str, str]:
    error = happened.data.get("error") or {}
    values: dict[str, Any] = {name: value for name, value in happened.data.items() if name in PLACEHOLDERS}
    values |= {"event": happened.kind.value, "eventId": happened.id, "text": _text(happened)}
    values |= {"errorCode": error.get("code"), "errorText": error.get("message")}
    values |= {f"metadata.{name}": value for name, value in (happened.data.get("metadata") or {}).items()}
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match.group(1), ""), template)


def _nested(fields: Mapping[str, str]) -> dict[str, Any]:
    """`variables.text` becomes `{"variables": {"text": …}}`."""
    nested: dict[str, Any] = {}
    for name, value in fields.items():
        *path, last = name.split(".")
        place = nested
        for step in path:
            inner = place.setdefault(step, {})
            place = inner if isinstance(inner, dict) else place
        place[last] = value
    return nested


def _error(code: str, reason: str | None, locale: str | None) -> dict[str, str]:
    language = locale or DEFAULT_LOCALE
    why = {} if reason is None else {"reason": reason}
    try:
        return {"code": code, "message": text(language, f"{code}.message", seconds=1), **why}
    except KeyError:
        return {"code": code, "message": text(language, "INTERNAL_ERROR.message"), **why}


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(_DATED)


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
