"""Sessions, chats and messages as a client sees them, in the two spellings: camelCase, and the learning platform's."""

from collections.abc import Sequence
from typing import Any, ClassVar

from flask import Blueprint
from marshmallow import fields

from service.api.fields import Moment, Output, Record, SnakeOutput
from service.api.schemas import EXAMPLE_ID, EXAMPLE_TIME
from service.api.state import locale, services, state
from service.domain.dialogs import ChatKind, DialogStatus, Message, Session
from service.domain.texts import text

STATUSES = tuple(DialogStatus)
# The language of a client that names none, where the coach's clients call.
COACH_LOCALE = "fr"
# The coach's clients know no pages, so one has what few people exceed.
MANY_ITEMS = 1000

EXAMPLE_SESSION: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "title": "Ma conversation",
    "lastMessage": "Bonjour ! Comment puis-je t'aider ?",
    "messageCount": 2,
    "status": "active",
    "createdAt": EXAMPLE_TIME,
    "updatedAt": "2024-01-15T12:30:00Z",
}
EXAMPLE_SENT: dict[str, Any] = {
    "id": f"{EXAMPLE_ID}:user",
    "role": "USER",
    "content": "Bonjour !",
    "createdAt": EXAMPLE_TIME,
}
EXAMPLE_MESSAGE: dict[str, Any] = {**EXAMPLE_SENT, "parentId": None, "siblings": [f"{EXAMPLE_ID}:user"]}
SIBLINGS = "All messages that stand at this place, on whatever branch, oldest first: this one and its alternatives."
PARENT = "The message before it; `null` at the beginning."


class UpperRole(fields.String):
    """`USER` or `ASSISTANT`, as the coach's clients know them."""

    SCHEMA: ClassVar[dict[str, Any]] = {"enum": ["USER", "ASSISTANT"]}

    def _serialize(self, value: str | None, *_args: Any, **_options: Any) -> str | None:
        return None if value is None else value.upper()


class SessionView(Output):
    """A session in a list."""

    id = fields.String(required=True)
    title = fields.String(required=True)
    last_message = fields.String(required=True, metadata={"description": "The beginning of the newest message."})
    message_count = fields.Integer(required=True)
    status = fields.String(required=True, metadata={"enum": list(DialogStatus)})
    track_id = fields.String(metadata={"description": "Of the learning track, if it belongs to one."})
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class SentMessage(Output):
    """A message that was said just now."""

    id = fields.String(required=True)
    role = UpperRole(required=True)
    content = fields.String(required=True)
    created_at = Moment(required=True)


class MessageView(SentMessage):
    """A message in its chat."""

    parent_id = fields.String(required=True, allow_none=True, metadata={"description": PARENT})
    siblings = fields.List(fields.String(), required=True, metadata={"description": SIBLINGS})


class LearningMessage(SnakeOutput):
    """The same as the learning platform spells it."""

    id = fields.String(required=True)
    role = fields.String(required=True, metadata={"enum": ["user", "assistant"]})
    content = fields.String(required=True)
    created_at = Moment(required=True)
    parent_id = fields.String(required=True, allow_none=True, metadata={"description": PARENT})
    siblings = fields.List(fields.String(), required=True, metadata={"description": SIBLINGS})


class ChatView(Output):
    """One of the chats of a session."""

    id = fields.String(required=True)
    session_id = fields.String(required=True)
    title = fields.String(required=True)
    kind = fields.String(required=True, metadata={"enum": list(ChatKind)})
    module_id = fields.String(required=True, allow_none=True, metadata={"description": "Of a module's chat."})
    status = fields.String(required=True, metadata={"enum": list(DialogStatus)})
    message_count = fields.Integer(required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class ChatInSession(ChatView):
    running_job_id = fields.String(
        required=True,
        allow_none=True,
        attribute="open_job_id",
        metadata={"description": "The job that is being answered in it, if it takes one at a time."},
    )


class SessionWithMessages(SessionView):
    running_job_id = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "The job that is being answered in the session's default chat, to be followed at "
            "`/api/chat/jobs/{jobId}/events`; null if there is none."
        },
    )
    messages = fields.List(Record(MessageView), required=True)


def session_body(session: Session) -> dict[str, Any]:
    """The fields of a session; until its first question it is called new, in the reader's language."""
    body = {
        "id": session.id,
        "title": session.title or text(locale(), "dialog.untitled"),
        "last_message": session.last_message,
        "message_count": session.message_count,
        "status": session.status,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
    }
    return body if session.track_id is None else {**body, "track_id": session.track_id}


def message_bodies(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """A page of messages of one chat, each with what stands at its place beside it."""
    return [
        {
            "id": shown.message.id,
            "role": shown.message.role,
            "content": shown.message.content,
            "created_at": shown.message.created_at,
            "parent_id": shown.message.parent_id,
            "siblings": shown.siblings,
        }
        for shown in services().branches.shown(messages)
    ]


def speaks_french(blueprint: Blueprint) -> None:
    """Have the routes of a blueprint speak the coach's language to whoever names none."""

    def speak() -> None:
        state().usual_locale = COACH_LOCALE

    blueprint.before_request(speak)
