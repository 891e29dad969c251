"""The services of docker-compose.yml as containers of an image, with Docker or Podman: each as the file says it is run.

MongoDB, Redis and the model stand-in are processes of this machine, so the containers share its network, and the ports
that the file names are exchanged for free ones.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import yaml

from devstack.parts import REPOSITORY
from devstack.servers import free_port

COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
PORTS = {"8000", "9107", "9108", "5555"}
SECONDS = 90


def engine() -> list[str] | None:
    """`ENGINE` with its options, or whichever of the two is here."""
    named = shlex.split(os.environ.get("ENGINE", ""))
    if named:
        return named
    return next(([name] for name in ("docker", "podman") if shutil.which(name)), None)


class Container:
    """One service of the compose file, from the image that is to be tried."""

    def __init__(self, engine: list[str], image: str, service: str, secrets: Path, settings: dict[str, str]) -> None:
        self._engine, self._image, self._secrets = engine, image, secrets
        self.service: dict[str, Any] = COMPOSE["services"][service]
        self.name = f"image-check-{service}-{uuid4().hex[:8]}"
        self._ports = {port: str(free_port()) for port in PORTS}
        self._environment = {"EXPORTER_PORT": "9108", **self.service["environment"], **settings}

    def port(self, of: str) -> int:
        """Where what listens on this port in the compose file listens here."""
        return int(self._ports[of])

    def arguments(self) -> list[str]:
        """`run`'s: the same limits and command as in the compose file."""
        service = self.service
        assert service["read_only"]
        result = [f"--name={self.name}", "--network=host", "--read-only"]
        podman = Path(self._engine[0]).name == "podman"
        if podman:
            result.append("--read-only-tmpfs=false")
        result += [f"--cap-drop={name}" for name in service["cap_drop"]]
        result += [f"--security-opt={option.replace(':true', '')}" for option in service["security_opt"]]
        # Podman knows no owner of a tmpfs.
        paths = [path.replace("uid=10001,mode=0700", "mode=1777") if podman else path for path in service["tmpfs"]]
        result += [f"--tmpfs={path}" for path in paths]
        result += ["--init"] if service["init"] else []
        for name in service["secrets"]:
            result.append(f"--volume={self._secrets / name}:/run/secrets/{name}:ro")
        for name, value in self._environment.items():
            default = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value))
            result.append(f"--env={name}={self._here(default)}")
        limit = service.get("ulimits", {}).get("nofile", 1024)
        return [*result, f"--ulimit=nofile={limit}:{limit}", self._image, *self._words(service.get("command", []))]

    def start(self) -> Self:
        self._run("run", "--detach", *self.arguments())
        return self

    def run_to_its_end(self) -> str:
        """What it wrote; fails unless it ends well."""
        return self._run("run", "--rm", *self.arguments())

    def healthy(self) -> bool:
        """What the compose file's health check says; fails when the container has ended."""
        kind, *words = self.service["healthcheck"]["test"]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        assert self.state()["Running"], self.log()
        return self._try("exec", self.name, *self._words(command)).returncode == 0

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self._try("exec", self.name, *command)

    def stop(self) -> int:
        """Ask it to end, wait as long as compose does, and say its exit code; 137 is one that had to be killed."""
        seconds = str(self.service["stop_grace_period"]).removesuffix("s")
        self._run("stop", "--time", seconds, self.name)
        return int(self.state()["ExitCode"])

    def remove(self) -> None:
        self._try("rm", "--force", self.name)

    def log(self) -> str:
        done = self._try("logs", self.name)
        return done.stdout + done.stderr

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self._run("inspect", "--type=container", self.name))[0]["State"])

    def _words(self, command: list[str]) -> list[str]:
        return [
            self._here(str(word)).replace("$$", "$").replace("${WORKER_CONCURRENCY:-200}", "20") for word in command
        ]

    def _here(self, text: str) -> str:
        return re.sub(r"\b(8000|9107|9108|5555)\b", lambda found: self._ports[found[0]], text)

    def _run(self, *arguments: str) -> str:
        done = self._try(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _try(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*self._engine, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
