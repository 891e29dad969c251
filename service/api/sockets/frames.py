"""Frames in and out: JSON texts with a `type`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.api.body import parse_json
from service.api.errors import STATUSES, PayloadTooLarge
from service.api.schemas import UsageCount
from service.domain.errors import InternalError, InvalidJson, ServiceError, ValidationFailed
from service.domain.jobs import Job, JobStatus
from service.domain.texts import detail, text
from service.usecases.follow import Chunk, Ended

MESSAGE, STOP, AUTH = "message", "stop", "auth"
# What each type of frame must bring, beside its type.
NEEDED: dict[str, str | None] = {MESSAGE: "content", STOP: None, AUTH: "token"}
_USAGE = UsageCount()
_RETRY_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """`text` is the content of a message, the token, or whatever else a frame of its type must bring."""

    type: str
    text: str = ""
    chat_id: str | None = None


def read(data: str | bytes, max_bytes: int) -> Frame:
    """The frame that a client sent. Raises PayloadTooLarge, InvalidJson, ValidationFailed."""
    return read_as(NEEDED, data, max_bytes)[0]


def read_as(needed: Mapping[str, str | None], data: str | bytes, max_bytes: int) -> tuple[Frame, dict[str, Any]]:
    """The frame, of one of these types, each with the text that it must bring; and all its fields. Raises as `read`."""
    if isinstance(data, bytes):
        raise InvalidJson(details={"frame": ["frame_binary"]})
    encoded = data.encode()
    if len(encoded) > max_bytes:
        raise PayloadTooLarge()
    fields = parse_json(encoded)
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in needed:
        raise ValidationFailed(details={"type": [f"not_choice:{', '.join(needed)}"]})
    name = needed[kind]
    if name is None:
        return Frame(kind), fields
    if name not in fields:
        raise ValidationFailed(details={name: ["required"]})
    if not isinstance(fields[name], str):
        raise ValidationFailed(details={name: ["not_string"]})
    return Frame(kind, fields[name]), fields


def chunk(part: Chunk, job: Job, *, is_first: bool) -> str:
    fields = {"content": part.text, "jobId": job.id}
    return frame("chunk", fields | ({"sessionId": job.session_id} if is_first else {}))


def last(ended: Ended, language: str) -> str:
    """`done`, or `error` for a job that failed."""
    job = ended.job
    if job.status is JobStatus.FAILED:
        return frame("error", {**failed(job, language), "jobId": job.id})
    usage = None if job.usage is None else _USAGE.dump(job.usage)
    return frame("done", {"jobId": job.id, "sessionId": job.session_id, "usage": usage})


def error(failure: ServiceError, language: str, max_kib: int, job_id: str | None = None) -> str:
    return frame("error", {**refused(failure, language, max_kib), "jobId": job_id})


def failed(job: Job, language: str) -> dict[str, Any]:
    """Why a job failed, in the client's language."""
    code = job.error_code if job.error_code in STATUSES else InternalError.code
    message = text(language, f"{code}.message", seconds=_RETRY_SECONDS)
    return {"message": message, "code": code, "reason": job.error_reason}


def refused(failure: ServiceError, language: str, max_kib: int) -> dict[str, Any]:
    """What went wrong, in the client's language; of a field that is wrong, what is wrong with it."""
    params = {"seconds": failure.retry_after_seconds or _RETRY_SECONDS, "limit": max_kib, **failure.params}
    message = text(language, f"{failure.code}.message", **params)
    complaints = [detail(language, key) for keys in failure.details.values() for key in keys]
    if complaints:
        message = " ".join(complaints)
    return {"message": message, "code": failure.code}


def frame(kind: str, fields: dict[str, Any]) -> str:
    body = {"type": kind, **{name: value for name, value in fields.items() if value is not None}}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
