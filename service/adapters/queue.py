"""Rings for workers over Celery. A message carries a job's id, or for whom a webhook delivery is due, and nothing else;
losing one is harmless."""

from collections.abc import Sequence
from typing import cast

import structlog
from celery import Celery
from kombu import Connection
from kombu.exceptions import LimitExceeded, OperationalError
from redis import Redis
from redis.exceptions import RedisError

from service.adapters.redis.client import BestEffort

log = structlog.get_logger(__name__)

CHAT_QUEUE = "chat"
WEBHOOKS_QUEUE = "webhooks"
RUN_JOB_TASK = "workers.tasks.run_job"
DELIVER_TASK = "workers.tasks.deliver"
# A ring for deliveries that waited longer is not worth hearing: upkeep has repeated it.
DELIVER_EXPIRES_SECONDS = 30
# How long to wait for a connection of the pool while others ring.
CONNECTION_TIMEOUT_SECONDS = 0.3


class CeleryDoorbell:
    """`redis` is the broker's server, asked for the queue's length; Celery itself hides it."""

    def __init__(self, celery: Celery, redis: "Redis[bytes]", best_effort: BestEffort) -> None:
        self._celery = celery
        self._redis = redis
        self._best_effort = best_effort

    def ring(self, job_ids: Sequence[str]) -> bool:
        """See `ports.Doorbell.ring`."""

        def send() -> bool:
            _send(self._celery, RUN_JOB_TASK, CHAT_QUEUE, job_ids)
            return True

        return self._best_effort(send, False)

    def waiting(self) -> int | None:
        """See `ports.Doorbell.waiting`."""
        return self._best_effort(lambda: int(self._redis.llen(CHAT_QUEUE)), None)


class CeleryDeliveryBell:
    """The same for webhook deliveries, on a queue of their own."""

    def __init__(self, celery: Celery, redis: "Redis[bytes]", best_effort: BestEffort) -> None:
        self._celery = celery
        self._redis = redis
        self._best_effort = best_effort

    def ring(self, destinations: Sequence[str]) -> None:
        """See `ports.DeliveryBell.ring`."""
        if destinations:
            ring = (self._celery, DELIVER_TASK, WEBHOOKS_QUEUE, destinations, DELIVER_EXPIRES_SECONDS)
            self._best_effort(lambda: _send(*ring), None)

    def waiting(self) -> int | None:
        """See `ports.DeliveryBell.waiting`."""
        return self._best_effort(lambda: int(self._redis.llen(WEBHOOKS_QUEUE)), None)


def _send(celery: Celery, task: str, queue: str, subjects: Sequence[str], expires_seconds: int | None = None) -> None:
    """One message per subject. Celery's pool of producers would wait for a connection without an end."""
    try:
        with celery.pool.acquire(block=True, timeout=CONNECTION_TIMEOUT_SECONDS) as connection:
            producer = celery.amqp.Producer(cast(Connection, connection), auto_declare=False)
            for subject in subjects:
                celery.send_task(
                    task,
                    args=[subject],
                    queue=queue,
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                    expires=expires_seconds,
                )
    except (OperationalError, LimitExceeded) as error:
        raise RedisError(str(error)) from error
