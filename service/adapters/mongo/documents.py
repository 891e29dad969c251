"""Every collection: its fields and its indexes, and nothing else.

Indexes are created by `python -m service.cli prepare`, never on a hot path. A test asks the database to explain each
query and fails on one that has no index.
"""

from typing import Any

from mongoengine import (
    BooleanField,
    DateTimeField,
    DictField,
    Document,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    IntField,
    ListField,
    LongField,
    StringField,
)
from mongoengine.fields import FloatField


class _Stored(Document):
    meta: dict[str, Any] = {"auto_create_index": False, "abstract": True}


class Login(EmbeddedDocument):
    """A login session: `refresh_id` is the id of its one valid refresh token."""

    id = StringField(required=True)
    refresh_id = StringField(required=True)
    expires_at = DateTimeField(required=True)


class AccountDocument(_Stored):
    id = StringField(primary_key=True)
    role = StringField(required=True)
    username = StringField()
    email = StringField()
    login_keys = ListField(StringField(), default=None)
    password_hash = StringField()
    first_name = StringField()
    last_name = StringField()
    locale = StringField()
    plan = StringField(required=True)
    blocked = BooleanField(required=True)
    token_version = IntField(required=True)
    logins = EmbeddedDocumentListField(Login)
    created_at = DateTimeField(required=True)
    expires_at = DateTimeField()
    last_seen_at = DateTimeField()
    external_id = StringField()
    key_id = StringField()

    meta = {
        "collection": "accounts",
        "indexes": [
            # Sparse, because guests have no name.
            {"fields": ["login_keys"], "unique": True, "sparse": True},
            # The id goes the same way as what it settles ties of, or the index doesn't have the list's order.
            ("-created_at", "-id"),
            ("role", "-created_at", "-id"),
            ("username", "id"),
            ("-last_seen_at", "-id"),
        ],
    }


class KeySecret(EmbeddedDocument):
    """The hash of one secret of a key, and when that secret ends if it is not the key's current one."""

    hash = StringField(required=True)
    until = DateTimeField()


class KeyDocument(_Stored):
    """An API key. `secrets` holds the current one and, for an overlap, the one before it."""

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    namespace = StringField(required=True)
    name = StringField()
    prefix = StringField(required=True)
    secrets = EmbeddedDocumentListField(KeySecret, required=True)
    scopes = ListField(StringField())
    wait_seconds = IntField()
    requests_per_minute = IntField()
    tokens_per_minute = LongField()
    max_open_jobs = IntField()
    assistant = StringField()
    callback_hosts = ListField(StringField())
    created_at = DateTimeField(required=True)
    expires_at = DateTimeField()
    previous_until = DateTimeField()
    last_used_at = DateTimeField()
    revoked_at = DateTimeField()

    meta = {
        "collection": "keys",
        "indexes": [
            {"fields": ["secrets.hash"], "unique": True},
            ("-created_at", "-id"),
            ("account_id", "-created_at", "-id"),
        ],
    }


class WalletDocument(_Stored):
    """`id` is the account's. `seq` counts its ledger entries; the last one has this number.

    `webhooks` says that the account has had a webhook endpoint.
    """

    id = StringField(primary_key=True)
    available = LongField(required=True)
    held = LongField(required=True)
    total_tokens = LongField(required=True)
    seq = LongField(required=True)
    webhooks = BooleanField()

    meta = {"collection": "wallets", "indexes": ["available"]}


class LedgerDocument(_Stored):
    """Append-only. `amount` = `available_delta` + `held_delta`; the deltas of an account sum up to its wallet."""

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


class Message(EmbeddedDocument):
    role = StringField(required=True)
    content = StringField(required=True)


class Weights(EmbeddedDocument):
    """Thousandths of a balance token per used token."""

    version = IntField(required=True)
    input_milli = IntField(required=True)
    cached_milli = IntField(required=True)
    output_milli = IntField(required=True)


class JobDocument(_Stored):
    """The job, which is also the outbox: what is `queued` here will be run, whatever the broker forgets."""

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    session_id = StringField(required=True)
    assistant = StringField(required=True)
    meter = StringField(required=True)
    channel = StringField(required=True)
    request_id = StringField(required=True)
    model = StringField(required=True)
    upstream_model = StringField(required=True)
    weights = EmbeddedDocumentField(Weights, required=True)
    temperature = FloatField()
    prompt = EmbeddedDocumentListField(Message, required=True)
    prompt_tokens = IntField(required=True)
    output_tokens = IntField(required=True)
    hold_tokens = LongField(required=True)
    context_version = IntField(required=True)
    replaces_context = BooleanField(required=True)
    metadata = DictField()
    callback_url = StringField()
    status = StringField(required=True)
    attempt = IntField(required=True)
    cancel_requested = BooleanField(required=True)
    announced_at = DateTimeField(required=True)
    worker_id = StringField()
    lease_until = DateTimeField()
    created_at = DateTimeField(required=True)
    started_at = DateTimeField()
    finished_at = DateTimeField()
    answer = StringField()
    usage = DictField()
    charged = LongField(required=True)
    balance_after = LongField()
    finish_reason = StringField()
    error_code = StringField()
    external_user_id = StringField()

    meta = {
        "collection": "jobs",
        "indexes": [
            ("account_id", "-created_at", "-id"),
            ("account_id", "status", "-created_at", "-id"),
            ("status", "-created_at", "-id"),
            ("-created_at", "-id"),
            {"fields": ["announced_at"], "partialFilterExpression": {"status": "queued"}},
            {"fields": ["lease_until"], "partialFilterExpression": {"status": "running"}},
        ],
    }


class SessionDocument(_Stored):
    """A dialog. `context` is bounded: the newest messages that the next question continues."""

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    title = StringField()
    channel = StringField(required=True)
    context = EmbeddedDocumentListField(Message)
    context_version = IntField(required=True)
    message_count = IntField(required=True)
    created_at = DateTimeField(required=True)
    updated_at = DateTimeField(required=True)

    meta = {"collection": "sessions", "indexes": [("account_id", "-updated_at", "-id")]}


class MessageDocument(_Stored):
    """One message of a dialog, for good. `turn` orders the two messages of one job."""

    id = StringField(primary_key=True)
    session_id = StringField(required=True)
    account_id = StringField(required=True)
    job_id = StringField(required=True)
    role = StringField(required=True)
    content = StringField(required=True)
    created_at = DateTimeField(required=True)
    turn = IntField(required=True)

    meta = {"collection": "messages", "indexes": [("session_id", "-created_at", "-turn")]}


class IdempotencyDocument(_Stored):
    """Written in the transaction of what it leads to; forgotten after 24 hours."""

    id = StringField(primary_key=True)
    fingerprint = StringField(required=True)
    result_id = StringField(required=True)
    created_at = DateTimeField(required=True)

    meta = {
        "collection": "idempotency",
        "indexes": [{"fields": ["created_at"], "expireAfterSeconds": 24 * 3600}],
    }


class UsageDocument(_Stored):
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


class AuditDocument(_Stored):
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


class LeaseDocument(_Stored):
    id = StringField(primary_key=True)
    holder = StringField(required=True)
    until = DateTimeField(required=True)

    meta = {"collection": "leases"}


class EndpointDocument(_Stored):
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


class DeliveryDocument(_Stored):
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


class DeliverySlotsDocument(_Stored):
    """Who is delivering to a destination now; `id` is the destination."""

    id = StringField(primary_key=True)
    holders = ListField(DictField())
    until = DateTimeField()

    meta = {
        "collection": "delivery_slots",
        "indexes": [{"fields": ["until"], "expireAfterSeconds": 3600}],
    }


class ModelDocument(_Stored):
    """A model alias; `upstream_id` empty means the installation's default model."""

    id = StringField(primary_key=True)
    upstream_id = StringField()
    weights = EmbeddedDocumentField(Weights, required=True)
    context_tokens = IntField(required=True)
    output_tokens = IntField(required=True)
    accepts_temperature = BooleanField(required=True)
    output_parameter = StringField(required=True)
    reasoning_effort = StringField()
    shutdown_on = StringField()
    successor = StringField()

    meta = {"collection": "models"}


class AssistantDocument(_Stored):
    id = StringField(primary_key=True)
    persona = StringField(required=True)
    locale = StringField(required=True)
    model = StringField(required=True)
    temperature = FloatField()
    output_tokens = IntField(required=True)
    history_messages = IntField(required=True)
    meter = StringField(required=True)

    meta = {"collection": "assistants"}


DOCUMENTS = (
    AccountDocument,
    KeyDocument,
    WalletDocument,
    LedgerDocument,
    JobDocument,
    SessionDocument,
    MessageDocument,
    IdempotencyDocument,
    UsageDocument,
    AuditDocument,
    LeaseDocument,
    EndpointDocument,
    DeliveryDocument,
    DeliverySlotsDocument,
    ModelDocument,
    AssistantDocument,
)


def create_indexes() -> None:
    """Create what is missing of every collection and index. Repeatable."""
    for document in DOCUMENTS:
        document.ensure_indexes()
