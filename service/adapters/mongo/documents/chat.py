"""Jobs, and what is on offer."""

from mongoengine import (
    BooleanField,
    DateTimeField,
    DictField,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    IntField,
    ListField,
    LongField,
    StringField,
)
from mongoengine.fields import FloatField

from service.adapters.mongo.documents.stored import Stored


class Message(EmbeddedDocument):
    role = StringField(required=True)
    content = StringField(required=True)


class Weights(EmbeddedDocument):
    """Thousandths of a balance token per used token."""

    version = IntField(required=True)
    input_milli = IntField(required=True)
    cached_milli = IntField(required=True)
    output_milli = IntField(required=True)


class JobDocument(Stored):
    """The job, which is also the outbox: what is `queued` here will be run, whatever the broker forgets."""

    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    session_id = StringField()
    chat_id = StringField()
    exclusive = BooleanField()
    fork = DictField()
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
    hold = LongField(required=True)
    context_version = IntField(required=True)
    replaces_context = BooleanField(required=True)
    stream = BooleanField()
    options = StringField()
    shown = StringField()
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
    error_reason = StringField()
    external_user_id = StringField()
    actor_id = StringField()
    handed_back = IntField()
    end_user_id = StringField()
    program_id = StringField()
    locale = StringField()
    wallet_id = StringField(required=True)
    period_starts_at = DateTimeField()
    output_format = StringField()
    applies = DictField()
    unasked = BooleanField()
    erased_at = DateTimeField()

    meta = {
        "collection": "jobs",
        "indexes": [
            ("account_id", "-created_at", "-id"),
            ("account_id", "status", "-created_at", "-id"),
            ("status", "-created_at", "-id"),
            ("-created_at", "-id"),
            {
                "fields": ["end_user_id", "-created_at", "-id"],
                "partialFilterExpression": {"end_user_id": {"$gt": ""}},
            },
            {
                "fields": ["end_user_id", "status", "-created_at", "-id"],
                "partialFilterExpression": {"end_user_id": {"$gt": ""}},
            },
            # What is still to be erased of a session, or of an account with all its sessions.
            ("account_id", "erased_at", "session_id", "finished_at"),
            # Counted by code without reading any. The status is last, or a list of failed jobs would come this way.
            {
                "fields": ["finished_at", "error_code", "status"],
                "partialFilterExpression": {"status": "failed"},
            },
            {"fields": ["announced_at"], "partialFilterExpression": {"status": "queued"}},
            {"fields": ["lease_until"], "partialFilterExpression": {"status": "running"}},
        ],
    }


class ModelDocument(Stored):
    """A model alias; `upstream_id` empty means the installation's default model. `version` counts admins' changes, and
    `successions` those of anybody's successor, so that two of them at once meet."""

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
    version = IntField()
    successions = IntField()

    meta = {"collection": "models"}


class AssistantDocument(Stored):
    id = StringField(primary_key=True)
    persona = StringField(required=True)
    locale = StringField(required=True)
    model = StringField(required=True)
    temperature = FloatField()
    output_tokens = IntField(required=True)
    history_messages = IntField(required=True)
    meter = StringField(required=True)
    response_format = StringField()
    listed = BooleanField()
    version = IntField()

    meta = {"collection": "assistants"}


class ProviderModelsDocument(Stored):
    """What the provider said last of the models that aliases stand for: whether it lists them, and when they end."""

    id = StringField(primary_key=True)
    read_at = DateTimeField(required=True)
    models = ListField(DictField())

    meta = {"collection": "provider_models"}
