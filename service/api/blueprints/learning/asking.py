"""What the bodies and replies of all `/api/ai` questions have in common."""

from typing import Any

from marshmallow import fields

from service.api.fields import FlatObject, SnakeInput, SnakeOutput, Text
from service.api.headers import idempotency_key
from service.api.quota import tell_quota
from service.api.schemas import EXAMPLE_JOB_ID, Id, OwnerId
from service.domain.accounts import Actor
from service.domain.callback_urls import URL_MAX_CHARACTERS
from service.domain.dialogs import message_id
from service.domain.errors import JobCancelled
from service.domain.jobs import Job
from service.usecases.asking import Line, Terms

ACCEPTED = "Accepted: follow `poll_url` or `events_url`"


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
