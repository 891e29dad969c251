"""CPU, memory and open files of the processes that count together on a host."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from service.adapters import processes
from service.adapters.processes import ProcessCollector

CHILD = "from service.adapters import processes; processes.register('worker'); print('here', flush=True); input()"
NAMES = ("service_process_cpu_seconds_total", "service_process_memory_bytes", "service_process_open_files")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    return tmp_path


def samples(*, alone: bool = False) -> dict[tuple[str, str, int], float]:
    registry = CollectorRegistry()
    registry.register(ProcessCollector(alone=alone))
    return {
        (sample.name, sample.labels["part"], int(sample.labels["pid"])): sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }


def test_each_process_of_the_host_is_told_of_until_it_dies(directory: Path):
    processes.register("web")
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        found = samples()
        assert {(part, pid) for _, part, pid in found} == {("web", os.getpid()), ("worker", child.pid)}
        assert all(found[name, "worker", child.pid] > 0 for name in NAMES)
        assert found["service_process_memory_bytes", "web", os.getpid()] > 1_000_000
        child.kill()
        child.wait()
    assert {part for _, part, _ in samples()} == {"web"}
    assert [note.name for note in directory.iterdir()] == [f"process-web-{os.getpid()}"], "its note is gone too"


def test_a_process_that_got_the_id_of_a_dead_one_is_not_taken_for_it(directory: Path):
    (directory / f"process-worker-{os.getpid()}").write_text("1")
    assert samples() == {}


def test_one_that_tells_of_itself_alone_is_not_told_of_by_others(directory: Path):
    processes.register("exporter", alone=True)
    assert {part for _, part, _ in samples(alone=True)} == {"exporter"}
    assert samples() == {}


COUNT_SOCKETS = """
import os
from service.adapters.metrics import Metrics
Metrics().sockets_open(3)
Metrics().deleted("session")
print(os.getpid(), flush=True)
input()
"""
START = "import runpy; runpy.run_path('gunicorn.conf.py')['on_starting'](None)"


def test_a_master_that_starts_forgets_what_dead_processes_had_open(directory: Path):
    command = [sys.executable, "-c", COUNT_SOCKETS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as alive:
        assert alive.stdout is not None
        assert alive.stdout.readline() == f"{alive.pid}\n"
        dead = int(subprocess.run(command, input="\n", capture_output=True, text=True, check=True).stdout)
        assert (directory / f"gauge_livesum_{dead}.db").exists()
        subprocess.run([sys.executable, "-c", START], check=True)
        left = {path.name for path in directory.iterdir()}
        alive.communicate("\n")
    assert {name for name in left if name.startswith("gauge_live")} == {f"gauge_livesum_{alive.pid}.db"}
    assert f"counter_{dead}.db" in left, "what was counted stays counted"
