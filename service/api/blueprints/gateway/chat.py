"""`/api/chat`: ask a question, and follow the job that answers it."""

from typing import Any

from flask import Response

from service.api import events
from service.api.answering import PATIENT_SECONDS, answer, answer_job, answered
from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with, takes_header, tells_quota
from service.api.blueprints.gateway.chat_schemas import JOB_OR_REPLY, After, JobList, Question, Reply, Wait
from service.api.headers import idempotency_key
from service.api.jobs import POLL_SECONDS, job_body, job_summary
from service.api.quota import tell_quota
from service.api.schemas import Accepted, Job, JobFilter
from service.api.state import services
from service.api.staying import streaming, waiting
from service.domain.accounts import Actor
from service.domain.chat import ChatMessage
from service.domain.jobs import Job as DomainJob
from service.domain.jobs import JobStatus
from service.domain.keys import Scope
from service.usecases.jobs import Submission
from service.usecases.places import NOWHERE, named
from service.usecases.ports import JobQuery

blueprint = ApiBlueprint("chat", __name__, url_prefix="/api/chat", description="Questions to the model")

CHANNEL = "api"
# Of a client that brings the whole conversation.
CONVERSATION_CHANNEL = "bizlevel"
CONVERSATION_ASSISTANT = "bizlevel"
_REPLY = Reply()


@blueprint.route("", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(402, 404, 409, 429)
@takes_header("Prefer", "Idempotency-Key", "Last-Event-ID")
@tells_quota
@blueprint.arguments(Question)
@blueprint.response(
    200, JOB_OR_REPLY, example=Job.EXAMPLE, description="The answer, if it came while the client waited"
)
@blueprint.alt_response(200, schema=events.SCHEMA, content_type=events.MEDIA_TYPE, example=events.EXAMPLE, success=True)
@blueprint.alt_response(202, schema=Accepted, description="Accepted: follow `pollUrl` or `eventsUrl`", success=True)
def ask(question: dict[str, Any], *, actor: Actor) -> Response:
    """Ask the model

    Accepts the question and answers 202, or waits for the model: as long as `Prefer: wait=N` says (at most 55
    seconds), else as long as the API key or this installation says. With `Accept: text/event-stream` the answer is the
    job's event stream itself, as the model writes it, and names the job in `Location` and `X-Job-Id`. The balance is
    charged for a complete answer, or for the part that was shown before you cancelled it.

    With `messages` instead of `message` the client brings the whole conversation: BizLevel's assistant answers its last
    message, nothing of it is kept as a dialog, the reply is `{"message": {"role", "content"}}`, and it is waited for
    55 seconds by default.
    """
    tell_quota(actor, question["user_id"])
    if question["messages"] is not None and not events.wants_events():
        return answer(actor, lambda: _submit(actor, question), _REPLY, _reply, wait_seconds=PATIENT_SECONDS)
    return answer_job(actor, lambda: _submit(actor, question))


@blueprint.route("/jobs", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(JobFilter, location="query")
@blueprint.response(200, JobList, description="A page of jobs, without their texts")
def list_jobs(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List one's own jobs, newest first"""
    status = query["status"]
    page = services().jobs.page(
        actor,
        JobQuery(
            account_id=query["user_id"],
            status=JobStatus(status) if status else None,
            cursor=query["cursor"],
            limit=query["limit"],
        ),
    )
    return {"jobs": [job_summary(job, actor) for job in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/jobs/<job_id>", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@fails_with(404, 429)
@blueprint.arguments(Wait, location="query")
@blueprint.response(200, Job, description="The job as it is; a failed one has `error`")
def get_job(query: dict[str, Any], *, actor: Actor, job_id: str) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Poll a job

    With `?wait=N` the answer comes when the job is final, or after N seconds.
    """
    with waiting(actor, query["wait"]):
        job = services().jobs.wait(actor, job_id, query["wait"])
    headers = {} if job.status.is_final else {"Retry-After": str(POLL_SECONDS)}
    return _body(job, actor), 200, headers


@blueprint.route("/jobs/<job_id>/cancel", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.response(200, Job, description="The job; a running one becomes `cancelled` within about a second")
def cancel_job(*, actor: Actor, job_id: str) -> dict[str, Any]:
    """Cancel a job

    A queued job is cancelled at once, a running one within about a second. It is free of charge unless a part of its
    answer was shown already (`stream`): that part is kept and charged by our own count (`usage.estimated`). A final job
    stays as it is.
    """
    return _body(services().jobs.cancel(actor, job_id), actor)


@blueprint.route("/jobs/<job_id>/events", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@fails_with(404, 429)
@takes_header("Last-Event-ID")
@blueprint.arguments(After, location="query")
@blueprint.response(
    200,
    events.SCHEMA,
    content_type=events.MEDIA_TYPE,
    description="`chunk`s of the answer, then `done` or `error`",
    example=events.EXAMPLE,
)
def follow_job(query: dict[str, Any], *, actor: Actor, job_id: str) -> Response:
    """Follow a job as Server-Sent Events

    The stream lasts until the job is final; leaving it does not stop the job. Of a question with `stream` the chunks
    come as the model writes them, of another one all at once. The `id` of a chunk is the number of characters of the
    answer up to its end, that of the last event the number after it. A reconnecting client gets what follows the id
    that it names. Ten minutes after the end of a job the last event comes alone.
    """
    job = services().jobs.get(actor, job_id)
    after = query["after"]
    return streaming(actor, lambda: events.follow(job, events.last_event_id() if after is None else after))


def _submit(actor: Actor, question: dict[str, Any]) -> DomainJob:
    make = _submission if question["messages"] is None else _conversation
    return services().jobs.submit(actor, make(question, actor))


def _submission(question: dict[str, Any], actor: Actor) -> Submission:
    context = question["context"]
    return Submission(
        message=question["message"],
        channel=CHANNEL,
        user_id=question["user_id"],
        assistant=question["assistant"],
        context=None if context is None else [ChatMessage(**item) for item in context],
        place=named(question["session_id"], question["chat_id"]),
        metadata=question["metadata"],
        callback_url=question["callback_url"],
        idempotency=idempotency_key(actor, question),
        stream=question["stream"] or events.wants_events(),
    )


def _conversation(question: dict[str, Any], actor: Actor) -> Submission:
    *before, last = (ChatMessage(**item) for item in question["messages"])
    return Submission(
        message=last.content,
        channel=CONVERSATION_CHANNEL,
        user_id=question["user_id"],
        assistant=question["assistant"] or CONVERSATION_ASSISTANT,
        context=before,
        place=NOWHERE,
        metadata=question["metadata"],
        callback_url=question["callback_url"],
        idempotency=idempotency_key(actor, question),
        stream=question["stream"] or events.wants_events(),
    )


def _reply(job: DomainJob) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": answered(job)}}


def _body(job: DomainJob, actor: Actor) -> dict[str, Any]:
    return job_body(job, actor, services().settings.max_history_length)
