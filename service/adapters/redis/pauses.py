"""The pause that somebody must make between two messages: a key in Redis that ends by itself, to the millisecond.

The windows of `limits` are whole seconds and approximate, which is too coarse here. While Redis is away this process
counts by itself.
"""

import time

from redis import Redis

from service.adapters.redis.client import BestEffort

PREFIX = "talkmeter:pauses:"
# Beyond so many pauses counted here those that are over are forgotten.
SWEEP_AT = 10_000
AWAY = -1


class RedisPauses:
    def __init__(self, redis: "Redis[bytes]", best_effort: BestEffort) -> None:
        self._redis = redis
        self._best_effort = best_effort
        self._until: dict[str, float] = {}

    def begin(self, name: str, key: str, milliseconds: int) -> int | None:
        """See `ports.Pauses.begin`."""
        whole = f"{PREFIX}{name}:{key}"
        left = self._best_effort(lambda: self._shared(whole, milliseconds), AWAY)
        return self._local(whole, milliseconds) if left == AWAY else left or None

    def _shared(self, key: str, milliseconds: int) -> int:
        if self._redis.set(key, b"1", nx=True, px=milliseconds):
            return 0
        return max(1, int(self._redis.pttl(key)))

    def _local(self, key: str, milliseconds: int) -> int | None:
        now = time.monotonic()
        if len(self._until) > SWEEP_AT:
            self._until = {name: until for name, until in self._until.items() if until > now}
        left = self._until.get(key, 0.0) - now
        if left > 0:
            return max(1, int(left * 1000))
        self._until[key] = now + milliseconds / 1000
        return None
