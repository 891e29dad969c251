"""Every command that the service sends to MongoDB: heard as it is sent, and explained by the server afterwards.

`tests/core/conftest.py` starts the recorder before the first connection, so that it hears whatever the tests of a run
make the service ask.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import monitoring
from pymongo.database import Database

# Read anew every few seconds, whatever is asked.
CATALOG = frozenset({"find models", "find assistants"})
ADAPTERS = str(Path("service", "adapters"))
# What a command reads or changes by; the rest is data.
CRITERIA = ("filter", "query", "q", "pipeline", "sort", "key")
EXPLAINABLE = frozenset({"find", "aggregate", "count", "distinct", "findAndModify", "update", "delete"})
# Belongs to the connection or the transaction, and not to what is asked.
FRAMING = frozenset({"lsid", "txnNumber", "$clusterTime", "startTransaction", "autocommit", "readConcern"})
FRAMING |= {"writeConcern", "$db", "$readPreference", "maxTimeMS", "ordered", "apiVersion"}

# The bounds of a range of times are the beginning and the end of all times.
ANY_TIME = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)


@dataclass(frozen=True)
class Query:
    """One shape of command, with the values of the first one of this shape. `method` is what the service was doing."""

    method: str
    name: str
    collection: str
    command: dict[str, Any]

    def __str__(self) -> str:
        criteria = {name: self.command[name] for name in CRITERIA if name in self.command}
        if "updates" in self.command:
            criteria = {"q": self.command["updates"][0]["q"]}
        return f"{self.method}: {self.name} {self.collection} {criteria}"


class Recorder(monitoring.CommandListener):
    """Keeps the distinct queries of the service's adapters, and counts the commands of a thread when asked to."""

    def __init__(self) -> None:
        self.queries: dict[str, Query] = {}
        self.methods: set[str] = set()
        # Commands that were meant to be part of a transaction, and had effect outside it.
        self.escaped: set[str] = set()
        self._counts = threading.local()

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        counting: list[str] | None = getattr(self._counts, "sent", None)
        if counting is not None and described(event) not in CATALOG:
            counting.append(described(event))
        methods = list(adapter_methods(sys._getframe()))
        self.methods.update(methods)
        if "Transactions.run" in methods and event.command.get("autocommit") is not False:
            self.escaped.add(f"{methods[0]}: {described(event)}")
        if methods and event.command_name in EXPLAINABLE:
            for command in one_by_one(event.command):
                query = Query(methods[0], event.command_name, str(command[event.command_name]), command)
                self.queries.setdefault(shape_of(query), query)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass

    @contextmanager
    def sent(self) -> Iterator[list[str]]:
        """The commands that this thread sends meanwhile, in order, but for reads of the catalog."""
        self._counts.sent = []
        try:
            yield self._counts.sent
        finally:
            self._counts.sent = None


RECORDER = Recorder()


def described(event: monitoring.CommandStartedEvent) -> str:
    target = event.command[event.command_name]
    return f"{event.command_name} {target}" if isinstance(target, str) else event.command_name


def adapter_methods(frame: FrameType | None) -> Iterator[str]:
    """The adapters' functions on the stack, innermost first, as `MongoJobs.page`."""
    while frame is not None:
        if ADAPTERS in frame.f_code.co_filename:
            yield frame.f_code.co_qualname.split(".<locals>")[0]
        frame = frame.f_back


def one_by_one(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The command without its framing; an update or delete of several statements as several."""
    plain = {name: value for name, value in command.items() if name not in FRAMING}
    for statements in ("updates", "deletes"):
        if statements in plain:
            yield from ({**plain, statements: [statement]} for statement in plain[statements])
            return
    yield plain


def shape_of(query: Query) -> str:
    asked = {name: query.command.get(name) for name in (*CRITERIA, "updates", "deletes") if name in query.command}
    return json.dumps([query.method, query.name, query.collection, _shape(asked)], default=str)


def _shape(value: Any, name: str = "") -> Any:
    """The value without its values: names, operators and directions stay."""
    if isinstance(value, dict):
        return {key: _shape(inner, key) for key, inner in value.items() if key != "u"}
    if isinstance(value, list):
        return sorted({json.dumps(_shape(inner), default=str) for inner in value})
    if name.startswith("$") or value in (1, -1):
        return str(value) if isinstance(value, int) else type(value).__name__
    return type(value).__name__


def explain(db: Database, query: Query) -> dict[str, Any]:
    """How the server would find the documents."""
    command = dict(query.command)
    if query.name == "aggregate":
        command.setdefault("cursor", {})
    found: dict[str, Any] = db.command({"explain": command, "verbosity": "queryPlanner"}, codec_options=ANY_TIME)
    return found


def complaints(db: Database, query: Query) -> set[str]:
    """What is wrong with the way in which the server answers this query: `COLLSCAN`, `SORT`, or nothing."""
    return {stage for stage in _stages(explain(db, query)) if stage in ("COLLSCAN", "SORT")}


def _stages(plan: Any) -> Iterator[str]:
    """Names of all stages of a plan. What an aggregation sorts after grouping counts as little: it's the groups."""
    if isinstance(plan, list):
        grouped = False
        for part in plan:
            grouped = grouped or (isinstance(part, dict) and ("$group" in part or "GROUP" in set(_stages(part))))
            if isinstance(part, dict) and "$sort" in part and not grouped:
                yield "SORT"
            yield from _stages(part)
    elif isinstance(plan, dict):
        if isinstance(plan.get("stage"), str):
            yield plan["stage"]
        for name, part in plan.items():
            if name not in ("rejectedPlans", "command", "slotBasedPlan", "serverParameters"):
                yield from _stages(part)
