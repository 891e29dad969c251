"""A job as a client sees it: the fields of the `Job` and `JobSummary` schemas, absent where there is nothing to say."""

from http import HTTPStatus
from typing import Any

from flask import Response, jsonify

from service.api.errors import failure
from service.api.schemas import Accepted
from service.domain.accounts import Actor
from service.domain.jobs import Job

# How soon it is worth asking for a job again.
POLL_SECONDS = 1
_ACCEPTED = Accepted()


def job_body(job: Job, actor: Actor, history_messages: int) -> dict[str, Any]:
    """The job with its answer and the dialog as it is after it."""
    body = job_summary(job, actor)
    if job.is_answered:
        body["context"] = [
            {"role": message.role, "content": message.content} for message in job.context(history_messages)
        ]
    if job.answer is not None:
        body["message"] = job.answer
    if job.result is not None:
        body["result"] = job.result
    return body


def job_summary(job: Job, actor: Actor) -> dict[str, Any]:
    """The job without its texts, with its account by the name under which the reader knows it."""
    body: dict[str, Any] = {
        "job_id": job.id,
        "user_id": actor.name_of(job.account_id, job.external_user_id, job.end_user_id),
        "status": job.status.value,
        "assistant": job.assistant,
        "meter": job.meter,
        "model": job.model,
        "usage": job.usage,
        "tokens_used": None if job.usage is None else job.usage.total_tokens,
        "charged": job.charged,
        "current_balance": job.balance_after,
        "finish_reason": job.finish_reason,
        "metadata": job.metadata or None,
        "error": failure(job.error_code, job.error_reason) if job.error_code is not None else None,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "erased_at": job.erased_at,
    }
    said = {name: value for name, value in body.items() if value is not None}
    # Of the default dialog, in which any number of questions is open at once, and of none there is nothing to name.
    return {
        **said,
        "session_id": job.session_id if job.exclusive else None,
        "chat_id": job.chat_id if job.exclusive else None,
    }


def accepted(job: Job) -> Response:
    """The 202 for a job: where to follow it, as paths on the address that was called."""
    poll_url = f"/api/chat/jobs/{job.id}"
    body = {
        "job_id": job.id,
        "status": job.status.value,
        "poll_url": poll_url,
        "events_url": f"{poll_url}/events",
        "created_at": job.created_at,
    }
    response = jsonify(_ACCEPTED.dump(body))
    response.status_code = HTTPStatus.ACCEPTED
    response.headers["Location"] = poll_url
    response.headers["Retry-After"] = str(POLL_SECONDS)
    return response
