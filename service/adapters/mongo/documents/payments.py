"""Payments, redeem codes, and what the development provider keeps."""

from mongoengine import (
    DateTimeField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    IntField,
    LongField,
    StringField,
)

from service.adapters.mongo.documents.stored import Stored


class ReceiptFields(EmbeddedDocument):
    email = StringField()
    phone = StringField()
    vat_code = IntField(required=True)
    payment_subject = StringField(required=True)
    payment_mode = StringField(required=True)
    tax_system_code = IntField()
    description = StringField()


class RefundFields(EmbeddedDocument):
    number = IntField(required=True)
    status = StringField(required=True)
    tokens = LongField(required=True)
    reason = StringField()
    requested_by = StringField(required=True)
    requested_at = DateTimeField(required=True)
    provider_id = StringField()
    shortfall_tokens = LongField(required=True)
    finished_at = DateTimeField()


class PaymentDocument(Stored):
    """An order of `tokens`, or of as many credits; stored before its provider is asked. What is open has a
    `next_check_at`."""

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    provider = StringField(required=True)
    status = StringField(required=True)
    tokens = LongField(required=True)
    amount_minor = LongField(required=True)
    currency = StringField(required=True)
    description = StringField(required=True)
    return_url = StringField(required=True)
    request_id = StringField(required=True)
    created_at = DateTimeField(required=True)
    receipt = EmbeddedDocumentField(ReceiptFields)
    provider_id = StringField()
    confirmation_url = StringField()
    next_check_at = DateTimeField()
    finished_at = DateTimeField()
    confirmed_by = StringField()
    cancel_reason = StringField()
    problem = StringField()
    refund = EmbeddedDocumentField(RefundFields)
    unit = StringField(required=True)

    meta = {
        "collection": "payments",
        "indexes": [
            # One payment of a provider is one of ours, whatever anybody claims.
            {
                "fields": ["provider", "provider_id"],
                "unique": True,
                "partialFilterExpression": {"provider_id": {"$exists": True}},
            },
            {"fields": ["next_check_at"], "sparse": True},
            ("account_id", "-created_at", "-id"),
            ("account_id", "status", "-created_at", "-id"),
            ("status", "-created_at", "-id"),
            ("-created_at", "-id"),
        ],
    }


class RedeemCodeDocument(Stored):
    """A code that is worth `tokens`, or as many credits, once. What it says is kept as `code_hash` only."""

    id = StringField(primary_key=True)
    code_hash = StringField(required=True)
    batch_id = StringField(required=True)
    hint = StringField(required=True)
    tokens = LongField(required=True)
    note = StringField()
    created_by = StringField(required=True)
    created_at = DateTimeField(required=True)
    expires_at = DateTimeField()
    claimed_by = StringField()
    claimed_at = DateTimeField()
    revoked_at = DateTimeField()
    unit = StringField(required=True)

    meta = {
        "collection": "redeem_codes",
        "indexes": [
            {"fields": ["code_hash"], "unique": True},
            ("-created_at", "-id"),
            ("batch_id", "-created_at", "-id"),
        ],
    }


class TestPaymentDocument(Stored):
    """Development only: a payment as the `test` provider has it; `id` is what that provider calls it."""

    id = StringField(primary_key=True)
    order_id = StringField(required=True)
    status = StringField(required=True)
    amount_minor = LongField(required=True)
    currency = StringField(required=True)
    confirmation_url = StringField(required=True)
    return_url = StringField(required=True)
    description = StringField(required=True)
    refunded_minor = LongField(required=True)
    created_at = DateTimeField(required=True)

    meta = {
        "collection": "test_payments",
        "indexes": [{"fields": ["created_at"], "expireAfterSeconds": 30 * 24 * 3600}],
    }
