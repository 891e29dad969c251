"""Clients that stop in the middle: each holds its greenlet for a while, and not for good."""

import contextlib
import http.client
import json
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


def test_who_sends_the_rest_byte_by_byte_is_refused_too(web: Web) -> None:
    """Each byte comes in time, and all of them never."""
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    began = time.monotonic()
    with connect(web, head) as client:
        client.settimeout(SECONDS / 10)
        reply = b""
        while not reply and time.monotonic() - began < SECONDS * 5:
            client.sendall(b" ")
            with contextlib.suppress(TimeoutError):
                reply = client.recv(4096)
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert SECONDS * 0.9 < time.monotonic() - began < SECONDS * 3


def test_a_slow_request_leaves_the_next_one_its_time(web: Web) -> None:
    """On one connection, for longer than a request may take."""
    client = http.client.HTTPConnection("127.0.0.1", web.port, timeout=20)
    began = time.monotonic()
    while time.monotonic() - began < SECONDS * 1.5:
        client.putrequest("POST", "/api/auth/login")
        client.putheader("Content-Type", "application/json")
        client.putheader("Content-Length", "2")
        client.endheaders(b"{")
        time.sleep(SECONDS / 4)
        client.send(b"}")
        reply = client.getresponse()
        assert (reply.status, json.loads(reply.read())["code"]) == (400, "VALIDATION_ERROR")
        assert not reply.will_close, "the connection goes on"
    client.close()


def test_who_does_not_read_the_answer_is_given_up(web: Web) -> None:
    with connect(web, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100):
        eventually(lambda: web.log().count("/openapi.json") > 2)
        began = time.monotonic()
        web.stop(40)
        assert time.monotonic() - began < 20, "it waits 30 s for those who still read, and this one doesn't"
    assert "Socket error" not in web.log()
    assert "broke" not in web.log()
