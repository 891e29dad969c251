"""A WebSocket client that reads in the background, as a page would."""

import json
import threading
from collections.abc import Callable
from typing import Any, Self

from simple_websocket import Client, ConnectionClosed

from service.adapters.redis.pauses import PREFIX
from tests.stack.stack import StackUnderTest, eventually

Frame = dict[str, Any]
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
ANSWER = "Раз два три четыре пять 🌊 семь восемь"
THREE_WORDS = "Раз два три "


class Page:
    """One socket. `frames` are those that came; `code` is why it was closed, None while it is open."""

    def __init__(self, url: str, path: str = "/", **options: Any) -> None:
        self.frames: list[Frame] = []
        self.code: int | None = None
        # Byte by byte, because the library forgets what comes together with the handshake's answer.
        self.socket = Client.connect(url.replace("http", "ws", 1) + path, receive_bytes=1, **options)
        self.socket.receive_bytes = 4096
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.leave()

    def send(self, **frame: Any) -> Self:
        self.socket.send(json.dumps(frame, ensure_ascii=False))
        return self

    def say(self, content: str) -> Self:
        return self.send(type="message", content=content)

    def of(self, kind: str) -> list[Frame]:
        return [frame for frame in list(self.frames) if frame["type"] == kind]

    def has(self, kind: str, count: int = 1) -> Frame:
        """The newest frame of this type, once there are so many."""
        return eventually(lambda: self.of(kind)[count - 1 :])[-1]

    @property
    def text(self) -> str:
        return "".join(frame["content"] for frame in self.of("chunk"))

    def has_seen(self, characters: int) -> Self:
        eventually(lambda: len(self.text) >= characters)
        return self

    def closed(self) -> int:
        self._thread.join(20)
        assert not self._thread.is_alive(), self.frames
        return self.code or 0

    def leave(self) -> None:
        if self.code is None:
            self.socket.close()
            # The library does not wake who reads.
            self.socket.event.set()
        self._thread.join(20)

    def _listen(self) -> None:
        try:
            while True:
                self.frames.append(json.loads(self.socket.receive()))
        except ConnectionClosed as closed:
            self.code = int(closed.reason)


Connect = Callable[..., Page]


def hold(stack: StackUnderTest, question: str) -> None:
    """Of the answer to this question three words come before the gate opens."""
    stack.upstream.rule(contains=question, answer=ANSWER, usage=USAGE, hold=question, hold_after_chunks=3)


def rest(stack: StackUnderTest) -> None:
    """Make the pause that everybody must make between two messages."""
    eventually(lambda: not list(stack.redis_client.scan_iter(f"{PREFIX}*")))
