"""supervisord as a child of `make run`: it restarts a part that dies.

Its configuration is generated, it is controlled over a Unix socket, and it dies with us.
"""

import contextlib
import hashlib
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from pathlib import Path
from typing import Any, Protocol, cast

from supervisor.xmlrpc import SupervisorTransport

from devstack.environment import REPOSITORY
from devstack.plan import Part, Plan
from devstack.servers import tethered

# The path of a Unix socket has 108 characters at most, and supervisord appends some to it.
MAX_SOCKET_PATH = 90
WANTED_OPEN_FILES = 65_536
START_TIMEOUT_SECONDS = 20.0
EXIT_TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.05


class SupervisionError(Exception):
    """supervisord does not start or does not answer."""


# What a call to supervisord may fail with.
RPC_FAILURES = (OSError, xmlrpc.client.Error, SupervisionError)


class _Rpc(Protocol):
    """The methods of supervisord that we call."""

    def getState(self) -> dict[str, Any]: ...  # noqa: N802
    def getAllProcessInfo(self) -> list[dict[str, Any]]: ...  # noqa: N802
    def startProcessGroup(self, name: str, wait: bool) -> Any: ...  # noqa: N802
    def stopProcessGroup(self, name: str, wait: bool) -> Any: ...  # noqa: N802
    def shutdown(self) -> bool: ...


class Supervisor:
    """Starts, watches and stops the parts of a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._socket = _socket_path(plan.run_dir)
        self._config = plan.run_dir / "supervisord.conf"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start supervisord itself; the parts stay down until their group is started."""
        self._socket.unlink(missing_ok=True)
        self._config.write_text(render(self._plan, self._socket), encoding="utf-8")
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._config)]
        with self._plan.log_of("supervisord").open("ab") as log:
            self._process = subprocess.Popen(
                tethered(command),
                cwd=REPOSITORY,
                env=self._plan.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal must not reach it: we stop the parts, in their order.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                raise SupervisionError(f"supervisord does not start; see {self._plan.log_of('supervisord')}")
            time.sleep(POLL_SECONDS)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start_group(self, group: str) -> None:
        if group in self._groups():
            self._rpc().startProcessGroup(group, False)

    def stop_group(self, group: str) -> None:
        """Ask all parts of a group to end and wait until they have, or were killed."""
        if group in self._groups():
            self._rpc().stopProcessGroup(group, True)

    def states(self) -> dict[str, dict[str, Any]]:
        """supervisord's information on every part, by name."""
        return {str(info["name"]): info for info in self._rpc().getAllProcessInfo()}

    def stop(self) -> None:
        """End supervisord, and with it whatever still runs."""
        if self._process is None:
            return
        with contextlib.suppress(OSError, xmlrpc.client.Error):
            self._rpc().shutdown()
        try:
            self._process.wait(EXIT_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._socket.unlink(missing_ok=True)

    def _groups(self) -> set[str]:
        return {part.group for part in self._plan.parts()}

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, xmlrpc.client.Error):
            return bool(self._rpc().getState()["statename"] == "RUNNING")
        return False

    def _rpc(self) -> _Rpc:
        transport = SupervisorTransport("", "", f"unix://{self._socket}")
        proxy = xmlrpc.client.ServerProxy("http://supervisord", transport=transport)
        return cast("_Rpc", proxy.supervisor)


def render(plan: Plan, socket: Path) -> str:
    """supervisord's configuration. Secrets are not in it: the parts inherit its environment."""
    parts = plan.parts()
    sections = [_daemon_section(plan), _control_sections(socket)]
    sections += [_part_section(part, plan.log_of(part.name)) for part in parts]
    for group in dict.fromkeys(part.group for part in parts):
        names = ",".join(part.name for part in parts if part.group == group)
        sections.append(f"[group:{group}]\nprograms={names}\n")
    return "\n".join(sections)


def _daemon_section(plan: Plan) -> str:
    settings = {
        "nodaemon": "true",
        # What it says goes to its standard output, which `start` sends to its log.
        "logfile": "/dev/null",
        "logfile_maxbytes": "0",
        "pidfile": _escaped(plan.run_dir / "supervisord.pid"),
        "minfds": str(_open_files()),
    }
    if os.getuid() == 0:
        settings["user"] = "root"  # said explicitly, it is no reason for a warning
    return _section("supervisord", settings)


def _control_sections(socket: Path) -> str:
    interface = "supervisor.rpcinterface:make_main_rpcinterface"
    return _section("unix_http_server", {"file": _escaped(socket), "chmod": "0700"}) + _section(
        "rpcinterface:supervisor", {"supervisor.rpcinterface_factory": interface}
    )


def _part_section(part: Part, log: Path) -> str:
    return _section(
        f"program:{part.name}",
        {
            "command": _escaped(shlex.join(tethered(part.command))),
            "directory": _escaped(REPOSITORY),
            "autostart": "false",
            "autorestart": "true",
            "startsecs": "1",
            # A part that cannot start for now (its store is down) is tried again for long.
            "startretries": "100",
            "stopwaitsecs": str(part.stop_seconds),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": _escaped(log),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "1",
        },
    )


def _section(name: str, settings: dict[str, str]) -> str:
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in settings.items())


def _escaped(value: object) -> str:
    # supervisord expands %(name)s.
    return str(value).replace("%", "%%")


def _open_files() -> int:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, WANTED_OPEN_FILES)


def _socket_path(run_dir: Path) -> Path:
    path = run_dir / "supervisor.sock"
    if len(str(path)) <= MAX_SOCKET_PATH:
        return path
    short = hashlib.sha256(str(run_dir).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"talkmeter-{os.getuid()}-{short}.sock"
