"""What `make run` is going to start: the parts, their commands, and the environment they share.

Decides and generates; starts nothing. `devstack.run` carries it out.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from devstack.environment import ConfigurationError, Keepsakes, new_password, new_secret, port_of, value_of
from devstack.servers import (
    free_port,
    is_free,
    mongo_uri,
    mongod_command,
    redis_command,
    redis_uri,
    upstream_command,
)

DATABASE = "talkmeter"
STACK_MARKER = "TALKMETER_STACK"
# Far enough that a second stack on the next round port does not meet it.
FLOWER_DISTANCE = 555
FLOWER_TRIES = 50
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, never bound

# Longer than what each part takes to finish what it is doing (gunicorn: graceful_timeout).
SERVICE_STOP_SECONDS = 40
STORE_STOP_SECONDS = 20
# Between two words that the stand-in streams: slow enough to see an answer being written, and to stop it.
STAND_IN_CHUNK_SECONDS = 0.2


@dataclass(frozen=True)
class Part:
    """One supervised program. Parts of a group are started and stopped together."""

    name: str
    group: str
    command: list[str]
    stop_seconds: int


@dataclass(frozen=True)
class AdminLogin:
    """How the person who ran `make run` signs in."""

    username: str
    password: str
    is_generated: bool
    is_new: bool


@dataclass(frozen=True)
class Plan:
    """Everything that is decided before anything starts."""

    data_dir: Path
    host: str
    port: int
    flower_port: int
    exporter_port: int
    mongo_port: int | None  # None: the user has a MongoDB
    redis_port: int | None
    upstream_port: int | None  # None: the user has a key
    environment: dict[str, str]
    secrets_dir: Path
    admin: AdminLogin
    flower_login: tuple[str, str]
    notices: tuple[str, ...]

    @property
    def run_dir(self) -> Path:
        return self.data_dir / "run"

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"

    def log_of(self, part: str) -> Path:
        return self.logs_dir / f"{part}.log"

    def url(self, port: int, path: str = "/") -> str:
        """An address for people: `localhost` where the service listens on it."""
        host = "localhost" if self.host in ("127.0.0.1", *WILDCARDS) else self.host
        return f"http://{_bracketed(host)}:{port}{path}"

    def probe_url(self, port: int, path: str) -> str:
        """The same for us, without asking a resolver."""
        host = "127.0.0.1" if self.host in WILDCARDS else self.host
        return f"http://{_bracketed(host)}:{port}{path}"

    def parts(self) -> list[Part]:
        """In the order in which their groups are started."""
        return [*self._stores(), *self._stand_in(), *self._service()]

    def _stores(self) -> list[Part]:
        stores = []
        if self.mongo_port is not None:
            stores.append(("mongod", mongod_command(self.data_dir / "mongod", self.mongo_port)))
        if self.redis_port is not None:
            stores.append(("redis", redis_command(self.data_dir / "redis", self.redis_port)))
        return [Part(name, "stores", command, STORE_STOP_SECONDS) for name, command in stores]

    def _stand_in(self) -> list[Part]:
        if self.upstream_port is None:
            return []
        journal = self.run_dir / "upstream-journal.jsonl"
        command = upstream_command(self.upstream_port, journal, STAND_IN_CHUNK_SECONDS)
        return [Part("upstream", "standin", command, STORE_STOP_SECONDS)]

    def _service(self) -> list[Part]:
        python = [sys.executable, "-m"]
        celery = [*python, "celery", "-q", "-A", "workers.app"]
        worker = [*python, "workers"]
        concurrency = self.environment.get("WORKER_CONCURRENCY", "200")
        commands = {
            "web": [*python, "gunicorn", "-c", "gunicorn.conf.py", "wsgi:application"],
            "worker-chat": [*worker, "-c", concurrency, "-Q", "chat", "-n", "chat@%h"],
            "worker-upkeep": [*worker, "-c", "500", "-Q", "webhooks,upkeep", "-n", "upkeep@%h"],
            "scheduler": [*celery, "beat", "--schedule", str(self.run_dir / "beat-schedule"), "--pidfile="],
            "flower": [*celery, "flower", "--logging=none", f"--address={self.host}", f"--port={self.flower_port}"],
            "exporter": [*python, "service.exporter"],
        }
        return [Part(name, "service", command, SERVICE_STOP_SECONDS) for name, command in commands.items()]


def data_dir_of(environment: dict[str, str]) -> Path:
    return Path(environment.get("DATA_DIR", ".data")).expanduser().resolve()


def make_plan(environment: dict[str, str]) -> Plan:
    """Decide ports and addresses and make missing secrets. Raises `ConfigurationError`."""
    data_dir = data_dir_of(environment)
    host = environment.get("HOST", "127.0.0.1")
    port = port_of(environment, "PORT", 8000)
    _require_free("PORT", host, port)
    keepsakes = Keepsakes(data_dir / "secrets")
    admin = _admin(environment, keepsakes)
    flower_password, _ = keepsakes.get("flower_password", new_password)
    has_key = bool(value_of(environment, "OPENAI_API_KEY"))
    plan = Plan(
        data_dir=data_dir,
        host=host,
        port=port,
        flower_port=_flower_port(environment, host, port),
        exporter_port=_exporter_port(environment, host),
        mongo_port=None if value_of(environment, "MONGODB_URI") else free_port(),
        redis_port=None if value_of(environment, "REDIS_URL") else free_port(),
        upstream_port=None if has_key else free_port(),
        environment=dict(environment),
        secrets_dir=keepsakes.directory,
        admin=admin,
        flower_login=(admin.username, flower_password),
        notices=_notices(environment, has_key),
    )
    jwt_secret = value_of(environment, "JWT_SECRET_KEY") or keepsakes.get("jwt_secret_key", new_secret)[0]
    plan.environment.update(_shared_environment(plan, jwt_secret))
    return plan


def _shared_environment(plan: Plan, jwt_secret: str) -> dict[str, str]:
    """What the parts get on top of what the user has set."""
    shared = {
        STACK_MARKER: str(plan.data_dir),
        "APP_ENV": plan.environment.get("APP_ENV", "development"),
        "HOST": plan.host,
        "PORT": str(plan.port),
        "DATA_DIR": str(plan.data_dir),
        "JWT_SECRET_KEY": jwt_secret,
        "ADMIN_USERNAME": plan.admin.username,
        "FLOWER_BASIC_AUTH": ":".join(plan.flower_login),
        "EXPORTER_PORT": str(plan.exporter_port),
        "METRICS_HOST": plan.host,
        "FLOWER_URL": plan.environment.get("FLOWER_URL") or plan.url(plan.flower_port),
        "PROMETHEUS_MULTIPROC_DIR": str(plan.run_dir / "prometheus"),
        "PYTHONUNBUFFERED": "1",
    }
    if plan.mongo_port is not None:
        shared["MONGODB_URI"] = mongo_uri(plan.mongo_port, DATABASE)
    if plan.redis_port is not None:
        shared["REDIS_URL"] = redis_uri(plan.redis_port)
    if plan.upstream_port is not None:
        shared["OPENAI_BASE_URL"] = f"http://127.0.0.1:{plan.upstream_port}/v1"
        shared["OPENAI_API_KEY"] = "stand-in"
        shared["OPENAI_STANDIN"] = "true"
    return shared


def _admin(environment: dict[str, str], keepsakes: Keepsakes) -> AdminLogin:
    username = environment.get("ADMIN_USERNAME", "admin")
    given = value_of(environment, "ADMIN_PASSWORD")
    if given:
        return AdminLogin(username, given, is_generated=False, is_new=False)
    password, is_new = keepsakes.get("admin_password", new_password)
    return AdminLogin(username, password, is_generated=True, is_new=is_new)


def _flower_port(environment: dict[str, str], host: str, port: int) -> int:
    if "FLOWER_PORT" in environment:
        chosen = port_of(environment, "FLOWER_PORT", port)
        _require_free("FLOWER_PORT", host, chosen)
        return chosen
    first = port + FLOWER_DISTANCE if port + FLOWER_DISTANCE + FLOWER_TRIES < 65_536 else port - FLOWER_DISTANCE
    for candidate in range(first, first + FLOWER_TRIES):
        if is_free(host, candidate):
            return candidate
    return free_port(host)


def _exporter_port(environment: dict[str, str], host: str) -> int:
    if "EXPORTER_PORT" not in environment:
        return free_port(host)
    chosen = port_of(environment, "EXPORTER_PORT", 0)
    _require_free("EXPORTER_PORT", host, chosen)
    return chosen


def _require_free(name: str, host: str, port: int) -> None:
    if not is_free(host, port):
        raise ConfigurationError(
            f"Port {port} on {host} is taken by another program. "
            f"Stop it, or choose another port: {name}={port + 1} make run"
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _notices(environment: dict[str, str], has_key: bool) -> tuple[str, ...]:
    if has_key or "OPENAI_BASE_URL" not in environment:
        return ()
    return ("OPENAI_BASE_URL is not used, because OPENAI_API_KEY is empty.",)
