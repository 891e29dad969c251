"""Bodies of `/api/keys`."""

from marshmallow import fields, validate

from service.api.fields import Choice, Input, Items, Output, Record, Text, Whole
from service.api.headers import MAX_WAIT_SECONDS
from service.api.keys import EXAMPLE_KEY, Key, Scopes
from service.api.schemas import EXAMPLE_SECRET, MAX_TOKENS
from service.domain.keys import DEFAULT_SCOPES, Scope
from service.domain.parts import PART_LEAST, PART_MOST
from service.domain.telegram import TextFormat
from service.domain.texts import LOCALES

NAME_MAX_CHARACTERS = 100
MAX_HOSTS = 20
MAX_DAYS = 3650
MAX_PER_MINUTE = 1_000_000
DAY_SECONDS = 24 * 3600
MAX_OPEN_JOBS = 10_000
MAX_OVERLAP_SECONDS = 30 * DAY_SECONDS


class Life(Whole):
    """For how long a key is good."""

    def __init__(self, description: str) -> None:
        super().__init__(least=1, most=MAX_DAYS, load_default=None, metadata={"description": description})


class KeyOptions(Input):
    """What a key is made with and may be changed; where null is allowed, what is usual applies then."""

    wait_seconds = Whole(
        least=0,
        most=MAX_WAIT_SECONDS,
        allow_none=True,
        metadata={"description": "How long a question waits for its answer when the program doesn't say."},
    )
    requests_per_minute = Whole(
        least=1,
        most=MAX_PER_MINUTE,
        allow_none=True,
        metadata={
            "description": "Questions a minute, of all its end users together; no more than the installation allows."
        },
    )
    tokens_per_minute = Whole(
        least=1,
        most=MAX_TOKENS,
        allow_none=True,
        metadata={"description": "Tokens that those questions may use at most, prompts and answers."},
    )
    max_open_jobs = Whole(
        least=1, most=MAX_OPEN_JOBS, allow_none=True, metadata={"description": "Questions that may be open at once."}
    )
    assistant = Text(allow_none=True, max_length=64, metadata={"description": "Who answers by default."})
    callback_hosts = Items(
        Text(max_length=254),
        validate=[validate.Length(max=MAX_HOSTS, error=f"max_items:{MAX_HOSTS}")],
        metadata={"description": "Host names that its callbacks may go to; none named: any."},
    )
    part_characters = Whole(
        least=PART_LEAST,
        most=PART_MOST,
        allow_none=True,
        metadata={"description": "Of `/api/bot`: the longest part of an answer in UTF-16 units; 4000 if null."},
    )
    text_format = Choice(
        tuple(TextFormat), allow_none=True, metadata={"description": "Of `/api/bot`: how answers are written."}
    )
    locale = Choice(
        LOCALES, allow_none=True, metadata={"description": "The language of error texts; its owner's if null."}
    )


class NewKey(KeyOptions):
    EXAMPLE = {
        "name": "Бот в Telegram",
        "scopes": ["chat", "context", "billing:read", "bot"],
        "waitSeconds": 25,
        "requestsPerMinute": 120,
        "callbackHosts": ["bot.example.com"],
        "expiresInDays": 365,
    }

    name = Text(required=True, min_length=1, max_length=NAME_MAX_CHARACTERS)
    scopes = Scopes(default=DEFAULT_SCOPES)
    expires_in_days = Life("Never expires by default.")


class KeyChanges(KeyOptions):
    EXAMPLE = {"name": "Бот в MAX", "waitSeconds": 2, "callbackHosts": [], "expiresInDays": 90}

    name = Text(min_length=1, max_length=NAME_MAX_CHARACTERS)
    scopes = Items(
        Choice(tuple(Scope)),
        metadata={"description": "All of them. `billing:topup` stays if it is named, and only then."},
    )
    expires_in_days = Whole(
        least=1,
        most=MAX_DAYS,
        allow_none=True,
        metadata={"description": "Counted from now; null: never. By default the key expires when it would have."},
    )


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
