"""A worker in a container of its own tells Prometheus what it did."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from devstack.parts import Worker
from devstack.servers import free_port
from tests.stack.stack import StackUnderTest


@pytest.fixture
def port(stack: StackUnderTest, tmp_path: Path) -> Iterator[int]:
    """Where the one worker that runs tells its metrics, which it keeps in a directory as in the image."""
    directory = tmp_path / "prometheus"
    directory.mkdir()
    free = free_port()
    settings = {**stack.environment, "metrics_port": str(free), "prometheus_multiproc_dir": str(directory)}
    for worker in stack.workers:
        worker.kill()
    with Worker(tmp_path, settings, "lonely"):
        yield free
    for worker in stack.workers:
        worker.start()


def test_a_worker_tells_the_tokens_that_it_counted(stack: StackUnderTest, port: int) -> None:
    person = stack.register()
    stack.upstream.rule(contains="count me", usage={"prompt_tokens": 20, "completion_tokens": 18, "total_tokens": 38})
    assert person.final(person.submit("count me"))["tokensUsed"] == 38
    reply = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert reply.status_code == 200
    counted = [line.rsplit(" ", 1) for line in reply.text.splitlines() if not line.startswith("#")]
    assert sum(float(value) for name, value in counted if name.startswith("llm_tokens_total{")) == 38
    assert any(name.startswith("chat_jobs_total{") and 'outcome="succeeded"' in name for name, _ in counted)
