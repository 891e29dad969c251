"""Accounts and their API keys."""

from mongoengine import (
    BooleanField,
    DateTimeField,
    EmbeddedDocument,
    EmbeddedDocumentListField,
    IntField,
    ListField,
    LongField,
    StringField,
)

from service.adapters.mongo.documents.stored import Stored


class Login(EmbeddedDocument):
    """A login session: `refresh_id` is the id of its one valid refresh token."""

    id = StringField(required=True)
    refresh_id = StringField(required=True)
    expires_at = DateTimeField(required=True)


class AccountDocument(Stored):
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


class KeyDocument(Stored):
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
