"""Idempotency keys: read here, written by `money` in the transaction of what they lead to."""

import hashlib

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import IdempotencyDocument
from service.usecases.ports import IdempotencyKey, IdempotencyRecord


def key_id(key: IdempotencyKey) -> str:
    """The document's id: one per account and key."""
    return hashlib.sha256(f"{key.account_id}\n{key.key}".encode()).hexdigest()


def to_record(row: Row) -> IdempotencyRecord:
    return IdempotencyRecord(fingerprint=row["fingerprint"], result_id=row["result_id"])


class MongoIdempotency:
    def find(self, key: IdempotencyKey) -> IdempotencyRecord | None:
        row = collection(IdempotencyDocument).find_one({"_id": key_id(key)})
        return None if row is None else to_record(row)
