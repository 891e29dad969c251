"""Clients that stop in the middle: each holds its greenlet for a while, and not for good."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.parts import Web
from tests.stack.stack import StackUnderTest, eventually

SECONDS = 3


class ImpatientWeb(Web):
    def arguments(self) -> list[str]:
        *most, application = super().arguments()
        return [*most, "--timeout", str(SECONDS), application]


@pytest.fixture(scope="module")
def web(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    directory: Path = tmp_path_factory.mktemp("impatient-web")
    with ImpatientWeb(directory, stack.environment, "impatient-web") as started:
        yield started


def connect(web: Web, request: bytes) -> socket.socket:
    """A client with a small window that has sent this and reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.settimeout(20)
    client.connect(("127.0.0.1", web.port))
    client.sendall(request)
    return client


def test_who_does_not_send_the_rest_is_refused(web: Web) -> None:
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    with connect(web, head + b"Connection: close\r\n\r\n{") as client:
        reply = b"".join(iter(lambda: client.recv(4096), b""))
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"INTERNAL_ERROR" not in reply
    assert "broke" not in web.log()


def test_who_does_not_read_the_answer_is_given_up(web: Web) -> None:
    with connect(web, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100):
        eventually(lambda: web.log().count("/openapi.json") > 2)
        began = time.monotonic()
        web.stop(40)
        assert time.monotonic() - began < SECONDS * 3, "it waits for those who still read, and this one doesn't"
    assert "Socket error" not in web.log()
    assert "broke" not in web.log()
