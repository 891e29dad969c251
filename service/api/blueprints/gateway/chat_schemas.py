"""Bodies and parameters of `/api/chat`."""

from marshmallow import fields

from service.api.fields import Flag, FlatObject, Input, Items, NotYet, Output, Record, Text, Whole
from service.api.headers import MAX_WAIT_SECONDS
from service.api.schemas import (
    EXAMPLE_CONTEXT,
    EXAMPLE_CURSOR,
    ContextItem,
    JobSummary,
    NextCursor,
    OwnerId,
)
from service.domain.callback_urls import URL_MAX_CHARACTERS
from service.domain.chat import MESSAGE_MAX_CHARACTERS


class Question(Input):
    EXAMPLE = {"message": "А если кафе, а не кофейня?", "context": EXAMPLE_CONTEXT, "metadata": {"chatId": 4242}}

    user_id = OwnerId()
    message = Text(
        required=True,
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
    session_id = NotYet("unknown_session", metadata={"description": "Not in use yet: there is one dialog."})
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
