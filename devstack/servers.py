"""Real MongoDB, Redis and model stand-in as child processes, for the tests, `make run` and the bench.

Each server keeps its port for its whole life, so a client finds it again after `kill` and `start`.
Not for production: there is no authentication, and everything listens on 127.0.0.1 only.
"""

import contextlib
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import redis
import requests
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from devstack.binaries import find_mongod, find_redis_server
from devstack.upstream_control import UpstreamControl

LOOPBACK = "127.0.0.1"
READY_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.02
REPLICA_SET = "rs0"
NOT_YET_INITIATED = 94
PORTS = range(15_000, 32_000)

# The tether fires when the *thread* that started the child ends. One thread that lives as long as
# this process starts them all, so that a test may start a server from a thread of its own.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class ServerNotReadyError(Exception):
    """A server ended or stayed silent while we waited for it; the text ends with its log."""


def free_port(host: str = LOOPBACK) -> int:
    """A TCP port that nobody listens on at this moment.

    Taken from below the range the kernel gives to outgoing connections (32768 and up): a client
    that keeps trying a killed server's port in that range may connect to itself and occupy it.
    """
    for port in random.SystemRandom().sample(PORTS, k=100):
        if is_free(host, port):
            return port
    raise OSError(f"No free port between {PORTS[0]} and {PORTS[-1]} on {host}")


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As servers do: connections of the last run that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind((host, port))
            return True
    return False


def tethered(command: list[str]) -> list[str]:
    """The command, changed to die with the process that starts it (see `devstack.tethered`)."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("tethered.py")), *command]


def mongod_command(directory: Path, port: int) -> list[str]:
    """How the embedded mongod is started; it also needs `ensure_replica_set` once it answers."""
    parameters = {
        # An abandoned transaction must not block an account for the default minute.
        "transactionLifetimeLimitSeconds": "3",
        # There is no other member that could take over: do not wait 15 s for one when stopping.
        "shutdownTimeoutMillisForSignaledShutdown": "100",
        "diagnosticDataCollectionEnabled": "false",
    }
    command = [str(find_mongod()), "--dbpath", str(directory), "--bind_ip", LOOPBACK, "--port", str(port)]
    command += ["--replSet", REPLICA_SET, "--oplogSize", "128", "--wiredTigerCacheSizeGB", "0.5"]
    command += ["--nounixsocket", "--quiet"]
    for name, value in parameters.items():
        command += ["--setParameter", f"{name}={value}"]
    return command


def redis_command(directory: Path, port: int) -> list[str]:
    """How the embedded Redis is started: what it has acknowledged outlives a kill."""
    command = [str(find_redis_server()), "--port", str(port), "--bind", LOOPBACK, "--dir", str(directory)]
    return [*command, "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""]


def upstream_command(port: int, journal: Path, chunk_delay_seconds: float = 0.0) -> list[str]:
    """How the model stand-in is started."""
    command = [sys.executable, "-m", "devstack.upstream", "--host", LOOPBACK, "--port", str(port)]
    return [*command, "--journal", str(journal), "--chunk-delay", str(chunk_delay_seconds)]


def ensure_replica_set(port: int, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
    """Make the mongod on this port the primary of a one-node replica set, whatever it was before.

    Safe to repeat. A data directory that was initiated on another port is told its new address.
    """
    address = f"{LOOPBACK}:{port}"
    deadline = time.monotonic() + timeout_seconds
    with _direct_client(port) as client:
        _await(lambda: _answers(client), deadline, f"mongod on {address} does not answer")
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != NOT_YET_INITIATED:
                raise
            members = [{"_id": 0, "host": address}]
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        else:
            if [member["host"] for member in config["members"]] != [address]:
                config["members"] = [{**config["members"][0], "host": address}]
                config["version"] += 1
                client.admin.command("replSetReconfig", config, force=True)
        _await(lambda: _is_primary(client), deadline, f"mongod on {address} does not become primary")


def mongo_uri(port: int, database: str) -> str:
    return f"mongodb://{LOOPBACK}:{port}/{database}?replicaSet={REPLICA_SET}"


def redis_uri(port: int, database: int = 0) -> str:
    return f"redis://{LOOPBACK}:{port}/{database}"


class ServerProcess:
    """One server as a child process; subclasses say how it starts and when it is ready."""

    name = "server"

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.log_path = directory / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Whether this very process (not another on its port) does its work; called until it is true."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> Self:
        """Start and wait until ready; does nothing when it already runs."""
        if self.running:
            return self
        self.directory.mkdir(parents=True, exist_ok=True)
        command = tethered(self.command())
        with self.log_path.open("ab") as log:
            self._process = _SPAWNER.submit(_spawn, command, log.fileno()).result()
        deadline = time.monotonic() + timeout_seconds
        try:
            _await(self._ready_or_dead, deadline, f"{self.name} is not ready")
        except Exception as error:
            self.kill()
            raise ServerNotReadyError(f"{error}\n{self.log_tail()}") from error
        return self

    def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Ask it to end, and kill it when it has not within the time."""
        if self._process is None:
            return
        if self.running:
            self.resume()
            self._process.terminate()
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it as a power cut would, without a chance to tidy up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def pause(self) -> None:
        """Freeze it: connections stay open, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def restart(self) -> Self:
        """Stop and start again on the same port and data."""
        self.stop()
        return self.start()

    def log_tail(self, lines: int = 20) -> str:
        with contextlib.suppress(FileNotFoundError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _ready_or_dead(self) -> bool:
        if not self.running:
            raise ServerNotReadyError(f"{self.name} ended while it was starting")
        return self.is_ready()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()


class MongoServer(ServerProcess):
    """A one-node replica set, so that transactions and change streams work."""

    name = "mongod"

    def __init__(self, directory: Path, port: int | None = None, database: str = "talkmeter") -> None:
        super().__init__(directory, port)
        self.database = database

    @property
    def uri(self) -> str:
        return self.uri_of(self.database)

    def uri_of(self, database: str) -> str:
        """The address of another database on the same server."""
        return mongo_uri(self.port, database)

    def command(self) -> list[str]:
        return mongod_command(self.directory, self.port)

    def is_ready(self) -> bool:
        with contextlib.suppress(PyMongoError), _direct_client(self.port) as client:
            if client.admin.command("serverStatus")["pid"] == self.pid:
                ensure_replica_set(self.port)
                return True
        return False


class RedisServer(ServerProcess):
    """Redis with an append-only file."""

    name = "redis"

    def __init__(self, directory: Path, port: int | None = None, database: int = 0) -> None:
        super().__init__(directory, port)
        self.database = database

    @property
    def uri(self) -> str:
        return self.uri_of(self.database)

    def uri_of(self, database: int) -> str:
        """The address of another numbered database on the same server."""
        return redis_uri(self.port, database)

    def command(self) -> list[str]:
        return redis_command(self.directory, self.port)

    def is_ready(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.uri) as client:
            # INFO answers while the data are still being loaded, PING doesn't.
            return bool(client.ping() and client.info("server")["process_id"] == self.pid)
        return False


class UpstreamServer(ServerProcess):
    """The model stand-in; its journal file keeps what happened before a kill."""

    name = "upstream"

    @property
    def uri(self) -> str:
        """What OPENAI_BASE_URL is set to."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def control(self) -> UpstreamControl:
        return UpstreamControl(self.root)

    def command(self) -> list[str]:
        return upstream_command(self.port, self.directory / "journal.jsonl")

    def is_ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return self.control.process_id() == self.pid
        return False


def _spawn(command: list[str], log: int) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in the terminal reaches the parent only, which stops it in order.
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )


def _direct_client(port: int) -> MongoClient[dict[str, object]]:
    # directConnection: before the set is initiated there is no primary to be found.
    return MongoClient(LOOPBACK, port, directConnection=True, serverSelectionTimeoutMS=500, timeoutMS=10_000)


def _answers(client: MongoClient[dict[str, object]]) -> bool:
    with contextlib.suppress(PyMongoError):
        client.admin.command("ping")
        return True
    return False


def _is_primary(client: MongoClient[dict[str, object]]) -> bool:
    with contextlib.suppress(PyMongoError):
        return bool(client.admin.command("hello").get("isWritablePrimary"))
    return False


def _await(condition: Callable[[], bool], deadline: float, complaint: str) -> None:
    while not condition():
        if time.monotonic() > deadline:
            raise ServerNotReadyError(complaint)
        time.sleep(POLL_SECONDS)
