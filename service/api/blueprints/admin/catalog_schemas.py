"""Bodies of `/api/admin/models` and `/api/admin/assistants`."""

from marshmallow import ValidationError, fields

from service.api.fields import Choice, Day, Flag, Input, Moment, Number, Output, Record, Text, Whole
from service.api.schemas import EXAMPLE_TIME
from service.domain.billing import OUTPUT_FLOOR_TOKENS, WEIGHT_UNIT, Meter
from service.domain.catalog import DEFAULT_MODEL
from service.domain.model_lives import WARN_DAYS, ModelWarning
from service.domain.texts import LOCALES
from service.domain.tutor import MAX_TEMPERATURE

# A price of nothing would be a gift to whoever asks most; what is free is for the meter of an assistant to say.
LEAST_WEIGHT = 1
MOST_WEIGHT = 1000 * WEIGHT_UNIT
MOST_TOKENS = 10**7
MOST_HISTORY = 200
PERSONA_MAX_CHARACTERS = 20_000
ALIAS_MAX_CHARACTERS = 128
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
OUTPUT_PARAMETERS = ("max_completion_tokens", "max_tokens")
_PRICE = "Thousandths of a balance token per token; 1000 is one for one."
_WARNINGS = (
    f"`ended`: it is over and nothing works that could answer for it. `missing`: the provider doesn't list what is "
    f"sent for it. `no_successor`: it ends within {WARN_DAYS} days and nothing takes over. `ending_soon`: the same, "
    f"and its successor does. `replaced`: its successor has."
)

EXAMPLE_MODEL = {
    "alias": "gpt-4o-mini",
    "upstreamId": "gpt-4o-mini",
    "sentId": "gpt-4o-mini",
    "weights": {"version": 1, "inputMilli": 1000, "cachedMilli": 1000, "outputMilli": 1000},
    "contextTokens": 128000,
    "outputTokens": 16384,
    "acceptsTemperature": True,
    "outputParameter": "max_completion_tokens",
    "reasoningEffort": None,
    "shutdownOn": "2027-01-14",
    "providerShutdownOn": "2027-01-14",
    "daysLeft": 54,
    "successor": "gpt-6-luna",
    "warning": "ending_soon",
    "isDefault": False,
    "assistants": ["chat"],
    "version": 1,
}
EXAMPLE_ASSISTANT = {
    "id": "coach",
    "persona": "Tu es un coach bienveillant.",
    "locale": "fr",
    "model": DEFAULT_MODEL,
    "temperature": 0.7,
    "outputTokens": 1000,
    "historyMessages": 20,
    "meter": "credits",
    "responseFormat": None,
    "listed": True,
    "version": 1,
}


class PriceWeights(Output):
    version = fields.Integer(required=True, metadata={"description": "Kept on each job with its prices."})
    input_milli = fields.Integer(required=True, metadata={"description": _PRICE})
    cached_milli = fields.Integer(required=True)
    output_milli = fields.Integer(required=True)


class AdminModel(Output):
    EXAMPLE = EXAMPLE_MODEL

    alias = fields.String(required=True)
    upstream_id = fields.String(required=True, metadata={"description": "What the provider calls it."})
    sent_id = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "What is sent for the alias today, of itself or of a successor; null if there is none."
        },
    )
    weights = Record(PriceWeights, required=True)
    context_tokens = fields.Integer(required=True, metadata={"description": "Prompt and answer together."})
    output_tokens = fields.Integer(required=True, metadata={"description": "The longest answer."})
    accepts_temperature = fields.Boolean(required=True)
    output_parameter = fields.String(required=True)
    reasoning_effort = fields.String(required=True, allow_none=True)
    shutdown_on = fields.String(
        required=True, allow_none=True, metadata={"description": "The day from which its successor is sent instead."}
    )
    provider_shutdown_on = fields.String(
        required=True, allow_none=True, metadata={"description": "The day that the provider announces."}
    )
    days_left = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Until the earlier of both; below zero when it is over."},
    )
    successor = fields.String(required=True, allow_none=True)
    warning = fields.String(
        required=True, allow_none=True, metadata={"enum": [*ModelWarning, None], "description": _WARNINGS}
    )
    is_default = fields.Boolean(required=True, metadata={"description": "Whether `default` means this one."})
    assistants = fields.List(fields.String(), required=True, metadata={"description": "Who asks it."})
    version = fields.Integer(required=True, metadata={"description": "`expectedVersion` of the next change."})


class AdminModels(Output):
    EXAMPLE = {"models": [EXAMPLE_MODEL], "defaultModel": "gpt-6-luna", "providerReadAt": EXAMPLE_TIME}

    models = fields.List(Record(AdminModel), required=True)
    default_model = fields.String(required=True, metadata={"description": "What `default` means."})
    provider_read_at = Moment(
        required=True, allow_none=True, metadata={"description": "When the provider was last asked for its models."}
    )


class AdminAssistant(Output):
    EXAMPLE = EXAMPLE_ASSISTANT

    id = fields.String(required=True, attribute="assistant.id")
    persona = fields.String(required=True, attribute="assistant.persona")
    locale = fields.String(required=True, attribute="assistant.locale")
    model = fields.String(
        required=True,
        attribute="assistant.model",
        metadata={"description": "An alias; `default` is the installation's own."},
    )
    temperature = fields.Float(required=True, allow_none=True, attribute="assistant.temperature")
    output_tokens = fields.Integer(required=True, attribute="assistant.output_tokens")
    history_messages = fields.Integer(
        required=True,
        attribute="assistant.history_messages",
        metadata={"description": "How many earlier messages are sent, of `MAX_HISTORY_LENGTH` at most."},
    )
    meter = fields.String(required=True, attribute="assistant.meter", metadata={"enum": list(Meter)})
    response_format = fields.String(
        required=True,
        allow_none=True,
        attribute="assistant.response_format",
        metadata={"description": "Of one that answers in a format; null for plain text."},
    )
    listed = fields.Boolean(
        required=True, attribute="assistant.listed", metadata={"description": "Whether `GET /api/assistants` has it."}
    )
    version = fields.Integer(required=True, metadata={"description": "`expectedVersion` of the next change."})


class AdminAssistants(Output):
    EXAMPLE = {"assistants": [EXAMPLE_ASSISTANT]}

    assistants = fields.List(Record(AdminAssistant), required=True)


class Versioned(Input):
    expected_version = Whole(
        least=0,
        most=2**31 - 1,
        required=True,
        metadata={"description": "The `version` that was seen: 409 if it is another by now."},
    )


def _weight() -> Whole:
    return Whole(least=LEAST_WEIGHT, most=MOST_WEIGHT, metadata={"description": _PRICE})


class WeightChanges(Input):
    input_milli = _weight()
    cached_milli = _weight()
    output_milli = _weight()


def _alias(**options: object) -> Text:
    return Text(min_length=1, max_length=ALIAS_MAX_CHARACTERS, **options)


class ModelChanges(Versioned):
    """What is not named stays."""

    EXAMPLE = {
        "expectedVersion": 3,
        "weights": {"inputMilli": 1000, "cachedMilli": 500, "outputMilli": 4000},
        "shutdownOn": "2027-01-14",
        "successor": "gpt-6-luna",
    }

    upstream_id = _alias()
    weights = Record(WeightChanges)
    context_tokens = Whole(least=2 * OUTPUT_FLOOR_TOKENS, most=MOST_TOKENS)
    output_tokens = Whole(least=OUTPUT_FLOOR_TOKENS, most=MOST_TOKENS)
    accepts_temperature = Flag()
    output_parameter = Choice(OUTPUT_PARAMETERS)
    reasoning_effort = Choice(EFFORTS, allow_none=True)
    shutdown_on = Day(allow_none=True)
    successor = _alias(allow_none=True, metadata={"description": "The alias of another model."})


def _not_blank(value: str) -> None:
    if not value.strip():
        raise ValidationError("not_empty")


class AssistantChanges(Versioned):
    """What is not named stays."""

    EXAMPLE = {"expectedVersion": 3, "model": "gpt-6-sol", "temperature": 0.5, "outputTokens": 1500}

    persona = Text(min_length=1, max_length=PERSONA_MAX_CHARACTERS, validate=[_not_blank])
    locale = Choice(LOCALES)
    model = _alias(metadata={"description": "An alias, or `default`."})
    temperature = Number(0, MAX_TEMPERATURE, allow_none=True)
    output_tokens = Whole(least=OUTPUT_FLOOR_TOKENS, most=MOST_TOKENS)
    history_messages = Whole(least=0, most=MOST_HISTORY)
    listed = Flag()
