"""A job as Server-Sent Events: one `chunk` with the answer, then `done` or `error`; a comment while there is nothing.

Made from `JobService.wait`, so that any web process can serve any job, also one that ended long ago. `Last-Event-ID`
(or `?after=`) skips what a client has seen already.
"""

import json
from collections.abc import Iterator
from typing import Any

import structlog
from flask import Response, request, stream_with_context

from service.api.errors import failure
from service.api.schemas import UsageCount
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.jobs import Job, JobStatus

log = structlog.get_logger(__name__)

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
RECONNECT_MILLISECONDS = 1000
CHUNK_ID, LAST_ID = 1, 2
# For the documentation.
EXAMPLE = (
    'id: 1\nevent: chunk\ndata: {"content": "«Прибой»"}\n\n'
    'id: 2\nevent: done\ndata: {"charged": 38, "currentBalance": 99962, "finishReason": "stop"}\n\n'
)
_USAGE = UsageCount()


def follow(actor: Actor, job: Job, after: int) -> Response:
    """The stream of one's own job, as it stands, until it is final."""
    response = Response(stream_with_context(_stream(actor, job, after)), content_type=f"{MEDIA_TYPE}; charset=utf-8")
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


def _stream(actor: Actor, job: Job, after: int) -> Iterator[str]:
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    container = services()
    while not job.status.is_final:
        try:
            job = container.jobs.wait(actor, job.id, HEARTBEAT_SECONDS)
        except container.outages as error:
            # The headers are gone, so the only honest end is a cut: the client reconnects and asks again.
            log.warning("events interrupted", job_id=job.id, reason=type(error).__name__)
            return
        if not job.status.is_final:
            yield ": still running\n\n"
    if job.answer is not None and after < CHUNK_ID:
        yield _event(CHUNK_ID, "chunk", {"content": job.answer})
    if after < LAST_ID:
        yield _last(job)


def _last(job: Job) -> str:
    if job.status is JobStatus.FAILED:
        return _event(LAST_ID, "error", failure(job.error_code or ""))
    done: dict[str, Any] = {
        "jobId": job.id,
        "status": job.status.value,
        "usage": None if job.usage is None else _USAGE.dump(job.usage),
        "charged": job.charged,
        "currentBalance": job.balance_after,
        "finishReason": job.finish_reason,
    }
    return _event(LAST_ID, "done", {name: value for name, value in done.items() if value is not None})


def _event(event_id: int, name: str, data: dict[str, Any]) -> str:
    return f"id: {event_id}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
