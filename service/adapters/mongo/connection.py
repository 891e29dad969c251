"""The one MongoDB connection of a process, and the one way to run a transaction.

MongoEngine has no sessions: a MongoEngine write inside a transaction would escape it. So documents only declare
fields and indexes; whatever moves money or state uses their PyMongo collections.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

import mongoengine
import pymongo
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import ExecutionTimeout, OperationFailure
from pymongo.read_concern import ReadConcern

from service.adapters.mongo.queues import Queues

T = TypeVar("T")
Row = dict[str, Any]
# The server ended a transaction that was open for longer than it allows: time that ran out, like all other.
_LIVED_TOO_LONG = 290


def connect(uri: str, *, timeout_seconds: float) -> MongoClient[Row]:
    """Connect MongoEngine's default alias lazily; every operation gives up after `timeout_seconds` in all.

    Call it once per process, after any fork.
    """
    client: MongoClient[Row] = mongoengine.connect(
        host=uri,
        tz_aware=True,
        uuidRepresentation="standard",
        timeoutMS=int(timeout_seconds * 1000),
        serverSelectionTimeoutMS=int(timeout_seconds * 1000),
        w="majority",
        journal=True,
        maxPoolSize=100,
        appname="talkmeter",
        connect=False,
    )
    return client


def collection(document: type[mongoengine.Document]) -> Collection[Row]:
    """The PyMongo collection that a document declares."""
    found: Collection[Row] = document._get_collection()
    return found


class Transactions:
    """Runs a callback in a transaction: majority, journaled, repeated when it lost a write conflict."""

    def __init__(
        self, client: MongoClient[Row], *, timeout_seconds: float, before_commit: Callable[[], None] = lambda: None
    ) -> None:
        self._client = client
        self._before_commit = before_commit
        self._timeout_seconds = timeout_seconds
        self._queues = Queues(timeout_seconds=timeout_seconds)

    def run(self, callback: Callable[[ClientSession], T], *, account_id: str | None = None) -> T:
        """The callback may run several times; it must do nothing but database work with the session it's given.

        Transactions of one account are run one after the other. Waiting, repeats and all, it gives up after
        `timeout_seconds`: the client's own limit is per operation only.
        """

        def complete(session: ClientSession) -> T:
            result = callback(session)
            self._before_commit()
            return result

        turn = nullcontext() if account_id is None else self._queues.turn(account_id)
        with pymongo.timeout(self._timeout_seconds), turn, self._client.start_session() as session:
            try:
                return session.with_transaction(
                    complete,
                    read_concern=ReadConcern("snapshot"),
                    write_concern=WriteConcern("majority", j=True),
                    read_preference=ReadPreference.PRIMARY,
                )
            except OperationFailure as failure:
                if failure.code == _LIVED_TOO_LONG:
                    raise ExecutionTimeout(str(failure), failure.code) from failure
                raise
