"""`make run` itself: the whole stack starts, mends itself, survives `kill -9`, and stops when told."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from devstack import leftovers
from devstack.environment import REPOSITORY
from devstack.servers import free_port, tethered

READY = "Ctrl-C stops everything."
START_SECONDS = 120.0

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


class Run:
    """One `python -m devstack.run`, and what it printed."""

    def __init__(self, environment: dict[str, str], output: Path) -> None:
        self._environment = environment
        self._output = output

    def start(self) -> None:
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                tethered([sys.executable, "-m", "devstack.run"]),
                cwd=REPOSITORY,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start_and_wait(self) -> str:
        self.start()
        await_true(lambda: READY in self.printed() or self.process.poll() is not None, START_SECONDS)
        assert READY in self.printed(), self.printed()
        return self.printed()

    def refused(self) -> str:
        """What it says when it ends by itself with an error."""
        self.start()
        assert self.process.wait(START_SECONDS) == 1, self.printed()
        return self.printed()

    def printed(self) -> str:
        return self._output.read_text(errors="replace")


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    leftovers.end(tmp_path / "data")


@pytest.fixture
def environment(data_dir: Path) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "DATA_DIR": str(data_dir),
        "PORT": str(free_port()),
        "WEB_CONCURRENCY": "1",
    }


def test_make_run(environment: dict[str, str], data_dir: Path, tmp_path: Path):
    run = Run(environment, tmp_path / "first.log")
    printed = run.start_and_wait()
    base = f"http://127.0.0.1:{environment['PORT']}"
    assert requests.get(f"{base}/health", timeout=10).status_code == 200
    admin_password = (data_dir / "secrets" / "admin_password").read_text().strip()
    assert admin_password in printed
    assert_flower_wants_its_password(printed, (data_dir / "secrets" / "flower_password").read_text().strip())

    second = Run({**environment, "PORT": str(free_port())}, tmp_path / "second.log")
    assert f"pid {run.process.pid}" in second.refused()
    elsewhere = Run({**environment, "DATA_DIR": str(tmp_path / "other")}, tmp_path / "elsewhere.log")
    assert f"Port {environment['PORT']}" in elsewhere.refused()

    for words in ("gunicorn -c", "-Q chat", "mongod --dbpath"):
        assert_comes_back(data_dir, words)
    await_true(lambda: is_healthy(base), 60)

    run.process.kill()
    run.process.wait()
    await_true(lambda: not leftovers.find(data_dir), 15)

    printed = run.start_and_wait()
    assert admin_password not in printed
    assert is_healthy(base)
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(60) == 0, run.printed()
    assert leftovers.find(data_dir) == []


def assert_flower_wants_its_password(printed: str, password: str) -> None:
    found = re.search(r"Flower\s+http://localhost:(\d+)/", printed)
    assert found, printed
    url = f"http://127.0.0.1:{found[1]}/api/workers"
    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(url, auth=("admin", password), timeout=30).status_code == 200


def assert_comes_back(data_dir: Path, words: str) -> None:
    """Kill the one part whose command contains these words; another takes its place."""
    oldest = min(processes_with(data_dir, words), key=psutil.Process.create_time)
    oldest.kill()
    await_true(lambda: any(oldest.pid not in (p.pid, p.ppid()) for p in processes_with(data_dir, words)), 30)


def processes_with(data_dir: Path, words: str) -> list[psutil.Process]:
    return [process for process in leftovers.find(data_dir) if words in command_line(process)]


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def is_healthy(base: str) -> bool:
    try:
        return requests.get(f"{base}/health", timeout=10).status_code == 200
    except requests.RequestException:
        return False


def await_true(condition: Callable[[], bool], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s"
        time.sleep(0.05)
