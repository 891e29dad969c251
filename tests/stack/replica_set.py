"""Three real mongods as one replica set, in the place of the stack's one."""

import contextlib
import itertools
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError

from devstack.servers import LOOPBACK, REPLICA_SET, MongoServer
from tests.stack.stack import eventually

# The server's own are 10 s: then a dead primary is replaced after some 12 s instead of 3.
ELECTION_MILLISECONDS = 2000
HEARTBEAT_MILLISECONDS = 500
MEMBERS = 3


class Member(MongoServer):
    """One of several; it is ready when it answers, whoever is primary."""

    def is_ready(self) -> bool:
        with contextlib.suppress(PyMongoError), self.client() as client:
            return bool(client.admin.command("serverStatus")["pid"] == self.pid)
        return False

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(self.address, directConnection=True, serverSelectionTimeoutMS=1000, socketTimeoutMS=5000)

    def is_primary(self) -> bool:
        if not self.running:
            return False
        with contextlib.suppress(PyMongoError), self.client() as client:
            return bool(client.admin.command("hello")["isWritablePrimary"])
        return False

    def step_down(self) -> None:
        """Give the office away, as before maintenance."""
        with self.client() as client, contextlib.suppress(AutoReconnect, OperationFailure):
            client.admin.command("replSetStepDown", 20, secondaryCatchUpPeriodSecs=5)


class ReplicaSet:
    """Looks like a `MongoServer` to the stack."""

    def __init__(self, directory: Path, database: str = "talkmeter") -> None:
        self.members = [Member(directory / f"member{n}") for n in range(MEMBERS)]
        self._database = database

    @property
    def uri(self) -> str:
        hosts = ",".join(member.address for member in self.members)
        return f"mongodb://{hosts}/{self._database}?replicaSet={REPLICA_SET}"

    def primary(self, timeout_seconds: float = 40) -> Member:
        """Whoever is it now, or as soon as somebody is."""
        return eventually(
            lambda: next((member for member in self.members if member.is_primary()), None), timeout_seconds
        )

    def start(self) -> Self:
        """Start whoever is down."""
        for member in self.members:
            member.resume()
            member.start()
        return self

    def resume(self) -> None:
        for member in self.members:
            member.resume()

    def __enter__(self) -> Self:
        self.start()
        numbers = itertools.count()
        config = {
            "_id": REPLICA_SET,
            "members": [{"_id": next(numbers), "host": member.address} for member in self.members],
            "settings": {
                "electionTimeoutMillis": ELECTION_MILLISECONDS,
                "heartbeatIntervalMillis": HEARTBEAT_MILLISECONDS,
            },
        }
        with self.members[0].client() as client:
            client.admin.command("replSetInitiate", config)
        self.primary()
        return self

    def __exit__(self, *_exception: object) -> None:
        for member in self.members:
            member.kill()
