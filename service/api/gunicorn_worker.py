"""The web process as gunicorn runs it: its `worker_class`.

What gunicorn refuses before the application sees it (request lines and headers that are too long or broken, bad chunks)
is said in our one error shape instead of its HTML. And on SIGTERM whoever waits for a job is answered at once with how
it stands, followers are told to reconnect, WebSockets are closed with 1001, and idle connections are closed: the time
that a stop may take is for the requests that do something. After the last of them what was counted is written down.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any
from uuid import uuid4

import gevent
import structlog
from gunicorn.workers.ggevent import GeventWorker

from service.api import file_limit
from service.api.sockets.registry import sockets_of
from service.api.state import container_of
from service.domain.texts import DEFAULT_LOCALE, text

log = structlog.get_logger(__name__)

CODE = "MALFORMED_REQUEST"
# How long a process that ends waits for a request on a connection that it took in last.
LAST_SECONDS = 1.0


class Worker(GeventWorker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Connections without a request, and the time limit that each waits with.
        self._idle: dict[gevent.Greenlet, gevent.Timeout] = {}

    def load_wsgi(self) -> None:
        super().load_wsgi()
        # Not before: only now is there a log of ours.
        file_limit.allow(self.cfg.worker_connections)

    def run(self) -> None:
        super().run()
        # The last request is answered. What it and those before it count for must not wait for a later moment.
        if self.wsgi is not None:
            container_of(self.wsgi).traffic.flush()

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        # Not in the signal's handler, which may have interrupted whoever holds a lock.
        gevent.spawn(self._let_go)

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """gunicorn waits for a connection's next request inside this."""
        me = gevent.getcurrent()
        with gevent.Timeout(self.cfg.keepalive if self.alive else LAST_SECONDS, False) as limit:
            self._idle[me] = limit
            try:
                yield
            finally:
                del self._idle[me]

    def handle_request(self, listener_name: Any, req: Any, sock: socket.socket, addr: Any) -> None:
        """A client that hasn't sent all of its request after `timeout`, or reads nothing for so long, is given up."""
        sock.settimeout(self.cfg.timeout or None)
        if not isinstance(req.unreader.sock, _Patient):
            req.unreader.sock = _Patient(req.unreader.sock)
        req.unreader.sock.wait(self.cfg.timeout)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError as stalled:
            self.log.debug("A client reads nothing.")
            # What gunicorn itself ends a connection with.
            raise StopIteration from stalled
        finally:
            req.unreader.sock.wait(0)
            sock.settimeout(None)

    def _let_go(self) -> None:
        if self.wsgi is not None:
            container_of(self.wsgi).events.release()
            sockets_of(self.wsgi).leave()
        for greenlet, limit in list(self._idle.items()):
            greenlet.kill(limit, block=False)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:
        super().handle_error(req, _Translated(client), addr, exc)


class _Patient:
    """A connection whose client left when what it sends did not come in time: all of it, or it could send for ever."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._until: float | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def wait(self, seconds: float) -> None:
        """For what is read from now on, in all; 0 is for ever."""
        self._until = monotonic() + seconds if seconds else None

    def recv(self, size: int) -> bytes:
        if self._until is None:
            return self._client.recv(size)
        for_answers, left = self._client.gettimeout(), self._until - monotonic()
        if left <= 0:
            return b""
        self._client.settimeout(left)
        try:
            return self._client.recv(size)
        except TimeoutError:
            return b""
        finally:
            self._client.settimeout(for_answers)


class _Translated:
    """A connection on which gunicorn's page goes out as our JSON, with the same status."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def sendall(self, page: bytes) -> None:
        status_line, _, _ = page.partition(b"\r\n")
        request_id = uuid4().hex
        # What the client is told to ask about must be found.
        status = int(status_line.split()[1])
        log.info("request refused unread", request_id=request_id, **{"http.response.status_code": status})
        self._client.sendall(refusal(status_line, request_id))


def refusal(status_line: bytes, request_id: str) -> bytes:
    """A whole response of this status. The client's language is not known yet."""
    code = "INTERNAL_ERROR" if status_line.split()[1] == b"500" else CODE
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
