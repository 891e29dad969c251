"""The answers that this worker process is writing, each as one Redis stream.

An entry's id is the place in the answer where its text ends, so ids increase, a repeated write is refused by Redis
itself, and a stream is closed for good by an entry with the highest id there is. One thread writes for all answers of
the process, a few dozen times a second and in one round trip, so that a token costs no round trip of its own.

Redis may lose a stream or be away for a while: what it doesn't confirm is written again, and a stream that is gone is
begun anew with the whole answer so far.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis import Redis
from redis.exceptions import ResponseError

from service.adapters.redis.client import BestEffort

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 0.04
KEPT_SECONDS = 600
# Longer than an answer takes: for streams whose worker died.
FORGET_SECONDS = 1800
TEXT, START = b"t", b"s"
_HIGHEST_ID = f"{2**64 - 1}-0"
_ID_TOO_SMALL = "equal or smaller"


def stream_key(job_id: str) -> str:
    return f"talkmeter:answer:{job_id}"


def assembled(text: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> str:
    """The text and what the entries add to it; what doesn't begin within it is left out."""
    for entry_id, fields in entries:
        if TEXT in fields:
            start, end = int(fields[START]), int(entry_id.partition(b"-")[0])
            if start <= len(text) < end:
                text += fields[TEXT].decode()[len(text) - start :]
    return text


@dataclass
class _Answer:
    """`written` characters of the text are confirmed by Redis; `began` once there is a stream."""

    text: str = ""
    written: int = 0
    began: bool = False

    @property
    def is_behind(self) -> bool:
        return self.written < len(self.text)


class RedisAnswerWriter:
    def __init__(self, redis: "Redis[bytes]", best_effort: BestEffort) -> None:
        self._redis = redis
        self._best_effort = best_effort
        self._answers: dict[str, _Answer] = {}
        self._lock = threading.Lock()
        self._behind = threading.Event()
        self._started = False

    def show(self, job_id: str, text: str) -> None:
        """See `ports.AnswerWriter.show`."""
        self._answers.setdefault(job_id, _Answer()).text = text
        self._behind.set()
        if not self._started:
            self._started = True
            threading.Thread(target=self._write_behind, name="answer-writer", daemon=True).start()

    def end(self, job_id: str) -> None:
        """See `ports.AnswerWriter.end`."""
        with self._lock:
            answer = self._answers.pop(job_id, None)
            if answer is not None and answer.is_behind:
                self._write({job_id: answer})
        self._best_effort(lambda: self._redis.expire(stream_key(job_id), KEPT_SECONDS), 0)

    def seal(self, job_id: str) -> str:
        """See `ports.AnswerWriter.seal`."""
        key = stream_key(job_id)

        def close() -> None:
            try:
                self._redis.xadd(key, {"end": ""}, id=_HIGHEST_ID)
            except ResponseError as error:
                if _ID_TOO_SMALL not in str(error):
                    raise
            self._redis.expire(key, KEPT_SECONDS)

        self._best_effort(close, None)
        return self._best_effort(lambda: assembled("", self._redis.xrange(key)), "")

    def erase(self, job_ids: Sequence[str]) -> bool:
        """See `ports.AnswerWriter.erase`. What a slow worker adds to an empty stream that is closed, Redis refuses."""

        def close_empty() -> bool:
            pipeline = self._redis.pipeline()
            for key in map(stream_key, job_ids):
                pipeline.delete(key)
                pipeline.xadd(key, {"end": ""}, id=_HIGHEST_ID)
                pipeline.expire(key, KEPT_SECONDS)
            pipeline.execute()
            return True

        return self._best_effort(close_empty, False)

    def _write_behind(self) -> None:
        pause: Callable[[float], object] = threading.Event().wait
        while True:
            self._behind.wait()
            self._behind.clear()
            try:
                with self._lock:
                    self._write({job_id: answer for job_id, answer in list(self._answers.items()) if answer.is_behind})
            except Exception:
                # Without this thread nothing would be shown by this process any more.
                log.exception("showing broke")
            pause(FLUSH_SECONDS)
            if any(answer.is_behind for answer in list(self._answers.values())):
                self._behind.set()

    def _write(self, answers: dict[str, _Answer]) -> None:
        """One round trip for all of them."""
        if not answers:
            return
        pipeline = self._redis.pipeline(transaction=False)
        sent = [_Entry(job_id, answer, answer.text) for job_id, answer in answers.items()]
        for entry in sent:
            entry.add_to(pipeline)
        results: list[Any] = self._best_effort(lambda: pipeline.execute(raise_on_error=False), [])
        for entry, added in zip(sent, results[::2], strict=False):
            _note(entry.answer, len(entry.text), added)


@dataclass(frozen=True)
class _Entry:
    """What of an answer is written next, as it was when that began."""

    job_id: str
    answer: _Answer
    text: str

    def add_to(self, pipeline: Any) -> None:
        """Two commands."""
        key, start = stream_key(self.job_id), self.answer.written if self.answer.began else 0
        fields = {TEXT: self.text[start:].encode(), START: start}
        pipeline.xadd(key, fields, id=f"{len(self.text)}-0", nomkstream=self.answer.began)
        pipeline.expire(key, FORGET_SECONDS)


def _note(answer: _Answer, length: int, added: Any) -> None:
    """What became of one entry."""
    if added is None:
        # Redis has lost the stream: the next one begins with all of the answer.
        answer.began, answer.written = False, 0
    elif not isinstance(added, Exception) or _ID_TOO_SMALL in str(added):
        # A refused id was written before, by a command whose reply was lost, or the stream is sealed.
        answer.began, answer.written = True, length
    else:
        log.warning("showing refused", reason=type(added).__name__)
