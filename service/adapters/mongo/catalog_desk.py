"""The catalog as admins keep it, and what the provider said of its models."""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.collection import Collection

from service.adapters.mongo.catalog import MongoCatalog, to_assistant, to_model
from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import AssistantDocument, ModelDocument, ProviderModelsDocument
from service.domain.catalog import DEFAULT_MODEL, AssistantEntry, ModelEntry
from service.domain.model_lives import ProviderModel, ProviderNews

LATEST = "latest"


class MongoCatalogDesk:
    """`catalog` is what this process remembers of it."""

    def __init__(self, catalog: MongoCatalog) -> None:
        self._catalog = catalog
        self._models = collection(ModelDocument)
        self._assistants = collection(AssistantDocument)

    @property
    def default_model(self) -> str:
        return self._catalog.default_model

    def models(self) -> dict[str, ModelEntry]:
        """See `ports.CatalogDesk.models`. What `default` describes is there only if nothing else does."""
        rows = {row["_id"]: row for row in self._models.find({})}
        described = rows.pop(DEFAULT_MODEL, None)
        if described is not None:
            rows.setdefault(self.default_model, described)
        return {alias: _model_entry(row, alias) for alias, row in sorted(rows.items())}

    def assistants(self) -> dict[str, AssistantEntry]:
        """See `ports.CatalogDesk.assistants`."""
        return {row["_id"]: _assistant_entry(row) for row in self._assistants.find({}).sort("_id", 1)}

    def change_model(self, entry: ModelEntry, changes: Mapping[str, Any]) -> ModelEntry | None:
        """See `ports.CatalogDesk.change_model`."""
        row = self._change(self._models, entry.id, entry.version, changes)
        return None if row is None else _model_entry(row, entry.model.alias)

    def change_assistant(self, entry: AssistantEntry, changes: Mapping[str, Any]) -> AssistantEntry | None:
        """See `ports.CatalogDesk.change_assistant`."""
        row = self._change(self._assistants, entry.assistant.id, entry.version, changes)
        return None if row is None else _assistant_entry(row)

    def _change(self, stored: Collection[Row], key: str, version: int, changes: Mapping[str, Any]) -> Row | None:
        values = {
            name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for name, value in changes.items()
        }
        changed: Row | None = stored.find_one_and_update(
            # One that was put there by hand has no version.
            {"_id": key, "version": version or None},
            {"$set": values, "$inc": {"version": 1}},
            return_document=ReturnDocument.AFTER,
        )
        self._catalog.memory.forget()
        return changed


class MongoProviderNews:
    """One document: what the provider said last."""

    def __init__(self) -> None:
        self._news = collection(ProviderModelsDocument)

    def latest(self) -> ProviderNews | None:
        row = self._news.find_one({"_id": LATEST})
        if row is None:
            return None
        models = (ProviderModel(**each) for each in row["models"])
        return ProviderNews(row["read_at"], {model.upstream_id: model for model in models})

    def keep(self, news: ProviderNews) -> None:
        row = {"read_at": news.read_at, "models": [asdict(model) for model in news.models.values()]}
        self._news.replace_one({"_id": LATEST}, row, upsert=True)


def _model_entry(row: Row, alias: str) -> ModelEntry:
    return ModelEntry(id=row["_id"], model=to_model(row, alias), version=row.get("version") or 0)


def _assistant_entry(row: Row) -> AssistantEntry:
    return AssistantEntry(assistant=to_assistant(row), version=row.get("version") or 0)
