"""`/v1/chat/completions`: a whole prompt of a program, answered at once or as it is written."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import Any

import structlog
from flask import Response, jsonify

from service.api import openai_errors
from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with, takes_header, tells_quota
from service.api.blueprints.openai import wire
from service.api.blueprints.openai.schemas import ChatCompletion, ChatCompletionRequest
from service.api.errors import STATUSES, JobFailed, failure
from service.api.events import HEARTBEAT, MEDIA_TYPE, event_stream
from service.api.headers import idempotency_key
from service.api.quota import tell_quota
from service.api.state import services
from service.api.staying import streaming, waiting
from service.domain import options
from service.domain.accounts import Actor
from service.domain.chat import ChatMessage
from service.domain.errors import JobCancelled, Overloaded, Unavailable, ValidationFailed
from service.domain.jobs import Job, JobStatus
from service.domain.keys import Scope
from service.usecases.completions import Completion
from service.usecases.follow import Chunk, Ended, Event, StillRunning

log = structlog.get_logger(__name__)

blueprint = ApiBlueprint(
    "openai", __name__, url_prefix="/v1/chat/completions", description="Chat completions, as OpenAI's SDKs ask for them"
)

CHANNEL = "openai"
# The SDKs' own patience. Every attempt at a job and the wait for them are over by then.
MAX_WAIT_SECONDS = 590.0
PAUSE_SECONDS = 0.5
EXAMPLE = (
    'data: {"id": "chatcmpl-9f1c", "object": "chat.completion.chunk", "created": 1705312800, "model": "gpt-4o-mini", '
    '"choices": [{"index": 0, "delta": {"content": "Air "}, "logprobs": null, "finish_reason": null}]}\n\n'
    "data: [DONE]\n\n"
)


@blueprint.route("", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(402, 404, 409, 429)
@takes_header("Idempotency-Key")
@tells_quota
@blueprint.arguments(ChatCompletionRequest)
@blueprint.response(200, ChatCompletion, description="The answer")
@blueprint.alt_response(200, schema={"type": "string"}, content_type=MEDIA_TYPE, example=EXAMPLE, success=True)
def create(asked: dict[str, Any], *, actor: Actor) -> Response:
    """Complete a chat

    OpenAI's `POST /v1/chat/completions`, for its SDKs with our base URL and key. Stateless: the messages are the whole
    prompt, and nothing is saved to a dialog. Waits for the answer as long as it takes, or with `stream` sends it as it
    is written. The job is named in `X-Job-Id`; a client that leaves doesn't stop it. Parameters that would change the
    answer and are not supported, such as `tools`, are refused.
    """
    tell_quota(actor, asked["user_id"])
    if asked["stream"]:
        return streaming(actor, lambda: _stream(_submit(actor, asked), include_usage=_wants_usage(asked)))
    with waiting(actor, MAX_WAIT_SECONDS):
        job = _final(actor, _submit(actor, asked))
    response = jsonify(wire.completion(_answered(job)))
    response.headers["X-Job-Id"] = job.id
    return response


def _submit(actor: Actor, asked: dict[str, Any]) -> Job:
    return services().completions.submit(actor, _completion(asked, actor))


def _wants_usage(asked: dict[str, Any]) -> bool:
    return bool((asked["stream_options"] or {}).get("include_usage"))


def _completion(asked: dict[str, Any], actor: Actor) -> Completion:
    if not asked["messages"]:
        raise ValidationFailed(details={"messages": ["not_empty"]})
    return Completion(
        model=asked["model"],
        messages=[_message(message) for message in asked["messages"]],
        channel=CHANNEL,
        user_id=asked["user_id"],
        output_tokens=asked["max_completion_tokens"] or asked["max_tokens"],
        temperature=asked["temperature"],
        options={name: asked[name] for name in options.NAMES},
        stream=bool(asked["stream"]),
        metadata=asked["metadata"] or {},
        idempotency=idempotency_key(actor, asked),
    )


def _message(message: dict[str, Any]) -> ChatMessage:
    # To the provider a developer's message is the system's by a newer name, which not every one of them knows.
    role = "system" if message["role"] == "developer" else message["role"]
    return ChatMessage(role, message["content"])


def _final(actor: Actor, job: Job) -> Job:
    """The job when it is final. It has been accepted, so an outage now must not look like a refusal."""
    container, deadline = services(), time.monotonic() + MAX_WAIT_SECONDS
    while not job.status.is_final:
        left = deadline - time.monotonic()
        if left <= 0:
            # Nobody will come back for the answer: it must not be charged.
            job = container.jobs.cancel(actor, job.id)
            if job.status.is_final:
                break
            raise Overloaded()
        try:
            job = container.jobs.wait(actor, job.id, left)
            if container.events.is_released():
                # This process is about to end, but who speaks OpenAI's dialect can't ask another one for the answer.
                time.sleep(PAUSE_SECONDS)
        except container.outages as error:
            log.warning("waiting without the database", job_id=job.id, reason=type(error).__name__)
            time.sleep(PAUSE_SECONDS)
    return job


def _answered(job: Job) -> Job:
    """The job itself, if there is an answer to give. Raises JobFailed, JobCancelled."""
    if job.status is JobStatus.FAILED:
        raise JobFailed(job)
    if job.status is JobStatus.CANCELLED:
        raise JobCancelled(extra={"jobId": job.id})
    return job


def _stream(job: Job, *, include_usage: bool) -> Response:
    """The answer as it is written. What fails before its first piece is told by the status, as without `stream`."""
    events = _events(job)
    first = next(events)
    if isinstance(first, Ended):
        _answered(first.job)
    response = event_stream(_chunks(job, chain([first], events), include_usage=include_usage))
    response.headers["X-Job-Id"] = job.id
    return response


def _events(job: Job) -> Iterator[Event]:
    """The job's events. It has been accepted, so an outage is waited for; no SDK would come back where it was."""
    container, deadline, after = services(), time.monotonic() + MAX_WAIT_SECONDS, 0
    while True:
        try:
            for event in container.follow(job, after, kept_for=timedelta.max, stays=True):
                after = event.id if isinstance(event, Chunk) else after
                yield event
            return
        except container.outages as error:
            log.warning("events interrupted", job_id=job.id, reason=type(error).__name__)
            if time.monotonic() > deadline:
                raise
        yield StillRunning()
        time.sleep(PAUSE_SECONDS)


def _chunks(job: Job, events: Iterator[Event], *, include_usage: bool) -> Iterator[str]:
    # A chunk without a usage says so, when the last one will have one.
    blank = {"usage": None} if include_usage else {}
    yield _data({**wire.chunk(job, {"role": "assistant", "content": "", "refusal": None}), **blank})
    try:
        for event in events:
            if isinstance(event, Chunk):
                yield _data({**wire.chunk(job, {"content": event.text}), **blank})
            elif isinstance(event, Ended):
                yield from _end(event.job, blank, include_usage=include_usage)
            else:
                yield HEARTBEAT
    except services().outages:
        yield _failed(Unavailable.code)


def _end(job: Job, blank: dict[str, Any], *, include_usage: bool) -> Iterator[str]:
    if job.status is not JobStatus.SUCCEEDED:
        yield _failed(job.error_code or JobCancelled.code)
        return
    yield _data({**wire.chunk(job, {}, job.finish_reason), **blank})
    if include_usage:
        yield _data(wire.usage_chunk(job))
    yield "data: [DONE]\n\n"


def _failed(code: str) -> str:
    """The headers are gone: the SDKs raise an error for this."""
    told = failure(code)
    return _data(openai_errors.body(STATUSES[told["code"]], told))


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
