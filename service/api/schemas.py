"""Schemas that several surfaces share: messages of a dialog, jobs, the ledger, pages."""

from typing import Any

from marshmallow import fields

from service.api.fields import Choice, FlatObject, Input, Moment, Output, Record, Text, Whole
from service.domain.billing import Meter
from service.domain.errors import ANSWER_REASONS
from service.domain.jobs import JobStatus

ID_MAX_CHARACTERS = 128
CURSOR_MAX_CHARACTERS = 512
CONTENT_MAX_CHARACTERS = 100_000
PAGE_MAX_ITEMS = 100
PAGE_ITEMS = 20
MAX_TOKENS = 10**12

EXAMPLE_ID = "5b0e7d9c2f4a4c1e9a6d3f8b7c2e1d04"
EXAMPLE_JOB_ID = "9f1c2b7a4e5d4f60a1b2c3d4e5f60718"
EXAMPLE_CURSOR = "WzE3MDUzMTI4MDAsICI5ZjFjIl0"
EXAMPLE_PAYMENT_ID = "0d5f8c3b9a7e4126b1c4d7e0f2a59386"
EXAMPLE_KEY_ID = "c3a8e1f27d5b4690b1e4a7d2c9f03856"
EXAMPLE_SECRET = "tm_x7Qe2Zc-YourKeyIsLongerAndShownOnlyThisOnce"  # noqa: S105 - of nobody
EXAMPLE_TIME = "2024-01-15T10:00:00Z"
EXAMPLE_CONTEXT = [
    {"role": "user", "content": "Как назвать кофейню у моря?"},
    {"role": "assistant", "content": "«Прибой»: коротко и сразу понятно, где она."},
]


class Id(Text):
    """An opaque id."""

    def __init__(self, **options: Any) -> None:
        super().__init__(min_length=1, max_length=ID_MAX_CHARACTERS, **options)


class OwnerId(Id):
    """`userId`: whose data a request is about."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options,
            load_default=None,
            metadata={
                "description": (
                    "Own id by default; only an admin may name another. With an API key: what your program calls its "
                    "end user, e.g. a Telegram id; unknown ones get an account of their own."
                )
            },
        )


class ContextItem(Input):
    role = Choice(("user", "assistant"), required=True)
    content = Text(required=True, min_length=1, max_length=CONTENT_MAX_CHARACTERS)


class OwnerQuery(Input):
    """Whose data."""

    user_id = OwnerId()


class Cursor(Input):
    cursor = Text(
        load_default=None,
        max_length=CURSOR_MAX_CHARACTERS,
        metadata={"description": "`nextCursor` of the previous page."},
    )
    limit = Whole(least=1, most=PAGE_MAX_ITEMS, load_default=PAGE_ITEMS)


class JobFilter(Cursor, OwnerQuery):
    status = Choice(tuple(JobStatus), load_default=None)


class NextCursor(fields.String):
    """Where the next page begins."""

    def __init__(self) -> None:
        super().__init__(required=True, allow_none=True, metadata={"description": "`null` on the last page."})


class UsageCount(Output):
    """Tokens as the provider counted them, or as we did where `estimated`."""

    prompt_tokens = fields.Integer(required=True)
    cached_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    reasoning_tokens = fields.Integer(required=True)
    total_tokens = fields.Integer(required=True)
    estimated = fields.Boolean(required=True)


class JobError(Output):
    code = fields.String(required=True)
    message = fields.String(required=True)
    reason = fields.String(
        metadata={
            "enum": list(ANSWER_REASONS),
            "description": "Why the model's answer was none: it refused, ended at its limit, or is not in its format.",
        }
    )


class JobSummary(Output):
    """A job without its texts."""

    EXAMPLE = {
        "jobId": EXAMPLE_JOB_ID,
        "userId": EXAMPLE_ID,
        "sessionId": EXAMPLE_ID,
        "chatId": EXAMPLE_ID,
        "status": "succeeded",
        "assistant": "chat",
        "meter": "tokens",
        "model": "default",
        "tokensUsed": 38,
        "usage": {
            "promptTokens": 20,
            "cachedTokens": 0,
            "completionTokens": 18,
            "reasoningTokens": 0,
            "totalTokens": 38,
            "estimated": False,
        },
        "charged": 38,
        "currentBalance": 99962,
        "finishReason": "stop",
        "createdAt": EXAMPLE_TIME,
        "startedAt": EXAMPLE_TIME,
        "finishedAt": "2024-01-15T10:00:02Z",
    }

    job_id = fields.String(required=True)
    user_id = fields.String(required=True, metadata={"description": "For an API key, as it named its end user."})
    session_id = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The session that it was asked in; null for the default dialog, and outside any."},
    )
    chat_id = fields.String(required=True, allow_none=True, metadata={"description": "The chat of that session."})
    status = fields.String(
        required=True,
        metadata={"enum": list(JobStatus), "description": "The last three are final and never change."},
    )
    assistant = fields.String(required=True)
    meter = fields.String(
        required=True,
        metadata={
            "enum": list(Meter),
            "description": "What the answer costs: the tokens that it used, one credit, or nothing.",
        },
    )
    model = fields.String(required=True)
    tokens_used = fields.Integer(metadata={"description": "Tokens that the answer used."})
    usage = Record(UsageCount)
    charged = fields.Integer(required=True, metadata={"description": "Taken from the balance, in the meter's unit."})
    current_balance = fields.Integer(
        metadata={
            "description": "What was available right after this job: tokens; of the meter `credits` what was left of "
            "the month's and the extra credits; absent where a plan has no limit."
        }
    )
    finish_reason = fields.String()
    error = Record(JobError, metadata={"description": "Of a failed job."})
    metadata = FlatObject(metadata={"description": "As it was sent with the question."})
    created_at = Moment(required=True)
    started_at = Moment()
    finished_at = Moment()
    erased_at = Moment(metadata={"description": "When its texts were erased with its dialog."})


class Job(JobSummary):
    """A job with its answer. `message`, `context`, `tokensUsed` and `usage` are there once it has succeeded.

    Of a streamed job that was cancelled or failed `message` is what was shown of it.
    """

    EXAMPLE = {**JobSummary.EXAMPLE, "message": EXAMPLE_CONTEXT[1]["content"], "context": EXAMPLE_CONTEXT}

    message = fields.String(metadata={"description": "The model's answer."})
    context = fields.List(Record(ContextItem), metadata={"description": "The dialog with this turn."})
    result = fields.Dict(
        metadata={"description": "The object that the answer of an assistant with a format of its own is."}
    )


class Accepted(Output):
    EXAMPLE = {
        "jobId": EXAMPLE_JOB_ID,
        "status": "queued",
        "pollUrl": f"/api/chat/jobs/{EXAMPLE_JOB_ID}",
        "eventsUrl": f"/api/chat/jobs/{EXAMPLE_JOB_ID}/events",
        "createdAt": EXAMPLE_TIME,
    }

    job_id = fields.String(required=True)
    status = fields.String(required=True, metadata={"enum": list(JobStatus)})
    poll_url = fields.String(required=True)
    events_url = fields.String(required=True)
    created_at = Moment(required=True)


class Success(Output):
    EXAMPLE = {"success": True}

    success = fields.Boolean(required=True)


class NewBalance(Success):
    EXAMPLE = {"success": True, "currentBalance": 100000}

    current_balance = fields.Integer(
        required=True,
        metadata={"description": "Tokens that can be spent now, or extra credits where these were moved."},
    )


class UsageRow(Output):
    key = fields.String(required=True, metadata={"description": "The day or the model."})
    jobs = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    prompt_tokens = fields.Integer(required=True)
    cached_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    total_tokens = fields.Integer(required=True)
    charged = fields.Integer(required=True)


EXAMPLE_USAGE_ROW = {
    "key": "2024-01-15",
    "jobs": 12,
    "failed": 1,
    "promptTokens": 2400,
    "cachedTokens": 0,
    "completionTokens": 1800,
    "totalTokens": 4200,
    "charged": 4200,
}
