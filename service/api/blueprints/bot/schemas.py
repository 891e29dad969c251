"""Bodies and parameters of `/api/bot`. All of them may be sent as forms."""

from typing import Any

from marshmallow import fields

from service.api.fields import Choice, FlatObject, Input, Output, Text, Whole
from service.api.headers import MAX_WAIT_SECONDS
from service.api.schemas import EXAMPLE_JOB_ID, Id
from service.domain.callback_urls import URL_MAX_CHARACTERS
from service.domain.chat import MESSAGE_MAX_CHARACTERS
from service.domain.telegram import TextFormat

MAX_PARTS = 10_000
EXAMPLE_TOP_UP = "https://example.com/billing"


class Name(Id):
    """An id of the bot's own. A number will do: builders put a chat's id into JSON without quotes."""

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> str:
        plain = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        return super()._deserialize(plain, *args, **options)


def _user_id() -> Name:
    return Name(
        load_default=None,
        metadata={
            "description": "What the bot calls the person, e.g. the Telegram chat's id; without it the key's owner."
        },
    )


def _wait() -> Whole:
    return Whole(
        least=0,
        most=MAX_WAIT_SECONDS,
        load_default=None,
        metadata={"description": "Seconds to wait for the answer: the key's `waitSeconds`, else 2 by default."},
    )


def _format() -> Choice:
    return Choice(
        tuple(TextFormat),
        load_default=None,
        metadata={
            "description": "How `text` and the parts are written: the key's `textFormat`, else plain by default."
        },
    )


class BotQuestion(Input):
    EXAMPLE = {"userId": "4242", "message": "Почему небо голубое?", "clientRequestId": "update-9001", "format": "html"}

    user_id = _user_id()
    message = Text(
        required=True,
        # Judged by the engine, which has a code of its own for it.
        metadata={"minLength": 1, "maxLength": MESSAGE_MAX_CHARACTERS, "description": "What the person wrote."},
    )
    client_request_id = Name(
        load_default=None,
        metadata={
            "description": "The same once more is the same question and one charge, e.g. Telegram's `update_id`."
        },
    )
    format = _format()
    wait = _wait()
    assistant = Text(load_default=None, max_length=64, metadata={"description": "The key's or `chat` by default."})
    callback_url = Text(
        load_default=None,
        max_length=URL_MAX_CHARACTERS,
        metadata={"description": "HTTPS address of a public server that is told once when the answer is there."},
    )
    metadata = FlatObject(load_default=dict, metadata={"description": "JSON only: comes back in callbacks."})


class ResultQuery(Input):
    job_id = Id(required=True, metadata={"description": "Of the question."})
    format = _format()
    wait = _wait()
    first_part = Whole(
        least=1,
        most=MAX_PARTS,
        load_default=1,
        metadata={"description": "Which part is `part1`: 6 shows the sixth to the tenth of a long answer."},
    )


class BotUser(Input):
    EXAMPLE = {"userId": "4242"}

    user_id = _user_id()


class BotUserQuery(Input):
    user_id = _user_id()


class BotLink(Input):
    EXAMPLE = {"userId": "4242", "code": "7KQ2-M9XA"}

    user_id = Name(required=True, metadata={"description": "What the bot calls the person."})
    code = Text(required=True, min_length=1, max_length=32, metadata={"description": "As the person typed it."})


_NOTHING = {
    "ok": True,
    "status": "",
    "jobId": "",
    "clientRequestId": "",
    "text": "",
    **{f"part{number}": "" for number in range(1, 6)},
    "partsCount": 0,
    "errorCode": "",
    "errorText": "",
    "retryAfter": 0,
    "balance": 0,
    "topUpUrl": EXAMPLE_TOP_UP,
}
_ASKED = {**_NOTHING, "jobId": EXAMPLE_JOB_ID, "clientRequestId": "update-9001", "balance": 99962}
_ANSWER = "Воздух рассеивает синий свет сильнее красного."


class BotReply(Output):
    """Always these fields, never null."""

    EXAMPLES = {
        "done": {"value": {**_ASKED, "status": "done", "text": _ANSWER, "part1": _ANSWER, "partsCount": 1}},
        "running": {"value": {**_ASKED, "status": "running"}},
        "failed": {
            "value": {
                **_NOTHING,
                "ok": False,
                "status": "failed",
                "errorCode": "INSUFFICIENT_TOKENS",
                "errorText": f"Недостаточно токенов. Пополните баланс: {EXAMPLE_TOP_UP}",
                "balance": 12,
            }
        },
    }

    ok = fields.Boolean(required=True, metadata={"description": "Whether nothing went wrong, so far."})
    status = fields.String(
        required=True,
        metadata={
            "enum": ["queued", "running", "done", "failed"],
            "description": "`queued` and `running`: ask `/result` for `jobId`.",
        },
    )
    job_id = fields.String(required=True)
    client_request_id = fields.String(required=True)
    text = fields.String(required=True, metadata={"description": "The whole answer, however long."})
    part1 = fields.String(required=True, metadata={"description": "A message that Telegram takes."})
    part2 = fields.String(required=True)
    part3 = fields.String(required=True)
    part4 = fields.String(required=True)
    part5 = fields.String(required=True)
    parts_count = fields.Integer(
        required=True, metadata={"description": "How many parts there are; beyond five see `firstPart` of `/result`."}
    )
    error_code = fields.String(required=True, metadata={"description": "Stable, for the bot; empty if all is well."})
    error_text = fields.String(required=True, metadata={"description": "Ready to be shown to the person."})
    retry_after = fields.Integer(
        required=True, metadata={"description": "Seconds after which it is worth trying again; 0 if that says nothing."}
    )
    balance = fields.Integer(required=True, metadata={"description": "Tokens that can be spent; 0 if nobody is known."})
    top_up_url = fields.String(required=True, metadata={"description": "Where a person pays."})
