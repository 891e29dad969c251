"""argon2id, computed in a few threads of its own: a hash takes about 150 ms and would stop every greenlet."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from gevent.threadpool import ThreadPool

from service.domain.errors import Overloaded

T = TypeVar("T")
# Each hash takes its own memory (64 MiB by default), so few run at once.
THREADS = 4
# More than these would wait longer than anyone likes: refused at once instead.
MAX_WAITING = 32


class Argon2Passwords:
    def __init__(self, *, time_cost: int, memory_kib: int, parallelism: int) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=parallelism)
        self._threads = ThreadPool(THREADS)
        self._hash_of_nobody: str | None = None
        self._waiting = 0

    def hash(self, password: str) -> str:
        return str(self._run(partial(self._hasher.hash, password)))

    def matches(self, password_hash: str | None, password: str) -> bool:
        """See `ports.Passwords.matches`."""
        if password_hash is None and self._hash_of_nobody is None:
            self._hash_of_nobody = self.hash("nobody's password")
        verify = partial(self._verify, password_hash or self._hash_of_nobody or "", password)
        return bool(self._run(verify)) and password_hash is not None

    def _run(self, work: Callable[[], T]) -> T:
        """In one of the threads. Raises Overloaded when too many wait for one."""
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many passwords to check", retry_after_seconds=1)
        self._waiting += 1
        try:
            result: T = self._threads.apply(work)
        finally:
            self._waiting -= 1
        return result

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
