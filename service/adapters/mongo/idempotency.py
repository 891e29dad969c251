"""Idempotency keys: read here, and written in the transaction of what they lead to."""

import hashlib
from datetime import UTC, datetime

from pymongo.client_session import ClientSession

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import IdempotencyDocument
from service.usecases.ports import AlreadyDone, IdempotencyKey, IdempotencyRecord


def key_id(key: IdempotencyKey) -> str:
    """The document's id: one per account and key."""
    return hashlib.sha256(f"{key.account_id}\n{key.key}".encode()).hexdigest()


def to_record(row: Row) -> IdempotencyRecord:
    return IdempotencyRecord(fingerprint=row["fingerprint"], result_id=row["result_id"])


def claim_key(session: ClientSession, key: IdempotencyKey, result_id: str) -> None:
    """Part of the transaction that does what the key asks for. Raises DuplicateKeyError if it was done before."""
    collection(IdempotencyDocument).insert_one(
        {
            "_id": key_id(key),
            "fingerprint": key.fingerprint,
            "result_id": result_id,
            "created_at": datetime.now(UTC),
        },
        session=session,
    )


def refuse_replay(key: IdempotencyKey | None) -> None:
    """Called when a transaction with this key came to nothing. Raises AlreadyDone if a twin of it was faster."""
    earlier = None if key is None else collection(IdempotencyDocument).find_one({"_id": key_id(key)})
    if earlier is not None:
        raise AlreadyDone(to_record(earlier)) from None


class MongoIdempotency:
    def find(self, key: IdempotencyKey) -> IdempotencyRecord | None:
        row = collection(IdempotencyDocument).find_one({"_id": key_id(key)})
        return None if row is None else to_record(row)
