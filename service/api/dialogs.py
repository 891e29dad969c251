"""Sessions, chats and messages as a client sees them, in the two spellings: camelCase, and the learning platform's."""

from collections.abc import Sequence
from typing import Any, ClassVar

from flask import Blueprint
from marshmallow import fields

from service.api.fields import Moment, Output, Record, SnakeOutput
from service.api.schemas import EXAMPLE_ID, EXAMPLE_TIME
from service.api.state import locale, services, state
from service.domain.dialogs import ChatKind, DialogStatus, Message, Session
from service.domain.jobs import Job
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


class Said:
    """Fields of a message that was said just now, in whatever spelling."""

    id = fields.String(required=True)
    content = fields.String(required=True)
    created_at = Moment(required=True)


class Placed(Said):
    """And of one in its chat."""

    parent_id = fields.String(required=True, allow_none=True, metadata={"description": PARENT})
    siblings = fields.List(fields.String(), required=True, metadata={"description": SIBLINGS})


class SentMessage(Said, Output):
    role = UpperRole(required=True)


class MessageView(Placed, Output):
    role = UpperRole(required=True)


class LearningMessage(Placed, SnakeOutput):
    role = fields.String(required=True, metadata={"enum": ["user", "assistant"]})


class ChatFields:
    """Fields of one of the chats of a session, in whatever spelling."""

    id = fields.String(required=True)
    session_id = fields.String(required=True)
    title = fields.String(required=True)
    kind = fields.String(required=True, metadata={"enum": list(ChatKind)})
    module_id = fields.String(required=True, allow_none=True, metadata={"description": "Of a module's chat."})
    status = fields.String(required=True, metadata={"enum": list(DialogStatus)})
    message_count = fields.Integer(required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class ChatView(ChatFields, Output):
    """One of the chats of a session."""


class ChatInSession(ChatView):
    running_job_id = fields.String(
        required=True,
        allow_none=True,
        attribute="open_job_id",
        metadata={"description": "The job that is being answered in it, if it takes one at a time."},
    )


class RunningJob(Output):
    """An answer that is being written, and what it answers: its turn is no message before it has ended."""

    id = fields.String(
        required=True, data_key="jobId", metadata={"description": "To be followed at `/api/chat/jobs/{jobId}/events`."}
    )
    question = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "`null` if nobody asked, or if the answer is a new one to a question that is there."},
    )
    parent_id = fields.String(
        allow_none=True,
        metadata={
            "description": "Where a branch begins: the message that the turn stands after, `null` at the beginning. "
            "Missing where it goes on at the end."
        },
    )


class SessionWithMessages(SessionView):
    running_job = Record(
        RunningJob,
        required=True,
        allow_none=True,
        metadata={"description": "The newest job that is being answered in the session's default chat."},
    )
    messages = fields.List(Record(MessageView), required=True)


def running_job_body(job: Job) -> dict[str, Any]:
    """The fields of a `RunningJob`."""
    is_new_answer = job.fork is not None and job.fork.keeps_question
    body = {"id": job.id, "question": None if job.unasked or is_new_answer else job.message.content}
    return body if job.fork is None else {**body, "parent_id": job.fork.parent_id}


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
