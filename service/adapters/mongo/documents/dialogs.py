"""Sessions, chats, their branches and messages (see `service/domain/dialogs.py`)."""

from mongoengine import (
    DateTimeField,
    EmbeddedDocument,
    EmbeddedDocumentListField,
    IntField,
    LongField,
    StringField,
)

from service.adapters.mongo.documents.chat import Message
from service.adapters.mongo.documents.stored import Stored


class Segment(EmbeddedDocument):
    branch = StringField(required=True)
    until = LongField(required=True)


class SessionDocument(Stored):
    id = StringField(primary_key=True)
    account_id = StringField(required=True)
    end_user_id = StringField()
    external_user_id = StringField()
    title = StringField()
    channel = StringField(required=True)
    status = StringField(required=True)
    track_id = StringField()
    last_chat_id = StringField()
    last_message = StringField()
    message_count = LongField(required=True)
    created_at = DateTimeField(required=True)
    updated_at = DateTimeField(required=True)

    meta = {
        "collection": "sessions",
        "indexes": [
            # With the count, so that an account's messages are counted in the index.
            ("account_id", "-updated_at", "-id", "message_count"),
            ("account_id", "status", "-updated_at", "-id"),
            {
                "fields": ["end_user_id", "account_id", "-updated_at", "-id", "message_count"],
                "partialFilterExpression": {"end_user_id": {"$gt": ""}},
            },
            {
                "fields": ["track_id", "-updated_at", "-id"],
                "partialFilterExpression": {"track_id": {"$gt": ""}},
            },
        ],
    }


class ChatDocument(Stored):
    """`context` is bounded: the newest messages that the next question continues."""

    id = StringField(primary_key=True)
    session_id = StringField(required=True)
    account_id = StringField(required=True)
    end_user_id = StringField()
    title = StringField()
    kind = StringField(required=True)
    module_id = StringField()
    status = StringField(required=True)
    context = EmbeddedDocumentListField(Message)
    context_version = IntField(required=True)
    branch = StringField(required=True)
    path = EmbeddedDocumentListField(Segment)
    length = LongField(required=True)
    leaf_id = StringField()
    message_count = LongField(required=True)
    open_job_id = StringField()
    created_at = DateTimeField(required=True)
    updated_at = DateTimeField(required=True)

    meta = {"collection": "chats", "indexes": [("session_id", "created_at", "id")]}


class BranchDocument(Stored):
    """A branch that an edit or a repeated question began; `id` is the job's. What every chat begins with has none."""

    id = StringField(primary_key=True)
    chat_id = StringField(required=True)
    session_id = StringField(required=True)
    path = EmbeddedDocumentListField(Segment)

    meta = {"collection": "branches", "indexes": ["session_id"]}


class MessageDocument(Stored):
    """`language` is whose rules the text index follows for it."""

    id = StringField(primary_key=True)
    chat_id = StringField(required=True)
    session_id = StringField(required=True)
    account_id = StringField(required=True)
    job_id = StringField(required=True)
    role = StringField(required=True)
    content = StringField(required=True)
    language = StringField(required=True)
    created_at = DateTimeField(required=True)
    branch = StringField(required=True)
    position = LongField(required=True)
    parent_id = StringField()

    meta = {
        "collection": "messages",
        "indexes": [
            {"fields": ["chat_id", "branch", "-position"], "unique": True},
            ("chat_id", "parent_id"),
            ("session_id", "-created_at", "-position"),
            {"fields": ["account_id", "$content"], "default_language": "none"},
        ],
    }
