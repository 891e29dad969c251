"""Who wants to change the same account at the same time waits in this process, not in the database.

Transactions that meet at a wallet lose write conflicts and repeat, each repetition in the way of the others: of two
hundred at once most would give up. One after the other they are all done in less time. Other processes still meet in
the database, but there are few of those.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pymongo.errors import ExecutionTimeout


class Queues:
    """A queue for each key that somebody works for or waits for, and for no others."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._guard = threading.Lock()
        self._queues: dict[str, _Queue] = {}

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """Wait until nobody else has the turn of this key. Raises ExecutionTimeout after `timeout_seconds`."""
        with self._guard:
            queue = self._queues.setdefault(key, _Queue())
            queue.length += 1
        try:
            if not queue.turn.acquire(timeout=self._timeout_seconds):
                raise ExecutionTimeout(f"{queue.length} wait for one account")
            try:
                yield
            finally:
                queue.turn.release()
        finally:
            with self._guard:
                queue.length -= 1
                if not queue.length:
                    del self._queues[key]


class _Queue:
    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.length = 0
