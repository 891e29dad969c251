"""Bodies of `/api/ai/user-config`, `/api/ai/default-config` and `/api/ai/test-connection`."""

from typing import Any, ClassVar

from marshmallow import fields

from service.api.fields import Choice, Number, SnakeInput, SnakeOutput, Text, Whole
from service.api.schemas import OwnerId
from service.domain.texts import LOCALES
from service.domain.tutor import LEAST_TOKENS, MAX_TEMPERATURE

MODEL_MAX_CHARACTERS = 128
# Beyond what any model writes; each has a limit of its own.
MAX_TOKENS = 1_000_000


class TutorOwner(SnakeInput):
    user_id = OwnerId()


class TutorChanges(TutorOwner):
    """What is to be set; null means the default again, and what isn't named stays."""

    EXAMPLE: ClassVar[Any] = {"model": "default", "temperature": 0.5, "max_tokens": 1500, "language": "ru"}

    model = Text(
        allow_none=True, max_length=MODEL_MAX_CHARACTERS, metadata={"description": "One of those of `GET /v1/models`."}
    )
    temperature = Number(0, MAX_TEMPERATURE, allow_none=True)
    max_tokens = Whole(
        least=LEAST_TOKENS,
        most=MAX_TOKENS,
        allow_none=True,
        metadata={"description": "How long an answer may be, within the model's own limit."},
    )
    language = Choice(LOCALES, allow_none=True, metadata={"description": "`null`: that of each question."})


class TutorSettings(SnakeOutput):
    EXAMPLE: ClassVar[Any] = {"model": "default", "temperature": 0.7, "max_tokens": 2000, "language": None}

    model = fields.String(required=True)
    temperature = fields.Float(required=True, allow_none=True, metadata={"description": "`null`: the model's own."})
    max_tokens = fields.Integer(required=True)
    language = fields.String(required=True, allow_none=True, metadata={"description": "`null`: that of each question."})


class Connection(SnakeOutput):
    EXAMPLE: ClassVar[Any] = {"success": True, "model": "default", "model_available": True, "latency_ms": 184}

    success = fields.Boolean(required=True, metadata={"description": "The provider answers and has the model."})
    model = fields.String(required=True, metadata={"description": "What the tutor uses."})
    model_available = fields.Boolean(required=True)
    latency_ms = fields.Integer(required=True, metadata={"description": "How long the provider took to answer."})
