"""The TCP connection under a WebSocket, as the library needs it to be and gunicorn's is not quite."""

import socket
import threading
from typing import Any

# Of one frame, until which a client that reads nothing keeps its greenlet.
WRITE_SECONDS = 20.0


class Connection:
    """`simple_websocket` writes with `send`, which may take a part only, and from several greenlets at once: here a
    frame is written whole, and one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._writing = threading.Lock()
        connection.settimeout(WRITE_SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send(self, frame: bytes) -> int:
        with self._writing:
            self._socket.sendall(frame)
        return len(frame)

    def end(self) -> None:
        """Write no more; the client may still be reading what was written."""
        self._shut(socket.SHUT_WR)

    def cut(self) -> None:
        """End it in both directions, which wakes whoever reads or writes."""
        self._shut(socket.SHUT_RDWR)

    def _shut(self, how: int) -> None:
        try:
            self._socket.shutdown(how)
        except OSError:
            # The client did so first.
            return
