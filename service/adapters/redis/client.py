"""Redis connections of a process. Redis is only a doorbell here: every caller goes on without it.

Time-outs are short, and after a failure Redis is left alone for a moment, so that requests don't queue up behind a
server that is away.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import gevent
import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeout
from redis.retry import Retry

log = structlog.get_logger(__name__)

T = TypeVar("T")
TIMEOUT_SECONDS = 0.3
# Of one call in all. A socket's time-out knows nothing of the search for the server's address, which may take 10 s.
PATIENCE_SECONDS = 0.6
LEAVE_ALONE_SECONDS = 1.0


def connect(url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> "Redis[bytes]":
    """A lazily connecting client that fails within `timeout_seconds` instead of waiting or retrying."""
    return Redis.from_url(
        url,
        socket_connect_timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )


class BestEffort:
    """Calls Redis and gives a default instead when it is away."""

    def __init__(self) -> None:
        self._away_until = 0.0

    def __call__(self, call: Callable[[], T], default: T) -> T:
        """The call's value, or `default` if Redis failed now or less than a second ago."""
        if time.monotonic() < self._away_until:
            return default
        try:
            with gevent.Timeout(PATIENCE_SECONDS, RedisTimeout("no answer in time")):
                return call()
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + LEAVE_ALONE_SECONDS
            log.warning("redis is away", reason=type(error).__name__)
            return default
