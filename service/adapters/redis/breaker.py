"""The breaker to the model provider, shared by all processes: open for a while after it refused this installation."""

from redis import Redis

from service.adapters.redis.client import BestEffort

KEY = "talkmeter:breaker"
OPEN_SECONDS = 30


class RedisBreaker:
    """Closes by itself; without Redis it counts as closed, and the next call finds out again."""

    def __init__(self, redis: "Redis[bytes]", best_effort: BestEffort) -> None:
        self._redis = redis
        self._best_effort = best_effort

    def is_open(self) -> bool:
        return bool(self._best_effort(lambda: self._redis.exists(KEY), 0))

    def open(self, reason: str) -> None:
        self._best_effort(lambda: self._redis.set(KEY, reason, ex=OPEN_SECONDS), None)
