"""What the bodies and replies of all `/api/ai` questions have in common."""

from collections.abc import Callable
from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, Decorator, fails_with, takes_header, tells_quota
from service.api.fields import FlatObject, Input, Output, SnakeInput, SnakeOutput, Text
from service.api.headers import idempotency_key
from service.api.quota import tell_quota
from service.api.schemas import EXAMPLE_JOB_ID, Accepted, Id, OwnerId
from service.domain.accounts import Actor
from service.domain.callback_urls import URL_MAX_CHARACTERS
from service.domain.dialogs import message_id
from service.domain.errors import JobCancelled
from service.domain.jobs import Job
from service.domain.keys import Scope
from service.usecases.asking import Line, Terms

_ACCEPTED = "Accepted: follow `poll_url` or `events_url`"


def question_route(
    blueprint: ApiBlueprint,
    rule: str,
    body: type[Input],
    reply: type[Output],
    description: str,
    *,
    errors: tuple[int, ...] = (402, 404, 429),
) -> Decorator:
    """A route whose answer the model writes: waited for at first, then as a job."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        view = blueprint.alt_response(202, schema=Accepted, description=_ACCEPTED, success=True)(view)
        view = blueprint.response(200, reply, description=description)(view)
        view = tells_quota(blueprint.arguments(body)(view))
        view = fails_with(*errors)(takes_header("Prefer", "Idempotency-Key")(view))
        view = authenticated("owner", Scope.CHAT)(view)
        return blueprint.route(rule, methods=["POST"])(view)

    return decorate


class Question(SnakeInput):
    """What every question may have."""

    user_id = OwnerId()
    callback_url = Text(load_default=None, max_length=URL_MAX_CHARACTERS)
    metadata = FlatObject(load_default=dict)


class InChat(SnakeInput):
    """Where it is asked, for whoever has a place."""

    session_id = Id(load_default=None, metadata={"description": "A session, which means its default chat."})
    chat_id = Id(load_default=None)


class Replied(SnakeOutput):
    """What every answer has beside itself."""

    job_id = fields.String(required=True)
    tokens_used = fields.Integer(metadata={"description": "As the provider counted them, or we did."})


EXAMPLE_REPLIED: dict[str, Any] = {"job_id": EXAMPLE_JOB_ID, "tokens_used": 412}


def terms(given: dict[str, Any], actor: Actor) -> Terms:
    """For whom this is asked, and what is to become of the answer; says what is left of the rate limit."""
    tell_quota(actor, given["user_id"])
    return Terms(given["user_id"], given["metadata"], given["callback_url"], idempotency_key(actor, given))


def line(given: dict[str, Any]) -> Line:
    return Line(given["chat_id"], given["session_id"])


def replied(job: Job) -> dict[str, Any]:
    """The fields of `Replied`."""
    used = {} if job.usage is None else {"tokens_used": job.usage.total_tokens}
    return {"job_id": job.id, **used}


def said(job: Job) -> dict[str, Any]:
    """What was said in a chat, and where. Raises JobCancelled."""
    if job.said is None:
        raise JobCancelled(extra={"jobId": job.id})
    return {
        "message": job.said,
        "chat_id": job.chat_id,
        "session_id": job.session_id,
        "message_id": message_id(job.id, "assistant"),
        **replied(job),
    }


def made(job: Job) -> dict[str, Any]:
    """The object that was asked for. Raises JobCancelled."""
    if job.result is None:
        raise JobCancelled(extra={"jobId": job.id})
    return {**job.result, **replied(job)}
