"""Rate limits: sliding windows in Redis, or in this process's memory while Redis is away.

So a limit is never lifted by an outage, only counted per process for its length.
"""

import math
import time
from collections.abc import Callable
from typing import TypeVar, cast

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from service.adapters.redis.client import TIMEOUT_SECONDS, BestEffort
from service.usecases.ports import Quota

T = TypeVar("T")


class RedisRateLimits:
    def __init__(self, url: str, best_effort: BestEffort) -> None:
        storage = RedisStorage(
            url,
            key_prefix="talkmeter:limits",
            socket_connect_timeout=TIMEOUT_SECONDS,
            socket_timeout=TIMEOUT_SECONDS,
        )
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._best_effort = best_effort

    def hit(self, name: str, key: str, limit: int, per_seconds: int, cost: int = 1) -> int | None:
        """See `ports.RateLimits.hit`."""
        item = RateLimitItemPerSecond(limit, per_seconds, namespace=name)
        return self._ask(
            lambda limiter: None if limiter.hit(item, key, cost=cost) else _seconds_left(limiter, item, key)
        )

    def peek(self, name: str, key: str, limit: int, per_seconds: int) -> int | None:
        """See `ports.RateLimits.peek`."""
        item = RateLimitItemPerSecond(limit, per_seconds, namespace=name)
        return self._ask(lambda limiter: None if limiter.test(item, key) else _seconds_left(limiter, item, key))

    def quota(self, name: str, key: str, limit: int, per_seconds: int) -> Quota:
        """See `ports.RateLimits.quota`."""
        item = RateLimitItemPerSecond(limit, per_seconds, namespace=name)
        return self._ask(lambda limiter: _quota(limiter, item, key))

    def _ask(self, question: Callable[[RateLimiter], T]) -> T:
        away = object()
        answer: object = self._best_effort(lambda: question(self._shared), away)
        return question(self._local) if answer is away else cast(T, answer)


def _quota(limiter: RateLimiter, item: RateLimitItemPerSecond, key: str) -> Quota:
    stats = limiter.get_window_stats(item, key)
    return Quota(item.amount, max(0, stats.remaining), max(0, math.ceil(stats.reset_time - time.time())))


def _seconds_left(limiter: RateLimiter, item: RateLimitItemPerSecond, key: str) -> int:
    """Whole seconds until the window has room, at least one."""
    return max(1, math.ceil(limiter.get_window_stats(item, key).reset_time - time.time()))
