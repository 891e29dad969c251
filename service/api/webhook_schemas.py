"""Bodies and parameters of `/api/webhooks` and of its operators' side."""

import re
from typing import Any

from marshmallow import ValidationError, fields, validate

from service.api.fields import Choice, Flag, FlatObject, Input, Items, Messages, Moment, Output, Record, Text, Whole
from service.api.schemas import (
    EXAMPLE_CURSOR,
    EXAMPLE_ID,
    EXAMPLE_JOB_ID,
    EXAMPLE_TIME,
    Cursor,
    Id,
    NextCursor,
)
from service.domain.callback_urls import URL_MAX_CHARACTERS
from service.domain.parts import PART_CHARACTERS, PART_LEAST, PART_MOST
from service.domain.webhooks import JOB_EVENTS, DeliveryStatus, EventType, WebhookFormat

MAX_FIELDS = 30
MAX_OVERLAP_HOURS = 168
OVERLAP_HOURS = 24
_FIELD_NAME = re.compile(r"[A-Za-z0-9_\[\]-]+(?:\.[A-Za-z0-9_-]+)*")
EXAMPLE_URL = "https://shop.example.com/talkmeter"
EXAMPLE_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - of the documentation


class FieldMap(fields.Dict):
    """Names of fields and the texts that fill them."""

    default_error_messages: Messages = {
        "required": "required",
        "null": "not_null",
        "validator_failed": "invalid",
        "invalid": "not_object",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(keys=Text(), values=Text(max_length=1000), **options)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> dict[Any, Any]:
        found: dict[Any, Any] = super()._deserialize(value, *args, **options)  # type: ignore[no-untyped-call]
        if not 1 <= len(found) <= MAX_FIELDS:
            raise ValidationError(f"field_count:{MAX_FIELDS}")
        if not all(len(name) <= 100 and _FIELD_NAME.fullmatch(name) for name in found):
            raise ValidationError("field_name")
        return found


class TemplateInput(Input):
    method = Choice(("POST", "PUT", "PATCH"), load_default="POST")
    body = Choice(("json", "form"), load_default="json")
    field_map = FieldMap(
        data_key="fields",
        required=True,
        metadata={
            "description": (
                "What to send: names of fields (a dot nests, in JSON) and texts with `{placeholders}`: event, eventId, "
                "jobId, userId, status, text (the answer, or why there is none), message, model, finishReason, "
                "tokensUsed, charged, currentBalance, errorCode, errorText, createdAt, finishedAt, metadata.NAME."
            )
        },
    )


def _url(**options: Any) -> Text:
    description = "HTTPS address of a public server; other forms are refused with UNSAFE_CALLBACK_URL."
    return Text(max_length=URL_MAX_CHARACTERS, metadata={"description": description}, **options)


def _events(**options: Any) -> Items:
    return Items(
        Choice(JOB_EVENTS),
        validate=[validate.Length(min=1, max=len(JOB_EVENTS), error="not_empty")],
        metadata={"description": "Which events it wants; all of them by default."},
        **options,
    )


def _part_characters(**options: Any) -> Whole:
    return Whole(
        least=PART_LEAST,
        most=PART_MOST,
        metadata={"description": "botboom: the longest part of an answer, in UTF-16 units."},
        **options,
    )


class NewWebhook(Input):
    EXAMPLE = {"url": EXAMPLE_URL, "events": ["job.succeeded", "job.failed"], "format": "native"}

    url = _url(required=True)
    events = _events(load_default=None)
    format = Choice(tuple(WebhookFormat), load_default=WebhookFormat.NATIVE.value)
    template = Record(TemplateInput, load_default=None, metadata={"description": "Of the format `template`."})
    part_characters = _part_characters(load_default=PART_CHARACTERS)


class WebhookChanges(Input):
    EXAMPLE = {"events": ["job.succeeded"], "enabled": True}

    url = _url()
    events = _events()
    format = Choice(tuple(WebhookFormat))
    template = Record(TemplateInput)
    part_characters = _part_characters()
    enabled = Flag(metadata={"description": "Deliveries to an endpoint that is off are dead."})


class SecretRotation(Input):
    EXAMPLE = {"overlapHours": 24}

    overlap_hours = Whole(
        least=0,
        most=MAX_OVERLAP_HOURS,
        load_default=OVERLAP_HOURS,
        metadata={"description": "How long the old secret signs too."},
    )


class TestEvent(Input):
    EXAMPLE = {"metadata": {"chatId": 4242}}

    metadata = FlatObject(
        load_default=dict, metadata={"description": "As of a question; botboom's format needs `chatId`."}
    )


class TemplateShown(Output):
    method = fields.String(required=True)
    body = fields.String(required=True)
    field_map = fields.Dict(
        keys=fields.String(), values=fields.String(), data_key="fields", attribute="fields", required=True
    )


class Webhook(Output):
    EXAMPLE = {
        "id": EXAMPLE_ID,
        "url": EXAMPLE_URL,
        "events": ["job.succeeded", "job.failed"],
        "format": "native",
        "template": None,
        "partCharacters": PART_CHARACTERS,
        "enabled": True,
        "disabledReason": None,
        "oldSecretUntil": None,
        "createdAt": EXAMPLE_TIME,
    }

    id = fields.String(required=True)
    url = fields.String(required=True, metadata={"description": "Without what may be a secret in it."})
    events = fields.List(fields.String(), required=True)
    format = fields.String(required=True, metadata={"enum": list(WebhookFormat)})
    template = Record(TemplateShown, required=True, allow_none=True)
    part_characters = fields.Integer(required=True)
    enabled = fields.Boolean(required=True)
    disabled_reason = fields.String(
        required=True, allow_none=True, metadata={"description": "`gone`: the receiver answered 410; `owner`."}
    )
    old_secret_until = Moment(required=True, allow_none=True)
    created_at = Moment(required=True)


class WebhookWithSecret(Webhook):
    EXAMPLE = {**Webhook.EXAMPLE, "secret": EXAMPLE_SECRET}

    secret = fields.String(required=True, metadata={"description": "Shown this once."})


class CallbackSecret(Output):
    EXAMPLE = {"secret": EXAMPLE_SECRET, "oldSecretUntil": None}

    secret = fields.String(required=True, metadata={"description": "Shown this once."})
    old_secret_until = Moment(required=True, allow_none=True)


class Webhooks(Output):
    EXAMPLE = {"webhooks": [Webhook.EXAMPLE]}

    webhooks = fields.List(Record(Webhook), required=True)


class Delivery(Output):
    EXAMPLE = {
        "id": "2c9a4d0e6b8f41d3a5c7e9f1b3d5a7c9",
        "event": "job.succeeded",
        "jobId": EXAMPLE_JOB_ID,
        "webhookId": EXAMPLE_ID,
        "origin": "https://shop.example.com",
        "status": "delivered",
        "tries": 1,
        "lastStatus": 200,
        "lastError": None,
        "nextAttemptAt": None,
        "createdAt": EXAMPLE_TIME,
        "finishedAt": "2024-01-15T10:00:02Z",
    }

    id = fields.String(required=True, metadata={"description": "Also the event's id, `webhook-id` at the receiver."})
    event = fields.String(required=True, metadata={"enum": list(EventType)})
    job_id = fields.String(required=True, allow_none=True)
    webhook_id = fields.String(
        required=True, allow_none=True, metadata={"description": "None if it goes to the job's own `callbackUrl`."}
    )
    origin = fields.String(required=True, metadata={"description": "The receiver's server; no path, no query."})
    status = fields.String(required=True, metadata={"enum": list(DeliveryStatus)})
    tries = fields.Integer(required=True)
    last_status = fields.Integer(required=True, allow_none=True, metadata={"description": "HTTP status."})
    last_error = fields.String(required=True, allow_none=True)
    next_attempt_at = Moment(required=True, allow_none=True)
    created_at = Moment(required=True)
    finished_at = Moment(required=True, allow_none=True)


class DeliveryFilter(Cursor):
    status = Choice(tuple(DeliveryStatus), load_default=None)


class AdminDeliveryFilter(DeliveryFilter):
    user_id = Id(load_default=None, metadata={"description": "Of one account; of all by default."})


class Deliveries(Output):
    EXAMPLE = {"deliveries": [Delivery.EXAMPLE], "nextCursor": EXAMPLE_CURSOR}

    deliveries = fields.List(Record(Delivery), required=True)
    next_cursor = NextCursor()


class AdminDelivery(Delivery):
    """A delivery with whose it is."""

    EXAMPLE = {**Delivery.EXAMPLE, "userId": EXAMPLE_ID}

    user_id = fields.String(required=True)


class AdminDeliveries(Output):
    EXAMPLE = {"deliveries": [AdminDelivery.EXAMPLE], "nextCursor": EXAMPLE_CURSOR}

    deliveries = fields.List(Record(AdminDelivery), required=True)
    next_cursor = NextCursor()
