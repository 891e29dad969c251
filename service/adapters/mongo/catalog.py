"""Models and assistants, kept in the database and remembered for a few seconds in each process."""

import json
import time
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any, TypeVar, cast

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import AssistantDocument, ModelDocument
from service.domain.billing import PriceWeights
from service.domain.catalog import DEFAULT_MODEL, Assistant, ChatModel
from service.domain.model_lives import MAX_SUCCESSIONS

T = TypeVar("T")
# How long an admin's change may take to reach every process.
REMEMBER_SECONDS = 5.0


class Memory:
    """What one process read lately. What was not there is not remembered."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, str], tuple[float, Any]] = {}

    def recall(self, key: tuple[str, str], load: Callable[[], T | None]) -> T | None:
        read_at, value = cast(tuple[float, T | None], self._read.get(key, (0.0, None)))
        if value is None or time.monotonic() - read_at > REMEMBER_SECONDS:
            value = load()
            if value is not None:
                self._read[key] = (time.monotonic(), value)
        return value

    def forget(self) -> None:
        """Read everything anew when it is asked for."""
        self._read.clear()


class MongoCatalog:
    """`default_model` is the alias that the alias `default` stands for, or an id to be sent as it is."""

    def __init__(self, default_model: str) -> None:
        self.default_model = default_model
        self.memory = Memory()

    def assistant(self, assistant_id: str) -> Assistant | None:
        return self.memory.recall(("assistant", assistant_id), lambda: _assistant(assistant_id))

    def assistants(self) -> list[Assistant]:
        """See `ports.Catalog.assistants`."""
        return self.memory.recall(("assistants", ""), _assistants) or []

    def model(self, alias: str) -> ChatModel | None:
        """The model of an alias; `default` is what the installation chose, known to the table or not."""
        return self.memory.recall(("model", alias), lambda: self._model(alias))

    def models(self) -> list[ChatModel]:
        """See `ports.Catalog.models`."""
        aliases = {row["_id"] for row in collection(ModelDocument).find({}, {"_id": 1})} | {self.default_model}
        found = ((alias, self.model(alias)) for alias in sorted(aliases))
        return [replace(model, alias=alias) for alias, model in found if model is not None]

    def _model(self, alias: str) -> ChatModel | None:
        chosen = self.default_model
        if alias not in (DEFAULT_MODEL, chosen):
            return _living_model(alias)
        # Jobs name the chosen model by its own alias, so a worker asks for that one.
        return _living_model(chosen) or _model(DEFAULT_MODEL, chosen)


def seed() -> None:
    """Add the models and assistants that the service comes with, and fields of theirs, where they are missing.

    What is there is never changed: it may be an admin's.
    """
    data = json.loads(resources.files("service.data").joinpath("catalog.json").read_text(encoding="utf-8"))
    for document, rows in ((ModelDocument, data["models"]), (AssistantDocument, data["assistants"])):
        stored = collection(document)
        for row in rows:
            ours = {"$literal": {**_without_id(row), "version": 1}}
            stored.update_one({"_id": row["id"]}, [{"$replaceWith": {"$mergeObjects": [ours, "$$ROOT"]}}], upsert=True)


def _living_model(alias: str) -> ChatModel | None:
    """The alias with what is sent for it today: after its shutdown day that is its successor."""
    today = datetime.now(UTC).date().isoformat()
    model = _model(alias, alias)
    for _ in range(MAX_SUCCESSIONS):
        if model is None or model.successor is None or model.shutdown_on is None or model.shutdown_on > today:
            break
        model = _model(model.successor, alias)
    return model


def _model(document_id: str, alias: str) -> ChatModel | None:
    row = collection(ModelDocument).find_one({"_id": document_id})
    return None if row is None else to_model(row, alias)


def to_model(row: Row, alias: str) -> ChatModel:
    """A stored model by the alias that is asked for; where it names no id of the provider's, the alias is one."""
    values = {
        **_known(row, ChatModel),
        "weights": PriceWeights(**row["weights"]),
        "upstream_id": row["upstream_id"] or alias,
    }
    return ChatModel(alias=alias, **values)


def _assistant(assistant_id: str) -> Assistant | None:
    row = collection(AssistantDocument).find_one({"_id": assistant_id})
    return None if row is None else to_assistant(row)


def _assistants() -> list[Assistant]:
    return [to_assistant(row) for row in collection(AssistantDocument).find({}).sort("_id", 1)]


def to_assistant(row: Row) -> Assistant:
    return Assistant(id=row["_id"], **_known(row, Assistant))


def _known(row: Row, kind: type[ChatModel | Assistant]) -> Row:
    """What is said of it here; an older version of the service must be able to read what a newer one wrote."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in row.items() if name in names}


def _without_id(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "id"}
