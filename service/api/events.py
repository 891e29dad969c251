"""A job as Server-Sent Events: `chunk`s of the answer, then `done` or `error`; a comment while there is nothing.

Any web process can serve any job, also one that ended long ago. `Last-Event-ID` (or `?after=`) skips what a client has
seen already; see `service/usecases/follow.py` for what the ids mean.
"""

import json
from collections.abc import Iterator
from typing import Any

import structlog
from flask import Response, request, stream_with_context

from service.api.errors import failure
from service.api.schemas import UsageCount
from service.api.state import services
from service.domain.jobs import Job, JobStatus
from service.usecases.follow import Chunk, Ended, Event

log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
HEARTBEAT = ": still running\n\n"
RECONNECT_MILLISECONDS = 1000
MAX_ID = 2**31 - 1
# For the documentation.
EXAMPLE = {"id": "4", "event": "chunk", "data": '{"content": "«При"}'}
SCHEMA = {
    "type": "object",
    "description": "One event of the stream.",
    "required": ["id", "event", "data"],
    "properties": {
        "id": {"type": "string", "description": "Resume after it with `Last-Event-ID` or `after`."},
        "event": {"type": "string", "enum": ["chunk", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_USAGE = UsageCount()


def follow(job: Job, after: int) -> Response:
    """The stream of a job that the caller may read, as it stands, until it is final."""
    response = event_stream(_stream(job, after))
    response.headers["Location"] = f"/api/chat/jobs/{job.id}"
    response.headers["X-Job-Id"] = job.id
    return response


def event_stream(events: Iterator[str]) -> Response:
    response = Response(stream_with_context(events), content_type=f"{MEDIA_TYPE}; charset=utf-8")
    # A proxy that gathers the stream before it passes it on defeats it.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def last_event_id() -> int:
    """What a reconnecting client says that it has seen; 0 if nothing sensible."""
    seen = request.headers.get("Last-Event-ID", "")
    return int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else 0


def wants_events() -> bool:
    """Whether the client asks for the stream itself rather than for JSON; `*/*` doesn't."""
    return MEDIA_TYPE in request.accept_mimetypes.values()


def _stream(job: Job, after: int) -> Iterator[str]:
    container = services()
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    try:
        for event in container.follow(job, after):
            yield _sse(event)
    except container.outages as error:
        # The headers are gone, so the only honest end is a cut: the client reconnects and asks again.
        log.warning("events interrupted", job_id=job.id, reason=type(error).__name__)


def _sse(event: Event) -> str:
    if isinstance(event, Chunk):
        return _event(event.id, "chunk", {"content": event.text})
    return _last(event) if isinstance(event, Ended) else HEARTBEAT


def _last(ended: Ended) -> str:
    job = ended.job
    if job.status is JobStatus.FAILED:
        return _event(ended.id, "error", failure(job.error_code or "", job.error_reason))
    done: dict[str, Any] = {
        "jobId": job.id,
        "status": job.status.value,
        "usage": None if job.usage is None else _USAGE.dump(job.usage),
        "charged": job.charged,
        "currentBalance": job.balance_after,
        "finishReason": job.finish_reason,
    }
    return _event(ended.id, "done", {name: value for name, value in done.items() if value is not None})


def _event(event_id: int, name: str, data: dict[str, Any]) -> str:
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
