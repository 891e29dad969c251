"""Wallets, the ledger, usage by day and answers to repeated requests."""

from mongoengine import (
    BooleanField,
    DateTimeField,
    LongField,
    StringField,
)

from service.adapters.mongo.documents.stored import Stored


class WalletDocument(Stored):
    """`id` is the account's. `seq` counts its ledger entries; the last one has this number.

    `webhooks` says that the account has had a webhook endpoint, `linked_to` which account has taken over what was here,
    `credits` that it has the wallets of credits too, `closed` that the account is deleted.
    """

    id = StringField(primary_key=True)
    available = LongField(required=True)
    held = LongField(required=True)
    total_tokens = LongField(required=True)
    seq = LongField(required=True)
    webhooks = BooleanField()
    linked_to = StringField()
    credits = BooleanField()
    closed = BooleanField()

    meta = {"collection": "wallets", "indexes": ["available"]}


class CreditsDocument(Stored):
    """A wallet of credits: `<account>:credits` for those of the plan, `<account>:extra` for those that were paid for.

    The first one knows the month that it is in: of which plan, counted from `anchor_at`, and until when. `end_user`
    says that the account is one of an API key's program, `closed` that it is deleted: no month brings credits any more.
    """

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    available = LongField(required=True)
    held = LongField(required=True)
    seq = LongField(required=True)
    linked_to = StringField()
    end_user = BooleanField()
    plan = StringField()
    unlimited = BooleanField()
    anchor_at = DateTimeField()
    period_starts_at = DateTimeField()
    period_ends_at = DateTimeField()
    closed = BooleanField()

    meta = {"collection": "credits"}


class LedgerDocument(Stored):
    """Append-only. `account_id` is the wallet's id. `amount` = `available_delta` + `held_delta`; the deltas of a wallet
    sum up to what it has."""

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    seq = LongField(required=True)
    kind = StringField(required=True)
    amount = LongField(required=True)
    available_delta = LongField(required=True)
    held_delta = LongField(required=True)
    balance_after = LongField(required=True)
    held_after = LongField(required=True)
    actor_id = StringField(required=True)
    reason = StringField()
    job_id = StringField()
    created_at = DateTimeField(required=True)

    meta = {"collection": "ledger", "indexes": [{"fields": ["account_id", "-seq"], "unique": True}]}


class IdempotencyDocument(Stored):
    """Written in the transaction of what it leads to; forgotten after 24 hours."""

    id = StringField(primary_key=True)
    fingerprint = StringField(required=True)
    result_id = StringField(required=True)
    created_at = DateTimeField(required=True)

    meta = {
        "collection": "idempotency",
        "indexes": [{"fields": ["created_at"], "expireAfterSeconds": 24 * 3600}],
    }


class UsageDocument(Stored):
    """Sums of one account, day and model, so that reports don't grow with the number of jobs."""

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    day = StringField(required=True)
    model = StringField(required=True)
    jobs = LongField()
    failed = LongField()
    prompt_tokens = LongField()
    cached_tokens = LongField()
    completion_tokens = LongField()
    total_tokens = LongField()
    charged = LongField()

    meta = {"collection": "usage", "indexes": [("account_id", "day"), ("day", "model")]}
