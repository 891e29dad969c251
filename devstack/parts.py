"""The product's own processes as a deployment runs them, to be started and killed by tests and bench."""

import os
import signal
import sys
from pathlib import Path

import requests

from devstack.servers import LOOPBACK, ServerProcess

REPOSITORY = Path(__file__).resolve().parents[1]


class _Part(ServerProcess):
    """`environment` is added to our own."""

    def __init__(self, directory: Path, environment: dict[str, str], name: str | None = None) -> None:
        super().__init__(directory)
        self.name = name or self.name
        self.log_path = directory / f"{self.name}.log"
        self._environment = environment

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def command(self) -> list[str]:
        variables = [f"{name.upper()}={value}" for name, value in self._environment.items()]
        return ["env", "-C", str(REPOSITORY), *variables, sys.executable, "-m", *self.arguments()]

    def kill(self) -> None:
        """As a power cut would, with every process that it started itself."""
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
        super().kill()

    def log(self) -> str:
        """Everything that it has written."""
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""


class Web(_Part):
    """One gunicorn with one worker process."""

    name = "web"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def arguments(self) -> list[str]:
        return ["gunicorn", "-c", "gunicorn.conf.py", "-b", f"{LOOPBACK}:{self.port}", "-w", "1", "wsgi:application"]

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/health/live", timeout=2).status_code == 200
        except requests.RequestException:
            return False


class Worker(_Part):
    """One Celery worker for all queues."""

    name = "worker"

    def arguments(self) -> list[str]:
        return ["workers", "-c", "100", "-Q", "chat,webhooks,upkeep", "-n", f"{self.name}-{self.port}@test"]

    def start(self, timeout_seconds: float = 30.0) -> "Worker":
        self._seen = len(self.log())
        super().start(timeout_seconds)
        return self

    def is_ready(self) -> bool:
        return " ready." in self.log()[self._seen :]


class Scheduler(_Part):
    """Celery's beat, which asks for upkeep."""

    name = "scheduler"

    def arguments(self) -> list[str]:
        schedule = self.directory / "beat-schedule"
        return ["celery", "-q", "-A", "workers.app", "beat", "--schedule", str(schedule), "--pidfile="]

    def is_ready(self) -> bool:
        return self.running


class Flower(_Part):
    """Flower below a path of its own, as behind the proxy."""

    name = "flower"

    def arguments(self) -> list[str]:
        listening = ["--logging=none", f"--port={self.port}", f"--address={LOOPBACK}", "--url_prefix=flower"]
        return ["celery", "-q", "-A", "workers.app", "flower", *listening]

    def is_ready(self) -> bool:
        try:
            return requests.get(f"http://{LOOPBACK}:{self.port}/flower/healthcheck", timeout=2).status_code == 200
        except requests.RequestException:
            return False


class Exporter(_Part):
    """The process that asks the database for what Prometheus wants to know."""

    name = "exporter"

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def command(self) -> list[str]:
        return ["env", f"EXPORTER_PORT={self.port}", *super().command()]

    def arguments(self) -> list[str]:
        return ["service.exporter"]

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/metrics", timeout=5).status_code == 200
        except requests.RequestException:
            return False
