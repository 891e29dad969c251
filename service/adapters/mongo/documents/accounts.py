"""Accounts, their API keys, and the codes by which an end user of a key is linked to an account."""

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
    linked_account_id = StringField()
    link_id = StringField()
    linked_at = DateTimeField()
    stayed = IntField()

    meta = {
        "collection": "accounts",
        "indexes": [
            # Sparse, because guests have no name.
            {"fields": ["login_keys"], "unique": True, "sparse": True},
            # The id goes the same way as what it settles ties of, or the index doesn't have the list's order.
            ("-created_at", "-id"),
            ("role", "-created_at", "-id"),
            ("blocked", "-created_at", "-id"),
            ("plan", "-created_at", "-id"),
            ("username", "id"),
            ("-last_seen_at", "-id"),
            {"fields": ["link_id"], "unique": True, "partialFilterExpression": {"link_id": {"$gt": ""}}},
            # Guests alone have an end.
            {"fields": ["expires_at"], "partialFilterExpression": {"role": "guest"}},
            {"fields": ["key_id"], "partialFilterExpression": {"key_id": {"$gt": ""}}},
            {"fields": ["linked_account_id"], "partialFilterExpression": {"linked_account_id": {"$gt": ""}}},
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
    part_characters = IntField()
    text_format = StringField()
    locale = StringField()
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


class LinkCodeDocument(Stored):
    """The one code of an account (`id`), as a keyed hash; forgotten when it has expired."""

    id = StringField(primary_key=True)
    code_hash = StringField(required=True)
    expires_at = DateTimeField(required=True)
    used_by = StringField()

    meta = {
        "collection": "link_codes",
        "indexes": [
            {"fields": ["code_hash"], "unique": True},
            {"fields": ["expires_at"], "expireAfterSeconds": 0},
        ],
    }
