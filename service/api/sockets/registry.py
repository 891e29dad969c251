"""The WebSockets that are open in this process, so that they can be closed properly when it ends."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from flask import Flask

_EXTENSION = "talkmeter-sockets"
# After a restart everybody comes back at once. More look-ups at a time would only time out in the database's queue, and
# keep short requests waiting.
ARRIVALS_AT_ONCE = 16


class Leaver(Protocol):
    def leave(self) -> None:
        """Have it closed with 1001, without waiting for that."""


class OpenSockets:
    def __init__(self) -> None:
        self._open: set[Leaver] = set()
        self._leaving = False
        # Whoever arrives asks the database who they are while holding this.
        self.arriving = threading.BoundedSemaphore(ARRIVALS_AT_ONCE)

    @contextmanager
    def holding(self, talk: Leaver) -> Iterator[None]:
        """While it is open. One that comes when this process is about to end is told to leave at once."""
        self._open.add(talk)
        if self._leaving:
            talk.leave()
        try:
            yield
        finally:
            self._open.discard(talk)

    def leave(self) -> None:
        """This process ends: clients go on at another one. Doesn't wait for them."""
        self._leaving = True
        for talk in list(self._open):
            talk.leave()


def install(app: Flask) -> None:
    app.extensions[_EXTENSION] = OpenSockets()


def sockets_of(app: Flask) -> OpenSockets:
    found: OpenSockets = app.extensions[_EXTENSION]
    return found
