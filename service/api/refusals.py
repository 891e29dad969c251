"""What gunicorn refuses before the application sees it: said in our one error shape instead of its HTML.

Such are request lines and headers that are too long or broken, and bad chunks. Named by `worker_class` in
`gunicorn.conf.py`.
"""

import json
import socket
from typing import Any
from uuid import uuid4

from gunicorn.workers.ggevent import GeventWorker

from service.domain.texts import DEFAULT_LOCALE, text

CODE = "MALFORMED_REQUEST"


class Worker(GeventWorker):
    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        super().handle_error(req, _Translated(client), addr, exc)


class _Translated:
    """A connection on which gunicorn's page goes out as our JSON, with the same status."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, page: bytes) -> None:
        status_line, _, _ = page.partition(b"\r\n")
        self._client.sendall(refusal(status_line))


def refusal(status_line: bytes) -> bytes:
    """A whole response of this status. The client's language is not known yet."""
    code = "INTERNAL_ERROR" if status_line.split()[1] == b"500" else CODE
    request_id = uuid4().hex
    error = {
        "error": text(DEFAULT_LOCALE, f"{code}.error"),
        "code": code,
        "message": text(DEFAULT_LOCALE, f"{code}.message"),
        "requestId": request_id,
    }
    body = json.dumps(error, ensure_ascii=False).encode()
    headers = (
        b"Connection: close",
        b"Content-Type: application/json; charset=utf-8",
        b"Content-Length: %d" % len(body),
        b"X-Request-Id: %s" % request_id.encode(),
        b"X-Content-Type-Options: nosniff",
    )
    return b"\r\n".join((status_line, *headers, b"", body))
