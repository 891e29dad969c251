"""Bodies of `/api/keys`."""

from marshmallow import fields, validate

from service.api.fields import Input, Items, Output, Record, Text, Whole
from service.api.headers import MAX_WAIT_SECONDS
from service.api.keys import EXAMPLE_KEY, Key, Scopes
from service.api.schemas import MAX_TOKENS
from service.domain.keys import DEFAULT_SCOPES

NAME_MAX_CHARACTERS = 100
MAX_HOSTS = 20
MAX_DAYS = 3650
MAX_PER_MINUTE = 1_000_000
DAY_SECONDS = 24 * 3600
MAX_OPEN_JOBS = 10_000
MAX_OVERLAP_SECONDS = 30 * DAY_SECONDS
EXAMPLE_SECRET = "tm_x7Qe2Zc-YourKeyIsLongerAndShownOnlyThisOnce"  # noqa: S105 - of nobody


class Life(Whole):
    """For how long a key is good."""

    def __init__(self, description: str) -> None:
        super().__init__(least=1, most=MAX_DAYS, load_default=None, metadata={"description": description})


class NewKey(Input):
    EXAMPLE = {
        "name": "Бот в Telegram",
        "scopes": ["chat", "context", "billing:read"],
        "waitSeconds": 25,
        "requestsPerMinute": 120,
        "callbackHosts": ["bot.example.com"],
        "expiresInDays": 365,
    }

    name = Text(required=True, min_length=1, max_length=NAME_MAX_CHARACTERS)
    scopes = Scopes(default=DEFAULT_SCOPES)
    wait_seconds = Whole(
        least=0,
        most=MAX_WAIT_SECONDS,
        load_default=None,
        metadata={"description": "How long `POST /api/chat` waits for the answer when the program doesn't say."},
    )
    requests_per_minute = Whole(
        least=1,
        most=MAX_PER_MINUTE,
        load_default=None,
        metadata={
            "description": "Questions a minute, of all its end users together; no more than the installation allows."
        },
    )
    tokens_per_minute = Whole(
        least=1,
        most=MAX_TOKENS,
        load_default=None,
        metadata={"description": "Tokens that those questions may use at most, prompts and answers."},
    )
    max_open_jobs = Whole(
        least=1, most=MAX_OPEN_JOBS, load_default=None, metadata={"description": "Questions that may be open at once."}
    )
    assistant = Text(load_default=None, max_length=64, metadata={"description": "Who answers by default."})
    callback_hosts = Items(
        Text(max_length=254),
        load_default=list,
        validate=[validate.Length(max=MAX_HOSTS, error=f"max_items:{MAX_HOSTS}")],
        metadata={"description": "Host names that its callbacks may go to; none named: any."},
    )
    expires_in_days = Life("Never expires by default.")


class KeyRotation(Input):
    EXAMPLE = {"overlapSeconds": DAY_SECONDS}

    overlap_seconds = Whole(
        least=0,
        most=MAX_OVERLAP_SECONDS,
        load_default=DAY_SECONDS,
        metadata={"description": "For how long the old secret works on; 0 after a leak."},
    )
    expires_in_days = Life("Counted anew; by default the key expires when it would have.")


class IssuedKey(Key):
    EXAMPLE = {**EXAMPLE_KEY, "key": EXAMPLE_SECRET}

    secret = fields.String(
        required=True, data_key="key", metadata={"description": "The key itself. It is shown this once."}
    )


class Keys(Output):
    EXAMPLE = {"keys": [Key.EXAMPLE], "total": 1}

    keys = fields.List(Record(Key), required=True)
    total = fields.Integer(required=True)
