"""A whole stack of real processes, for tests and for the bench: each part may be killed and started again."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.database import Database

from devstack.parts import REPOSITORY, Scheduler, Web, Worker
from devstack.quick_settings import quick_settings
from devstack.servers import MongoServer, RedisServer, UpstreamServer
from devstack.upstream_control import UpstreamControl


class Stack:
    """MongoDB, Redis, stand-in, one web process, workers and scheduler. `settings` are variables in lower case."""

    def __init__(self, directory: Path, *, workers: int = 1, **settings: str) -> None:
        self.mongo = MongoServer(directory / "mongo")
        self.redis = RedisServer(directory / "redis")
        self.upstream_server = UpstreamServer(directory / "upstream")
        self.environment = {**quick_settings(self.mongo, self.redis, self.upstream_server), **settings}
        self.web = Web(directory / "web", self.environment)
        self.workers = [Worker(directory / f"worker{n}", self.environment, f"worker{n}") for n in range(workers)]
        self.scheduler = Scheduler(directory / "scheduler", self.environment)
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        for server in (self.mongo, self.redis, self.upstream_server):
            self._exit.enter_context(server)
        self._prepare()
        for part in (self.web, *self.workers, self.scheduler):
            self._exit.callback(part.kill)
            part.start()
        self._client: MongoClient[dict[str, Any]] = MongoClient(self.mongo.uri, tz_aware=True)
        self._exit.callback(self._client.close)
        return self

    def __exit__(self, *exception: object) -> None:
        self._exit.close()

    def _prepare(self) -> None:
        variables = {**os.environ, **{name.upper(): value for name, value in self.environment.items()}}
        command = [sys.executable, "-m", "service.cli", "prepare"]
        subprocess.run(command, cwd=REPOSITORY, env=variables, check=True, stdout=subprocess.DEVNULL)

    @property
    def upstream(self) -> UpstreamControl:
        return self.upstream_server.control

    @property
    def db(self) -> Database[dict[str, Any]]:
        return self._client.get_default_database()
