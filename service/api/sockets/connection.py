"""The TCP connection under a WebSocket, as the library needs it to be and gunicorn's is not quite."""

import socket
import threading
from typing import Any

# Of one frame, until which a client that reads nothing keeps its greenlet.
WRITE_SECONDS = 20.0
# A client that sends so much faster than it is answered is cut off.
MAX_UNREAD_FRAMES = 64


class Connection:
    """`simple_websocket` writes with `send`, which may take a part only, and from several greenlets at once: here a
    frame is written whole, and one after the other. `unread` are the frames that nobody has taken yet."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._writing = threading.Lock()
        self.unread: list[Any] = []
        connection.settimeout(WRITE_SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send(self, frame: bytes) -> int:
        with self._writing:
            self._socket.sendall(frame)
        return len(frame)

    def recv(self, size: int) -> bytes:
        if len(self.unread) > MAX_UNREAD_FRAMES:
            raise ConnectionError("the client sends too fast")
        return self._socket.recv(size)

    def cut(self) -> None:
        """End it in both directions, which wakes whoever reads."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            # The client did so first.
            return
