"""`/api/chat/send`: a message to the coach, and the answer, paid for with a credit."""

from typing import Any

from flask import Response
from marshmallow import fields

from service.api.answering import PATIENT_SECONDS, answer, answered
from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with, takes_header, tells_quota
from service.api.dialogs import EXAMPLE_SENT, SentMessage, speaks_french
from service.api.fields import FlatObject, Input, Output, Record, Text
from service.api.headers import idempotency_key
from service.api.quota import tell_quota
from service.api.schemas import EXAMPLE_ID, Accepted, Id, OwnerId
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.callback_urls import URL_MAX_CHARACTERS
from service.domain.chat import MESSAGE_MAX_CHARACTERS
from service.domain.dialogs import message_id
from service.domain.jobs import Job
from service.domain.keys import Scope
from service.usecases.jobs import Submission
from service.usecases.places import NewSession, named

blueprint = ApiBlueprint("send", __name__, url_prefix="/api/chat/send", description="The coach")
speaks_french(blueprint)

CHANNEL = "coach"
ASSISTANT = "coach"


class NewMessage(Input):
    EXAMPLE = {"message": "Mon message au coach"}

    user_id = OwnerId()
    session_id = Id(load_default=None, metadata={"description": "The session to go on with; a new one if absent."})
    message = Text(required=True, metadata={"minLength": 1, "maxLength": MESSAGE_MAX_CHARACTERS})
    callback_url = Text(load_default=None, max_length=URL_MAX_CHARACTERS)
    metadata = FlatObject(load_default=dict)


class Sent(Output):
    EXAMPLE = {
        "sessionId": EXAMPLE_ID,
        "userMessage": {**EXAMPLE_SENT, "content": "Mon message au coach"},
        "assistantMessage": {
            **EXAMPLE_SENT,
            "id": f"{EXAMPLE_ID}:assistant",
            "role": "ASSISTANT",
            "content": "Réponse du coach IA...",
            "createdAt": "2024-01-15T10:00:02Z",
        },
        "remainingCredits": 4,
        "unlimited": False,
    }

    session_id = fields.String(required=True)
    user_message = Record(SentMessage, required=True)
    assistant_message = Record(SentMessage, required=True)
    remaining_credits = fields.Integer(
        required=True, allow_none=True, metadata={"description": "`null` for a plan without a limit."}
    )
    unlimited = fields.Boolean(required=True)


_SENT = Sent()


@blueprint.route("", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(402, 404, 409, 429)
@takes_header("Prefer", "Idempotency-Key")
@tells_quota
@blueprint.arguments(NewMessage)
@blueprint.response(200, Sent, description="The message and the coach's answer")
@blueprint.alt_response(202, schema=Accepted, description="Accepted: follow `pollUrl` or `eventsUrl`", success=True)
def send(given: dict[str, Any], *, actor: Actor) -> Response:
    """Talk to the coach

    Waits for the answer, for 55 seconds unless `Prefer` says otherwise. An answered message costs one credit of the
    month's plan, or an extra one; an unanswered one costs nothing.
    """
    tell_quota(actor, given["user_id"])
    submission = Submission(
        message=given["message"],
        channel=CHANNEL,
        user_id=given["user_id"],
        assistant=ASSISTANT,
        place=named(given["session_id"], None) or NewSession(),
        metadata=given["metadata"],
        callback_url=given["callback_url"],
        idempotency=idempotency_key(actor, given),
    )
    return answer(actor, lambda: services().jobs.submit(actor, submission), _SENT, _sent, wait_seconds=PATIENT_SECONDS)


def _sent(job: Job) -> dict[str, Any]:
    # First: of a repeated request whose job was erased meanwhile there is no question any more either.
    reply = answered(job)
    said = {"user": (job.message.content, job.created_at), "assistant": (reply, job.finished_at)}
    messages = {
        role: {"id": message_id(job.id, role), "role": role, "content": content, "created_at": at}
        for role, (content, at) in said.items()
    }
    return {
        "session_id": job.session_id,
        "user_message": messages["user"],
        "assistant_message": messages["assistant"],
        "remaining_credits": job.balance_after,
        "unlimited": job.balance_after is None,
    }
