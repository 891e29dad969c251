"""What people set for their tutors, by account."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from pymongo import ReturnDocument

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import TutorConfigDocument
from service.domain.tutor import TutorConfig

_FIELDS = tuple(field.name for field in fields(TutorConfig))


class MongoTutorConfigs:
    def __init__(self) -> None:
        self._configs = collection(TutorConfigDocument)

    def get(self, account_id: str) -> TutorConfig:
        """See `ports.TutorConfigs.get`."""
        return _to_config(self._configs.find_one({"_id": account_id}) or {})

    def change(self, account_id: str, changes: Mapping[str, Any]) -> TutorConfig:
        """See `ports.TutorConfigs.change`."""
        row = self._configs.find_one_and_update(
            {"_id": account_id}, {"$set": dict(changes)}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return _to_config(cast(Row, row))


def _to_config(row: Row) -> TutorConfig:
    return TutorConfig(**{name: row.get(name) for name in _FIELDS})
