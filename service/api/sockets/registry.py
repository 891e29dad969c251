"""The WebSockets that are open in this process, so that they can be closed properly when it ends."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from flask import Flask

from service.domain.errors import Overloaded

_EXTENSION = "talkmeter-sockets"
# After a restart everybody comes back at once. More look-ups at a time would only time out in the database's queue, and
# keep short requests waiting.
ARRIVALS_AT_ONCE = 16
# Whose turn hasn't come by then is told to come later: the database is away, or there are too many.
ARRIVAL_SECONDS = 15.0
RETRY_SECONDS = 5


class Leaver(Protocol):
    def leave(self) -> None:
        """Have it closed with 1001, without waiting for that."""


class OpenSockets:
    def __init__(self) -> None:
        self._open: set[Leaver] = set()
        self._leaving = False
        self._arriving = threading.BoundedSemaphore(ARRIVALS_AT_ONCE)

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

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """For asking the database who has come. Raises Overloaded when it isn't one's turn in time."""
        if not self._arriving.acquire(timeout=ARRIVAL_SECONDS):
            raise Overloaded("too many sockets arrive", retry_after_seconds=RETRY_SECONDS)
        try:
            yield
        finally:
            self._arriving.release()

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
