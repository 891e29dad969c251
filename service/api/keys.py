"""An API key as its owner and operators see it: everything but the secret."""

from collections.abc import Sequence

from marshmallow import fields

from service.api.fields import Choice, Items, Moment, Output
from service.api.schemas import EXAMPLE_ID, EXAMPLE_KEY_ID, EXAMPLE_TIME
from service.domain.keys import Scope

EXAMPLE_KEY = {
    "keyId": EXAMPLE_KEY_ID,
    "userId": EXAMPLE_ID,
    "name": "Бот в Telegram",
    "prefix": "tm_x7Qe2Zc",
    "scopes": ["chat", "context", "billing:read", "bot"],
    "waitSeconds": 25,
    "requestsPerMinute": 120,
    "tokensPerMinute": None,
    "maxOpenJobs": None,
    "assistant": None,
    "callbackHosts": ["bot.example.com"],
    "partCharacters": None,
    "textFormat": None,
    "locale": None,
    "createdAt": EXAMPLE_TIME,
    "expiresAt": None,
    "previousUntil": None,
    "lastUsedAt": EXAMPLE_TIME,
    "revokedAt": None,
}


class Scopes(Items):
    """A list of scopes."""

    def __init__(self, *, default: Sequence[Scope] | None = None) -> None:
        options = {"required": True} if default is None else {"load_default": list(default)}
        super().__init__(
            Choice(tuple(Scope)),
            metadata={"description": "What the key may do. Only an admin may grant `billing:topup`."},
            **options,
        )


class Key(Output):
    EXAMPLE = EXAMPLE_KEY

    id = fields.String(required=True, data_key="keyId")
    account_id = fields.String(
        required=True, data_key="userId", metadata={"description": "Whose key it is, and for whom it acts."}
    )
    name = fields.String(required=True)
    prefix = fields.String(required=True, metadata={"description": "How the secret begins."})
    scopes = fields.List(fields.String(metadata={"enum": list(Scope)}), required=True)
    wait_seconds = fields.Integer(required=True, allow_none=True)
    requests_per_minute = fields.Integer(required=True, allow_none=True)
    tokens_per_minute = fields.Integer(required=True, allow_none=True)
    max_open_jobs = fields.Integer(required=True, allow_none=True)
    assistant = fields.String(required=True, allow_none=True)
    callback_hosts = fields.List(fields.String(), required=True)
    part_characters = fields.Integer(required=True, allow_none=True)
    text_format = fields.String(required=True, allow_none=True)
    locale = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    expires_at = Moment(required=True, allow_none=True)
    previous_until = Moment(
        required=True, allow_none=True, metadata={"description": "Until when the secret before this one works."}
    )
    last_used_at = Moment(required=True, allow_none=True, metadata={"description": "To the minute."})
    revoked_at = Moment(required=True, allow_none=True)
