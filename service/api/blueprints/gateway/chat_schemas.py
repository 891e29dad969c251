"""Bodies and parameters of `/api/chat`."""

from typing import Any

from marshmallow import ValidationError, fields, validates_schema

from service.api.fields import Flag, FlatObject, Input, Items, Output, Record, Text, Whole
from service.api.headers import MAX_WAIT_SECONDS
from service.api.schemas import (
    EXAMPLE_CONTEXT,
    EXAMPLE_CURSOR,
    ContextItem,
    Id,
    JobSummary,
    NextCursor,
    OwnerId,
)
from service.domain.callback_urls import URL_MAX_CHARACTERS
from service.domain.chat import MESSAGE_MAX_CHARACTERS


class Question(Input):
    """A question, or a whole conversation of which the last message is one."""

    EXAMPLE = {"message": "А если кафе, а не кофейня?", "context": EXAMPLE_CONTEXT, "metadata": {"chatId": 4242}}
    ONE_OF = ("message", "messages")

    user_id = OwnerId()
    message = Text(
        load_default=None,
        # Judged by the engine, which has a code of its own for it.
        metadata={"minLength": 1, "maxLength": MESSAGE_MAX_CHARACTERS, "description": "What to ask the model."},
    )
    context = Items(
        Record(ContextItem),
        load_default=None,
        metadata={
            "description": "The dialog so far. It is used instead of the saved one and, on success, replaces it."
        },
    )
    messages = Items(
        Record(ContextItem),
        load_default=None,
        metadata={
            "minItems": 1,
            "description": "The whole conversation, oldest first; the last message is the user's. Nothing of it is "
            "continued or kept as a dialog.",
        },
    )
    session_id = Id(
        load_default=None,
        metadata={"description": "Which of one's sessions it is asked in; the default dialog if absent."},
    )
    chat_id = Id(load_default=None, metadata={"description": "Which of the chats of a session, if it has several."})
    assistant = Text(
        load_default=None,
        max_length=64,
        metadata={"description": "Which assistant answers: the API key's or `chat` by default."},
    )
    stream = Flag(
        load_default=False,
        metadata={"description": "Show the answer in the job's events as the model writes it, not only at its end."},
    )
    callback_url = Text(
        load_default=None,
        max_length=URL_MAX_CHARACTERS,
        metadata={
            "description": "HTTPS address of a public server that is told once when the job is final, as a webhook is."
        },
    )
    metadata = FlatObject(
        load_default=dict, metadata={"description": "Scalars under identifiers, at most 1 KB; comes back with the job."}
    )

    @validates_schema
    def _ends_with_a_question(self, data: dict[str, Any], **_options: Any) -> None:
        messages = data["messages"]
        if messages is None:
            return
        if not messages:
            raise ValidationError("not_empty", field_name="messages")
        if messages[-1]["role"] != "user":
            raise ValidationError("last_message_user", field_name="messages")
        if data["context"] is not None or data["session_id"] is not None:
            raise ValidationError("messages_stateless", field_name="messages")


class Reply(Output):
    """The answer to a whole conversation."""

    message = Record(ContextItem, required=True)


# What a question is answered with: the job with its answer, or of a whole conversation the message alone.
JOB_OR_REPLY: dict[str, Any] = {
    "oneOf": [
        {"$ref": "#/components/schemas/Job"},
        {
            "title": "Reply",
            "type": "object",
            "required": ["message"],
            "properties": {"message": {"$ref": "#/components/schemas/ContextItem"}},
        },
    ]
}


class JobList(Output):
    EXAMPLE = {"jobs": [JobSummary.EXAMPLE], "nextCursor": EXAMPLE_CURSOR}

    jobs = fields.List(Record(JobSummary), required=True)
    next_cursor = NextCursor()


class Wait(Input):
    wait = Whole(
        least=0,
        most=MAX_WAIT_SECONDS,
        load_default=0,
        metadata={"description": "Seconds to wait for the job to become final."},
    )


class After(Input):
    after = Whole(
        least=0,
        most=2**31 - 1,
        load_default=None,
        metadata={"description": "Skip the events up to this id, as `Last-Event-ID` does."},
    )
