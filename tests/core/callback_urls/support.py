"""Servers that remember who talked to them, and what tests of callbacks' addresses say often."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.adapters.webhook_http import WebhookHttp
from service.domain.callback_urls import CallbackPolicy
from service.usecases.ports import SendFailed, WebhookRequest

LENIENT = CallbackPolicy(allow_http=True)


class Canary(ThreadingHTTPServer):
    """A server that remembers who talked to it, if only by connecting."""

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), Recorder)
        self.connections = 0
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        self.reply: tuple[int, dict[str, str]] = (204, {})

    @property
    def port(self) -> int:
        return self.server_port

    def verify_request(self, *_: object) -> bool:
        self.connections += 1
        return True


class Recorder(BaseHTTPRequestHandler):
    server: Canary

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard.append((self.command, self.path, dict(self.headers), body))
        status, headers = self.server.reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def request(url: str) -> WebhookRequest:
    return WebhookRequest("POST", url, {"Content-Type": "application/json"}, b"{}")


def sender(policy: CallbackPolicy = LENIENT, **options: object) -> WebhookHttp:
    return WebhookHttp(policy, timeout_seconds=3, **options)  # type: ignore[arg-type]


def refusal(client: WebhookHttp, url: str) -> str:
    with pytest.raises(SendFailed) as failed:
        client.send(request(url))
    return failed.value.reason
