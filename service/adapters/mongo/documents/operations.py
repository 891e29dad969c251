"""The audit trail and named leases."""

from mongoengine import (
    DateTimeField,
    DictField,
    StringField,
)

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


class LeaseDocument(Stored):
    """`since` is when it was first held after a break."""

    id = StringField(primary_key=True)
    holder = StringField(required=True)
    until = DateTimeField(required=True)
    since = DateTimeField()

    meta = {"collection": "leases"}
