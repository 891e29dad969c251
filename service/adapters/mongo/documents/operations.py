"""The audit trail, named leases and what is measured of the whole service."""

from mongoengine import (
    DateTimeField,
    DictField,
    ListField,
    LongField,
    StringField,
)
from mongoengine.fields import FloatField

from service.adapters.mongo.documents.stored import Stored


class AuditDocument(Stored):
    id = StringField(primary_key=True)
    actor_id = StringField(required=True)
    action = StringField(required=True)
    subject_id = StringField(required=True)
    details = DictField()
    outcome = StringField(required=True)
    request_id = StringField(required=True)
    created_at = DateTimeField(required=True)

    meta = {
        "collection": "audit",
        "indexes": [("-created_at", "-id"), ("subject_id", "-created_at", "-id")],
    }


class FiguresDocument(Stored):
    """What was measured last of the whole service."""

    id = StringField(primary_key=True)
    measured_at = DateTimeField(required=True)
    active_users = LongField(required=True)
    balance_mean = FloatField(required=True)
    balance_median = FloatField(required=True)
    days = ListField(DictField())
    models = ListField(DictField())
    failures = ListField(DictField())
    requests = ListField(DictField())

    meta = {"collection": "figures"}


class RequestDayDocument(Stored):
    """How many requests the API answered on a day (`id`, ISO), and with which error codes."""

    id = StringField(primary_key=True)
    requests = LongField(required=True)
    errors = DictField()

    meta = {"collection": "request_days"}


class LeaseDocument(Stored):
    """`since` is when it was first held after a break."""

    id = StringField(primary_key=True)
    holder = StringField(required=True)
    until = DateTimeField(required=True)
    since = DateTimeField()

    meta = {"collection": "leases"}
