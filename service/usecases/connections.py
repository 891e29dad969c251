"""How many connections somebody holds in this process, so that one account can't take all that there are.

Counted are WebSockets, event streams and requests that wait for an answer. Each process counts for itself.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog

from service.domain.accounts import Actor, Role
from service.domain.errors import RateLimited
from service.usecases import ports

log = structlog.get_logger(__name__)

RETRY_SECONDS = 5
Name = tuple[str, str]


class Place:
    """What one connection is counted under; as a context manager it gives that back at the end."""

    def __init__(self, connections: "Connections", names: Sequence[Name]) -> None:
        self._connections = connections
        self._names = names

    def move(self, names: Sequence[Name]) -> None:
        """Count it under these names instead. Raises RateLimited, and then it stays where it was."""
        added = [name for name in names if name not in self._names]
        self._connections.take(added)
        self._connections.give_back([name for name in self._names if name not in names])
        self._names = names

    def leave(self) -> None:
        """May be repeated."""
        names, self._names = self._names, ()
        self._connections.give_back(names)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()


class Connections:
    """`per_account` for people, of guests also per address, and `per_key` for programs; 0 is no limit."""

    def __init__(self, *, per_account: int, per_key: int, telemetry: ports.Telemetry) -> None:
        self._limits = {"account": per_account, "address": per_account, "key": per_key}
        self._telemetry = telemetry
        self._open: Counter[Name] = Counter()
        self._lock = threading.Lock()

    def enter(self, actor: Actor) -> Place:
        """One more connection of the actor's. Raises RateLimited."""
        place = self.nowhere()
        place.move(names_of(actor))
        return place

    def nowhere(self) -> Place:
        """Of a connection that is not counted yet."""
        return Place(self, ())

    def take(self, names: Sequence[Name]) -> None:
        """Count one under each of these. Raises RateLimited, and then under none."""
        with self._lock:
            full = next((name for name in names if 0 < self._limits[name[0]] <= self._open[name]), None)
            if full is None:
                self._open.update(names)
                return
        kind, limit = full[0], self._limits[full[0]]
        self._telemetry.connection_refused(kind)
        log.info("connection refused", by=kind, limit=limit)
        raise RateLimited(
            "connections",
            details={"connections": [f"too_many_connections:{limit}"]},
            retry_after_seconds=RETRY_SECONDS,
            params={"seconds": RETRY_SECONDS},
        )

    def give_back(self, names: Sequence[Name]) -> None:
        with self._lock:
            for name in names:
                self._open[name] -= 1
                if not self._open[name]:
                    del self._open[name]


def names_of_nobody(address: str) -> Sequence[Name]:
    """What a connection is counted under before somebody says who they are."""
    return [("address", address)]


def names_of(actor: Actor) -> Sequence[Name]:
    """What a connection of this actor's is counted under."""
    if actor.key is not None:
        return [("key", actor.key.id)]
    if actor.role is Role.GUEST:
        return [("account", actor.account_id), ("address", actor.address)]
    return [("account", actor.account_id)]
