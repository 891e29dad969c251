"""What is still to be erased, and which session became the default one in the place of a deleted one."""

from mongoengine import DateTimeField, StringField

from service.adapters.mongo.documents.stored import Stored


class ErasureDocument(Stored):
    """A deleted session or account, which is also the outbox: while it is here, upkeep erases what is left of it.

    `next_at` is when it is looked at again; whoever claims it moves that on, as a lease.
    """

    id = StringField(primary_key=True)
    kind = StringField(required=True)
    subject_id = StringField(required=True)
    account_id = StringField(required=True)
    created_at = DateTimeField(required=True)
    next_at = DateTimeField(required=True)

    meta = {"collection": "erasures", "indexes": ["next_at", "account_id", "created_at"]}


class SuccessorDocument(Stored):
    """Ids of default dialogs are derived from their owner: once such a one (`id`) is deleted, another takes its place.

    The deleted one's id is never used again, so that nothing of the old dialog can get into the new one.
    """

    id = StringField(primary_key=True)
    session_id = StringField(required=True)
    account_id = StringField(required=True)

    meta = {"collection": "successors", "indexes": [{"fields": ["session_id"], "unique": True}, "account_id"]}
