"""A worker in a container of its own tells Prometheus what it did."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from devstack.parts import Worker
from devstack.servers import free_port
from tests.stack.stack import StackUnderTest


@pytest.fixture
def lonely_port(stack: StackUnderTest, tmp_path: Path) -> Iterator[int]:
    """Where the one worker that runs tells its metrics."""
    for worker in stack.workers:
        worker.kill()
    port = free_port()
    settings = {**stack.environment, "host": "127.0.0.1", "worker_metrics_port": str(port)}
    with Worker(tmp_path, settings, "lonely"):
        yield port
    for worker in stack.workers:
        worker.start()


@pytest.mark.parametrize("together", [False, True], ids=["alone", "with a directory"])
def test_a_worker_tells_the_tokens_that_it_counted(
    stack: StackUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest,
    together: bool,
) -> None:  # fmt: skip
    if together:
        directory = tmp_path / "prometheus"
        directory.mkdir()
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(directory))
    port = request.getfixturevalue("lonely_port")
    person = stack.register()
    stack.upstream.rule(contains="count me", usage={"prompt_tokens": 20, "completion_tokens": 18, "total_tokens": 38})
    assert person.final(person.submit("count me"))["tokensUsed"] == 38
    reply = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert reply.status_code == 200
    counted = {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in reply.text.splitlines() if line[0] != "#"
    }
    assert sum(value for name, value in counted.items() if name.startswith("llm_tokens_total{")) == 38
    assert any(name.startswith("chat_jobs_total{") and 'outcome="succeeded"' in name for name in counted)
