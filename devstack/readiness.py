"""Wait until something is true of the stack, or say early and clearly why it will not be."""

import contextlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pymongo
import redis
import requests
from pymongo.errors import PyMongoError

from devstack.environment import REPOSITORY, ConfigurationError, value_of
from devstack.plan import Plan
from devstack.supervision import Supervisor

READY_TIMEOUT_SECONDS = 120.0
REACH_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.1
STARTS_BEFORE_GIVING_UP = 4
LOG_LINES_SHOWN = 25
WORKER_NAMES = ("chat@", "upkeep@")


class NotReadyError(Exception):
    """A part does not get ready; the text ends with the end of its log."""


class Watch:
    """Waits on conditions and watches meanwhile that no part keeps dying."""

    def __init__(self, plan: Plan, supervisor: Supervisor) -> None:
        self._plan = plan
        self._supervisor = supervisor
        self._starts: dict[str, set[int]] = {}

    def until(self, part: str, condition: Callable[[], bool]) -> None:
        """Return when the condition, which is about this part, is true. Raises `NotReadyError`."""
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not condition():
            self._look_for_dying_parts()
            if time.monotonic() > deadline:
                raise NotReadyError(self._complaint(part, f"is not ready after {READY_TIMEOUT_SECONDS:.0f} s"))
            time.sleep(POLL_SECONDS)

    def _look_for_dying_parts(self) -> None:
        if not self._supervisor.running:
            raise NotReadyError(self._complaint("supervisord", "ended"))
        for name, info in self._supervisor.states().items():
            starts = self._starts.setdefault(name, set())
            starts.add(int(info["start"]))
            if info["statename"] == "FATAL" or len(starts - {0}) > STARTS_BEFORE_GIVING_UP:
                raise NotReadyError(self._complaint(name, "does not start"))

    def _complaint(self, part: str, what: str) -> str:
        return f"{part} {what}. The end of its log:\n{tail(self._plan.log_of(part))}"


def require_reachable(plan: Plan, timeout_seconds: float = REACH_TIMEOUT_SECONDS) -> None:
    """Refuse to start on a MongoDB or Redis of the user's that does not answer."""
    if plan.mongo_port is None:
        _require_mongo(value_of(plan.environment, "MONGODB_URI"), timeout_seconds)
    if plan.redis_port is None:
        _require_redis(value_of(plan.environment, "REDIS_URL"), timeout_seconds)


def _require_redis(url: str, timeout_seconds: float) -> None:
    try:
        with redis.Redis.from_url(url, socket_timeout=timeout_seconds) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise ConfigurationError(f"REDIS_URL: Redis cannot be used: {error}") from error


def _require_mongo(uri: str, timeout_seconds: float) -> None:
    timeout_ms = int(timeout_seconds * 1000)
    try:
        with pymongo.MongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=timeout_ms) as client:
            client.admin.command("ping")
            hello = client.admin.command("hello")
    except PyMongoError as error:
        # Its beginning; the rest repeats the time-outs and the whole topology.
        reason = re.split(r",| \(", str(error))[0]
        raise ConfigurationError(f"MONGODB_URI: MongoDB cannot be used: {reason}") from error
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise ConfigurationError(
            "MONGODB_URI: this MongoDB is not a replica set, so it has no transactions. "
            "Start it with --replSet and run rs.initiate() once."
        )


def answers_ok(url: str) -> bool:
    with contextlib.suppress(requests.RequestException), requests.Session() as session:
        session.trust_env = False  # not through a proxy of the machine
        return session.get(url, timeout=REACH_TIMEOUT_SECONDS).status_code == HTTPStatus.OK
    return False


def answers_redis(url: str) -> bool:
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url) as client:
        return bool(client.ping())
    return False


def answers_mongo(port: int) -> bool:
    """Whether the embedded mongod answers, primary or not."""
    with (
        contextlib.suppress(PyMongoError),
        pymongo.MongoClient[dict[str, object]](
            "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=500
        ) as client,
    ):
        return bool(client.admin.command("ping"))
    return False


def workers_answer(environment: dict[str, str]) -> bool:
    """Whether both kinds of workers answer a ping over the broker."""
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "inspect", "ping", "-t", "1", "--json"]
    answer = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    try:
        names = list(json.loads(answer.stdout))
    except ValueError:
        return False
    return all(any(name.startswith(kind) for name in names) for kind in WORKER_NAMES)


def tail(log: Path, lines: int = LOG_LINES_SHOWN) -> str:
    with contextlib.suppress(FileNotFoundError):
        text = "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
        return f"{text}\n({log})"
    return f"({log} is empty)"
