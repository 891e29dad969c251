"""The answers that clients of this web process follow.

One thread reads the streams of all of them in one blocking command over one connection, however many clients there are,
and keeps each answer as far as it is known, so that a second client of the same answer costs Redis nothing. That a job
is final comes from `JobEvents`, which notices it without Redis too.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import structlog
from redis import Redis
from redis.exceptions import RedisError

from service.adapters.redis.client import BestEffort, connect
from service.adapters.redis.streams import assembled, stream_key
from service.usecases.ports import JobEvents

log = structlog.get_logger(__name__)

BLOCK_SECONDS = 1.0
# What comes within this time is handed on together.
GATHER_SECONDS = 0.01
PAUSE_SECONDS = 1.0
WAKE_FORGET_SECONDS = 60


class _Answer:
    """One followed stream: its text so far, the last entry read, and who follows."""

    def __init__(self) -> None:
        self.text = ""
        self.last_id: bytes = b"0-0"
        self.followers: list[_Follower] = []


class _Follower:
    """See `ports.Followed`."""

    def __init__(self) -> None:
        self.answer = _Answer()
        self._ended = False
        self._bell = threading.Event()

    @property
    def text(self) -> str:
        return self.answer.text

    def ended(self) -> bool:
        ended, self._ended = self._ended, False
        return ended

    def wait(self, seconds: float) -> bool:
        rang = self._bell.wait(seconds)
        self._bell.clear()
        return rang

    def ring(self) -> None:
        self._bell.set()

    def end(self) -> None:
        self._ended = True
        self._bell.set()


class RedisAnswerFollowers:
    """`redis` and `best_effort` are the process's own; the reader has a connection to `url` for itself."""

    def __init__(self, url: str, redis: "Redis[bytes]", best_effort: BestEffort, events: JobEvents) -> None:
        self._reader = connect(url, timeout_seconds=BLOCK_SECONDS + 2)
        self._redis = redis
        self._best_effort = best_effort
        self._events = events
        self._answers: dict[str, _Answer] = {}
        self._lock = threading.Lock()
        self._someone_follows = threading.Event()
        self._started = False
        # An entry here ends the blocking command, so that a new stream is among those it waits for.
        self._wake_key = f"talkmeter:answers:wake:{uuid4().hex}"
        self._wake_id: bytes = b"0-0"
        self._waking = threading.Lock()

    @contextmanager
    def follow(self, job_id: str, *, live: bool) -> Iterator[_Follower]:
        """See `ports.AnswerFollowers.follow`."""
        follower = _Follower()
        with self._events.on_final(job_id, follower.end):
            if live:
                self._join(job_id, follower)
            try:
                yield follower
            finally:
                if live:
                    self._leave(job_id, follower)

    def _join(self, job_id: str, follower: _Follower) -> None:
        with self._lock:
            is_new = job_id not in self._answers
            follower.answer = self._answers.setdefault(job_id, _Answer())
            follower.answer.followers.append(follower)
            self._someone_follows.set()
            started, self._started = self._started, True
        if not started:
            threading.Thread(target=self._read, name="answer-followers", daemon=True).start()
        elif is_new:
            self._wake()

    def _leave(self, job_id: str, follower: _Follower) -> None:
        with self._lock:
            follower.answer.followers.remove(follower)
            if not follower.answer.followers:
                del self._answers[job_id]
            if not self._answers:
                self._someone_follows.clear()

    def _wake(self) -> None:
        def ring() -> None:
            self._redis.xadd(self._wake_key, {"": ""}, maxlen=1)
            self._redis.expire(self._wake_key, WAKE_FORGET_SECONDS)

        # One at a time: a hundred clients that come at once need no hundred connections.
        with self._waking:
            self._best_effort(ring, None)

    def _read(self) -> None:
        interrupted = False
        while True:
            self._someone_follows.wait()
            try:
                self._read_once()
                interrupted = False
                time.sleep(GATHER_SECONDS)
            except (RedisError, OSError) as error:
                if not interrupted:
                    log.warning("following interrupted", reason=type(error).__name__)
                interrupted = True
                time.sleep(PAUSE_SECONDS)
            except Exception:
                # Without this thread every client here would see its answer at the end only.
                log.exception("following broke")
                time.sleep(PAUSE_SECONDS)

    def _read_once(self) -> None:
        with self._lock:
            positions: dict[Any, Any] = {stream_key(job_id): answer.last_id for job_id, answer in self._answers.items()}
            answers = {stream_key(job_id).encode(): answer for job_id, answer in self._answers.items()}
        positions[self._wake_key] = self._wake_id
        for key, entries in self._reader.xread(positions, block=int(BLOCK_SECONDS * 1000)) or ():
            if key in answers:
                self._take(answers[key], entries)
            else:
                self._wake_id = entries[-1][0]

    def _take(self, answer: _Answer, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        answer.text, answer.last_id = assembled(answer.text, entries), entries[-1][0]
        with self._lock:
            followers = list(answer.followers)
        for follower in followers:
            follower.ring()
