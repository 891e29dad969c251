"""A WebSocket without a greenlet of its own: whoever waits for a frame reads the connection meanwhile.

So a client that sends faster than it is answered is held back by TCP and needs no memory here, its frames are
understood in the order and at the pace in which they are acted on, and an idle socket costs one greenlet. Pings are
sent by whoever waits, too. Writing is for any greenlet.
"""

import time
from collections.abc import Callable

from gevent import get_hub
from gevent.event import Event
from simple_websocket import ConnectionClosed, Server
from wsproto.events import CloseConnection, Ping
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from service.api.sockets.connection import Connection

RECEIVE_BYTES = 16 * 1024
# How long a client may take to answer our closing.
CLOSE_SECONDS = 2.0
# Long enough to notice what came while nobody waited.
LEAST_SECONDS = 0.01
_READ = 1


class NoThread:
    """What the library starts to read with: nothing."""

    def __init__(self, *, target: Callable[[], object]) -> None:
        self.name = target.__qualname__

    def start(self) -> None:
        """`Line.receive` reads."""


class Line:
    """`ws` was accepted with `thread_class=NoThread` over a `Connection`. Call `hang_up` at the end."""

    def __init__(self, ws: Server, ping_seconds: float) -> None:
        self._ws = ws
        self._connection: Connection = ws.sock
        self._ping_seconds = ping_seconds
        self._ping_at = time.monotonic() + ping_seconds
        self._is_asked = False
        self._rung = False
        # Set when there is something to read, or when somebody rings.
        self._news = Event()
        self._watcher = get_hub().loop.io(self._connection.fileno(), _READ)

    @property
    def is_open(self) -> bool:
        return bool(self._ws.connected)

    def ring(self) -> None:
        """Wake who waits for a frame: that is answered None. For any greenlet."""
        self._rung = True
        self._news.set()

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next frame; None when there was none for so many seconds, or somebody rang.

        Raises ConnectionClosed, and OSError if the connection broke.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ws.input_buffer:
            if not self.is_open:
                raise self._closed()
            if self._rung or (deadline is not None and time.monotonic() >= deadline):
                self._rung = False
                return None
            self._wait(self._ping_at if deadline is None else min(self._ping_at, deadline))
        frame: str | bytes = self._ws.input_buffer.pop(0)
        return frame

    def send(self, text: str) -> None:
        """Raises ConnectionClosed, and OSError if the connection broke."""
        if not self.is_open:
            raise self._closed()
        try:
            self._ws.send(text)
        except LocalProtocolError as error:
            # Its end is just being written.
            raise self._closed() from error

    def close(self, code: int) -> None:
        """Say goodbye, unless that was said. Raises OSError if the connection broke."""
        if self.is_open:
            self._goodbye(code, None)

    def hang_up(self) -> None:
        """Let the client read our last, for a moment, and leave nothing of the connection behind."""
        self._ws.connected = False
        self._connection.end()
        deadline = time.monotonic() + CLOSE_SECONDS
        try:
            while self._is_readable(deadline) and self._connection.recv(RECEIVE_BYTES):
                continue
        except OSError:
            # It is as good as closed.
            return
        finally:
            self._connection.cut()
            self._watcher.close()

    def cut(self) -> None:
        """The connection is of no use any more; wakes who waits for a frame. For any greenlet."""
        self._connection.cut()

    def _wait(self, deadline: float) -> None:
        """Read what comes until then, and ask a client that is silent whether it is still there."""
        if self._is_readable(deadline):
            self._read()
        elif time.monotonic() >= self._ping_at and not self._rung:
            self._ask()

    def _read(self) -> None:
        data = self._connection.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("the client left without a word")
        self._is_asked = False
        self._ping_at = time.monotonic() + self._ping_seconds
        self._ws.ws.receive_data(data)
        self._ws.connected = self._ws._handle_events()  # noqa: SLF001 - what its own thread calls

    def _ask(self) -> None:
        if self._is_asked:
            self._goodbye(CloseReason.POLICY_VIOLATION, "Ping/Pong timeout")
            return
        self._is_asked = True
        self._ping_at = time.monotonic() + self._ping_seconds
        self._connection.send(self._ws.ws.send(Ping()))

    def _goodbye(self, code: int, reason: str | None) -> None:
        self._ws.connected = False
        self._connection.send(self._ws.ws.send(CloseConnection(code, reason)))

    def _is_readable(self, deadline: float) -> bool:
        """Wait until then for something to read, or for a ring. Others run meanwhile, whatever the client sends."""
        found: list[bool] = []

        def note() -> None:
            found.append(True)
            self._news.set()

        self._news.clear()
        self._watcher.start(note)
        try:
            self._news.wait(max(LEAST_SECONDS, deadline - time.monotonic()))
        finally:
            self._watcher.stop()
        return bool(found)

    def _closed(self) -> Exception:
        closed: Exception = ConnectionClosed(self._ws.close_reason, self._ws.close_message)
        return closed
