"""Whether the provider is there: asked for its models at once, told with a reason, and without our key."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import structlog

from devstack.servers import free_port
from devstack.upstream_control import UpstreamControl
from service.adapters.openai import check as checking
from service.bootstrap import Container
from service.domain.errors import UpstreamFailed, UpstreamTimeout
from service.usecases.ports import Upstream
from tests.core.conftest import Build

MODELS = "/v1/models"
SECRET = "sk-a-secret-of-this-test"


def provider(container: Container) -> Upstream:
    return container.run._upstream


@pytest.fixture
def dripping() -> Iterator[str]:
    """The base URL of a server that sends a body byte by byte and never ends."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n"
                )
                while not ended.wait(0.05):
                    try:
                        connection.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        ended.set()
        thread.join()


@pytest.mark.parametrize(("model", "has_model"), [("gpt-4o-mini", True), ("gpt-0", False)])
def test_it_says_how_long_it_took_and_whether_the_model_is_there(
    container: Container, upstream: UpstreamControl, model: str, has_model: bool
) -> None:
    upstream.rule(path=MODELS, delay_seconds=0.2)
    found = provider(container).check(model)
    assert (found.has_model, found.models >= 3) == (has_model, True)
    assert 0.2 <= found.seconds < 3


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"status": 401}, "key_refused"),
        ({"status": 403}, "key_refused"),
        ({"status": 429}, "busy"),
        ({"status": 404}, "broken"),
        ({"status": 503}, "broken"),
        ({"status": 302, "raw_body": "", "headers": {"Location": "http://127.0.0.1:9/"}}, "broken"),
        ({"raw_body": "<html>"}, "broken"),
        ({"raw_body": "[]"}, "broken"),
        ({"raw_body": '{"data": [1]}'}, "broken"),
        ({"raw_body": "[" * 100_000}, "broken"),
        ({"reset": True}, "unreachable"),
    ],
)
def test_a_failure_has_a_reason_and_is_not_tried_again(
    container: Container, upstream: UpstreamControl, rule: dict, reason: str
) -> None:
    upstream.rule(path=MODELS, times=1, **rule)
    with pytest.raises(UpstreamFailed) as failed:
        provider(container).check("gpt-4o-mini")
    assert failed.value.reason == reason
    # The rule was for one call, and the provider is well again; nobody else took it for ill.
    assert provider(container).check("gpt-4o-mini").has_model
    assert container.health.check()["dependencies"]["upstream"]["status"] == "up"


def test_a_second_key_may_be_taken(build: Build, upstream: UpstreamControl) -> None:
    container = build(openai_api_key=f"{SECRET},another")
    upstream.rule(path=MODELS, times=1, status=401)
    assert provider(container).check("gpt-4o-mini").has_model


def test_nobody_there_is_unreachable_and_the_key_is_not_told(build: Build) -> None:
    container = build(openai_base_url=f"http://127.0.0.1:{free_port()}/v1", openai_api_key=SECRET)
    with structlog.testing.capture_logs() as logs, pytest.raises(UpstreamFailed) as failed:
        provider(container).check("gpt-4o-mini")
    assert failed.value.reason == "unreachable"
    assert logs
    assert SECRET not in f"{failed.value!r} {failed.value.__cause__!r} {logs}"


def test_silence_ends_with_a_time_out(
    container: Container, upstream: UpstreamControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "READ_TIMEOUT_SECONDS", 0.2)
    upstream.rule(path=MODELS, delay_seconds=30)
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        provider(container).check("gpt-4o-mini")
    assert time.monotonic() - started < 3


def test_a_body_that_never_ends_does(build: Build, dripping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "DEADLINE_SECONDS", 0.4)
    started = time.monotonic()
    with pytest.raises(UpstreamTimeout):
        provider(build(openai_base_url=dripping)).check("gpt-4o-mini")
    assert time.monotonic() - started < 3


def test_a_list_beyond_all_measure_is_none(
    container: Container, upstream: UpstreamControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "MAX_BYTES", 10)
    with pytest.raises(UpstreamFailed) as failed:
        provider(container).check("gpt-4o-mini")
    assert failed.value.reason == "broken"
