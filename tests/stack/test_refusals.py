"""What the web server refuses before the application sees it, over a bare connection."""

import json
import socket
from http.client import HTTPResponse

import pytest

from devstack.servers import LOOPBACK
from tests.stack.stack import StackUnderTest

POST = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n", 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Content-Length: 1, 2\r\n\r\n{}", 400),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (POST + b"Transfer-Encoding: gnirts\r\n\r\n", 501),
    ],
)
def test_refusals_of_the_server_itself_have_our_shape(stack: StackUnderTest, request_bytes: bytes, status: int) -> None:
    with socket.create_connection((LOOPBACK, stack.web.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        reply = HTTPResponse(connection)
        reply.begin()
        body = json.loads(reply.read())

    assert reply.status == status
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    assert body.keys() >= {"error", "code", "message", "requestId"}
    assert body["requestId"] == reply.headers["X-Request-Id"]
    assert body["requestId"] in stack.web.log(), "who asks about it can be told"
