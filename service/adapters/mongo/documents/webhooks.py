"""Webhook endpoints and deliveries."""

from mongoengine import (
    BooleanField,
    DateTimeField,
    DictField,
    IntField,
    ListField,
    StringField,
)

from service.adapters.mongo.documents.stored import Stored


class EndpointDocument(Stored):
    """A webhook endpoint; one without a URL holds the secret of its account's per-job callbacks."""

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    url = StringField(required=True)
    events = ListField(StringField(), required=True)
    format = StringField(required=True)
    template = DictField()
    part_characters = IntField(required=True)
    secret = StringField(required=True)
    old_secret = StringField()
    old_secret_until = DateTimeField()
    enabled = BooleanField(required=True)
    disabled_reason = StringField()
    created_at = DateTimeField(required=True)

    meta = {"collection": "endpoints", "indexes": ["account_id"]}


class DeliveryDocument(Stored):
    """One event for one destination, which is also the outbox: what is `pending` here will be sent.

    Forgotten after 30 days.
    """

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    event = StringField(required=True)
    destination = StringField(required=True)
    origin = StringField(required=True)
    job_id = StringField()
    endpoint_id = StringField()
    request_id = StringField()
    status = StringField(required=True)
    attempt = IntField(required=True)
    tries = IntField(required=True)
    parts_sent = IntField(required=True)
    next_at = DateTimeField(required=True)
    lease_until = DateTimeField()
    last_status = IntField()
    last_error = StringField()
    created_at = DateTimeField(required=True)
    finished_at = DateTimeField()
    subject = DictField()

    meta = {
        "collection": "deliveries",
        "indexes": [
            {"fields": ["destination", "next_at"], "partialFilterExpression": {"status": "pending"}},
            # What is due for longest of all destinations, for the exporter.
            {"fields": ["next_at"], "name": "due", "partialFilterExpression": {"status": "pending"}},
            {"fields": ["lease_until"], "partialFilterExpression": {"status": "sending"}},
            ("endpoint_id", "-created_at", "-id"),
            ("endpoint_id", "status", "-created_at", "-id"),
            ("account_id", "-created_at", "-id"),
            ("account_id", "status", "-created_at", "-id"),
            ("status", "-created_at", "-id"),
            ("-created_at", "-id"),
            {"fields": ["created_at"], "expireAfterSeconds": 30 * 24 * 3600},
        ],
    }


class DeliverySlotsDocument(Stored):
    """Who is delivering to a destination now; `id` is the destination."""

    id = StringField(primary_key=True)
    holders = ListField(DictField())
    until = DateTimeField()

    meta = {
        "collection": "delivery_slots",
        "indexes": [{"fields": ["until"], "expireAfterSeconds": 3600}],
    }
