"""The catalog as admins keep it, and what the provider said of its models."""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from service.adapters.mongo.catalog import MongoCatalog, to_assistant, to_model
from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.documents import AssistantDocument, ModelDocument, ProviderModelsDocument
from service.domain.catalog import DEFAULT_MODEL, AssistantEntry, ModelEntry
from service.domain.model_lives import ProviderModel, ProviderNews
from service.usecases.ports import Fits

LATEST = "latest"


class MongoCatalogDesk:
    """`catalog` is what this process remembers of it."""

    def __init__(self, catalog: MongoCatalog, transactions: Transactions) -> None:
        self._catalog = catalog
        self._transactions = transactions
        self._models = collection(ModelDocument)
        self._assistants = collection(AssistantDocument)

    @property
    def default_model(self) -> str:
        return self._catalog.default_model

    def models(self) -> dict[str, ModelEntry]:
        """See `ports.CatalogDesk.models`. What `default` describes is there only if nothing else does."""
        return self._read(None)

    def _read(self, session: ClientSession | None) -> dict[str, ModelEntry]:
        rows = {row["_id"]: row for row in self._models.find({}, session=session)}
        described = rows.pop(DEFAULT_MODEL, None)
        if described is not None:
            rows.setdefault(self.default_model, described)
        return {alias: _model_entry(row, alias) for alias, row in sorted(rows.items())}

    def assistants(self) -> dict[str, AssistantEntry]:
        """See `ports.CatalogDesk.assistants`."""
        return {row["_id"]: _assistant_entry(row) for row in self._assistants.find({}).sort("_id", 1)}

    def change_model(self, entry: ModelEntry, changes: Mapping[str, Any], fits: Fits) -> ModelEntry | None:
        """See `ports.CatalogDesk.change_model`."""

        def change(session: ClientSession) -> Row | None:
            models = self._read(session)
            fits(models)
            # Whoever changes another succession now writes the same documents, and is repeated after this one.
            ids = [each.id for each in models.values()]
            self._models.update_many({"_id": {"$in": ids}}, {"$inc": {"successions": 1}}, session=session)
            return self._change(self._models, entry.id, entry.version, changes, session)

        if "successor" in changes:
            row = self._transactions.run(change)
        else:
            row = self._change(self._models, entry.id, entry.version, changes)
        self._catalog.memory.forget()
        return None if row is None else _model_entry(row, entry.model.alias)

    def change_assistant(self, entry: AssistantEntry, changes: Mapping[str, Any]) -> AssistantEntry | None:
        """See `ports.CatalogDesk.change_assistant`."""
        row = self._change(self._assistants, entry.assistant.id, entry.version, changes)
        self._catalog.memory.forget()
        return None if row is None else _assistant_entry(row)

    @staticmethod
    def _change(
        stored: Collection[Row],
        key: str,
        version: int,
        changes: Mapping[str, Any],
        session: ClientSession | None = None,
    ) -> Row | None:
        values = {
            name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for name, value in changes.items()
        }
        changed: Row | None = stored.find_one_and_update(
            # One that was put there by hand has no version.
            {"_id": key, "version": version or None},
            {"$set": values, "$inc": {"version": 1}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
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
