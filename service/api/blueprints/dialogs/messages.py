"""`/api/chat/messages`: edit a question, ask for another answer, show another branch."""

from typing import Any, ClassVar

from flask import Response
from marshmallow import fields

from service.api import events
from service.api.answering import answer_job
from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with, takes_header, tells_quota
from service.api.dialogs import EXAMPLE_MESSAGE, MessageView, message_bodies
from service.api.fields import Flag, FlatObject, Input, Output, Record, Text
from service.api.headers import idempotency_key
from service.api.quota import tell_quota
from service.api.schemas import EXAMPLE_ID, PAGE_ITEMS, Accepted, Job, NextCursor
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.callback_urls import URL_MAX_CHARACTERS
from service.domain.chat import MESSAGE_MAX_CHARACTERS
from service.domain.keys import Scope
from service.usecases.branches import Repeat

blueprint = ApiBlueprint(
    "messages", __name__, url_prefix="/api/chat/messages", description="Dialogs: edit, ask again, show another branch"
)

CHANNEL = "api"


class Regenerate(Input):
    EXAMPLE: ClassVar[Any] = {"metadata": {"chatId": 4242}}

    stream = Flag(
        load_default=False,
        metadata={"description": "Show the answer in the job's events as the model writes it, not only at its end."},
    )
    callback_url = Text(
        load_default=None,
        max_length=URL_MAX_CHARACTERS,
        metadata={"description": "HTTPS address of a public server that is told once when the job is final."},
    )
    metadata = FlatObject(
        load_default=dict, metadata={"description": "Scalars under identifiers, at most 1 KB; comes back with the job."}
    )


class Edit(Regenerate):
    EXAMPLE: ClassVar[Any] = {"message": "А если кафе на набережной?"}

    message = Text(
        required=True,
        # Judged by the engine, which has a code of its own for it.
        metadata={"minLength": 1, "maxLength": MESSAGE_MAX_CHARACTERS, "description": "The question as it is now."},
    )


class ShownBranch(Output):
    EXAMPLE = {
        "sessionId": EXAMPLE_ID,
        "chatId": EXAMPLE_ID,
        "messages": [EXAMPLE_MESSAGE],
        "nextCursor": None,
    }

    session_id = fields.String(required=True)
    chat_id = fields.String(required=True)
    messages = fields.List(Record(MessageView), required=True)
    next_cursor = NextCursor()


@blueprint.route("/<message_id>/edit", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(402, 404, 409, 429)
@takes_header("Prefer", "Idempotency-Key", "Last-Event-ID")
@tells_quota
@blueprint.arguments(Edit)
@blueprint.response(200, Job, description="The answer, if it came while the client waited")
@blueprint.alt_response(200, schema=events.SCHEMA, content_type=events.MEDIA_TYPE, example=events.EXAMPLE, success=True)
@blueprint.alt_response(202, schema=Accepted, description="Accepted: follow `pollUrl` or `eventsUrl`", success=True)
def edit(given: dict[str, Any], *, actor: Actor, message_id: str) -> Response:
    """Edit a question

    It is asked anew from where it stands, as a job like any other. With the answer the chat shows the new branch; the
    question as it was, and all that followed it, stays beside it. Until then, and without an answer, nothing changes.
    """
    repeat = _repeat(actor, message_id, given)
    return answer_job(actor, lambda: services().branches.edit(actor, message_id, given["message"], repeat))


@blueprint.route("/<message_id>/regenerate", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(402, 404, 409, 429)
@takes_header("Prefer", "Idempotency-Key", "Last-Event-ID")
@tells_quota
@blueprint.arguments(Regenerate)
@blueprint.response(200, Job, description="The answer, if it came while the client waited")
@blueprint.alt_response(200, schema=events.SCHEMA, content_type=events.MEDIA_TYPE, example=events.EXAMPLE, success=True)
@blueprint.alt_response(202, schema=Accepted, description="Accepted: follow `pollUrl` or `eventsUrl`", success=True)
def regenerate(given: dict[str, Any], *, actor: Actor, message_id: str) -> Response:
    """Ask for another answer

    The same question once more, as a job like any other. The new answer stands beside the old one and is shown.
    """
    repeat = _repeat(actor, message_id, given)
    return answer_job(actor, lambda: services().branches.regenerate(actor, message_id, repeat))


@blueprint.route("/<message_id>/select", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(404, 409)
@blueprint.response(200, ShownBranch, description=f"The chat as it shows now: its newest {PAGE_ITEMS} messages")
def select(*, actor: Actor, message_id: str) -> dict[str, Any]:
    """Show another branch

    The one on which this message lies, to its end; the next question goes on from there. Not while a question is open
    in the chat.
    """
    chat = services().branches.select(actor, message_id)
    page = services().dialogs.messages_in(chat, None, PAGE_ITEMS)
    return {
        "session_id": chat.session_id,
        "chat_id": chat.id,
        "messages": message_bodies(page.items),
        "next_cursor": page.next_cursor,
    }


def _repeat(actor: Actor, message_id: str, given: dict[str, Any]) -> Repeat:
    """Limits and keys are those of who asked, of a program its end user's."""
    user_id = services().branches.user_of(actor, message_id)
    tell_quota(actor, user_id)
    return Repeat(
        channel=CHANNEL,
        metadata=given["metadata"],
        callback_url=given["callback_url"],
        idempotency=idempotency_key(actor, {**given, "user_id": user_id}),
        stream=given["stream"] or events.wants_events(),
    )
