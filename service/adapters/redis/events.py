"""Tells waiting requests that their job is final.

Workers publish the id of each final job on one Redis channel; one reader per process hears it and wakes whoever waits.
The database is asked once a second, in one query for all that wait here, so that a lost message costs a second and no
more. Waiting holds a greenlet and an event, no connection.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from redis import Redis
from redis.exceptions import RedisError

from service.adapters.redis.client import BestEffort
from service.usecases.ports import Jobs

log = structlog.get_logger(__name__)

CHANNEL = "talkmeter:jobs:final"
POLL_SECONDS = 1.0


class RedisJobEvents:
    """`jobs` is asked which of the awaited jobs are final; `outages` are the errors when it is away."""

    def __init__(
        self, redis: "Redis[bytes]", best_effort: BestEffort, jobs: Jobs, outages: tuple[type[Exception], ...]
    ) -> None:
        self._redis = redis
        self._best_effort = best_effort
        self._jobs = jobs
        self._outages = outages
        self._waiting: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._someone_waits = threading.Event()
        self._started = False
        self._released = False

    def is_released(self) -> bool:
        return self._released

    def release(self) -> None:
        """See `ports.JobEvents.release`."""
        with self._lock:
            self._released = True
            told = [tell for tells in self._waiting.values() for tell in tells]
        for tell in told:
            tell()

    def announce(self, job_id: str) -> None:
        """See `ports.JobEvents.announce`."""
        self._best_effort(lambda: self._redis.publish(CHANNEL, job_id), 0)

    @contextmanager
    def watch(self, job_id: str) -> Iterator[Callable[[float], bool]]:
        """See `ports.JobEvents.watch`."""
        final = threading.Event()
        with self.on_final(job_id, final.set):
            yield final.wait

    @contextmanager
    def on_final(self, job_id: str, tell: Callable[[], None]) -> Iterator[None]:
        """See `ports.JobEvents.on_final`."""
        self.start()
        with self._lock:
            self._waiting[job_id].append(tell)
            self._someone_waits.set()
        if self._released:
            tell()
        try:
            yield
        finally:
            with self._lock:
                self._waiting[job_id].remove(tell)
                if not self._waiting[job_id]:
                    del self._waiting[job_id]
                if not self._waiting:
                    self._someone_waits.clear()

    def start(self) -> None:
        """Begin to listen. A web process does so at once: what ends before it listens is noticed a second later."""
        with self._lock:
            started, self._started = self._started, True
        if not started:
            threading.Thread(target=self._listen, name="job-events", daemon=True).start()
            threading.Thread(target=self._poll, name="job-events-poll", daemon=True).start()

    def _wake(self, job_id: str) -> None:
        with self._lock:
            told = list(self._waiting.get(job_id, ()))
        for tell in told:
            tell()

    def _listen(self) -> None:
        interrupted = False
        while True:
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(CHANNEL)
                    interrupted = False
                    while True:
                        message = channel.get_message(timeout=POLL_SECONDS)
                        if message is not None:
                            self._wake(message["data"].decode(errors="replace"))
            except (RedisError, OSError) as error:
                if not interrupted:
                    log.warning("job events interrupted", reason=type(error).__name__)
                interrupted = True
                threading.Event().wait(POLL_SECONDS)
            except Exception:
                # Readers must not end: every later wait in this process would last its whole time.
                log.exception("job events broke")
                threading.Event().wait(POLL_SECONDS)

    def _poll(self) -> None:
        while True:
            self._someone_waits.wait()
            threading.Event().wait(POLL_SECONDS)
            with self._lock:
                job_ids = list(self._waiting)
            try:
                for job_id in self._jobs.finished(job_ids):
                    self._wake(job_id)
            except self._outages as error:
                log.warning("waiting without the database", reason=type(error).__name__)
            except Exception:
                log.exception("waiting broke")
