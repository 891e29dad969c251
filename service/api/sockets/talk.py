"""One WebSocket from its first frame to its last, whatever it talks about.

One greenlet reads the frames and does what they say, another follows the answer that is being written. A failure is
told in an `error` frame and the socket goes on; only what is wrong with the greeting ends it.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from typing import Protocol

import structlog
from simple_websocket import ConnectionClosed

from service.api.arguments import KIB
from service.api.auth import client_address
from service.api.errors import STATUSES
from service.api.sockets.callers import Caller
from service.api.sockets.frames import AUTH, MESSAGE, STOP, Frame
from service.api.sockets.line import Line
from service.api.state import locale, services
from service.domain.accounts import Actor
from service.domain.errors import InternalError, JobRunning, ServiceError, Unauthorized, Unavailable
from service.domain.jobs import Job
from service.usecases.connections import names_of, names_of_nobody
from service.usecases.follow import Chunk, Departure, Ended

log = structlog.get_logger(__name__)

GOING_AWAY = 1001
POLICY = 1008
LATER = 1013
# How long somebody may stay whom nobody knows, where guests are not allowed.
NAMELESS_SECONDS = 20.0


class Dialect(Protocol):
    """How frames are written: a module such as `frames` is one."""

    def read(self, data: str | bytes, max_bytes: int) -> Frame:
        """What a client sent. Raises ServiceErrors."""

    def chunk(self, part: Chunk, job: Job, *, is_first: bool) -> str: ...

    def last(self, ended: Ended, language: str) -> str: ...

    def error(self, failure: ServiceError, language: str, max_kib: int, job_id: str | None = None) -> str: ...


class Talk:
    """Subclasses say who is greeted, what a message asks, and what other frames do."""

    def __init__(self, line: Line, token: str | None, dialect: Dialect) -> None:
        self.caller = Caller(token)
        self.container = services()
        self.line = line
        self._dialect = dialect
        self._running: Job | None = None
        self._leaving = False
        self._departure = Departure()
        self._place = self.container.connections.nowhere()
        self.messages = 0

    def leave(self) -> None:
        """Have the socket closed because this process ends. Returns at once; for any greenlet."""
        self._leaving = True
        self.line.ring()

    def end(self) -> None:
        """The client is gone: nobody need follow its answer any more. Returns at once."""
        self._departure.announce()
        self._place.leave()

    def __call__(self, arriving: AbstractContextManager[object]) -> int:
        """Talk until somebody ends it; the code to close with. Who it is is looked up while `arriving`."""
        refusal = self._attempt(partial(self._arrive, arriving))
        if refusal is not None:
            return LATER if STATUSES[refusal.code] >= HTTPStatus.TOO_MANY_REQUESTS else POLICY
        named_until = time.monotonic() + NAMELESS_SECONDS
        while not self._leaving:
            patience = named_until - time.monotonic() if self.needs_name else None
            if patience is not None and patience <= 0:
                self._tell(Unauthorized("nobody has logged in in time"))
                return POLICY
            data = self.line.receive(patience)
            if data is not None and not self._leaving:
                self._attempt(partial(self._take, data))
        return GOING_AWAY

    @property
    def needs_name(self) -> bool:
        """Whether it ends unless somebody logs in soon."""
        return not (self.caller.is_known or self.container.settings.allow_guests)

    def _arrive(self, arriving: AbstractContextManager[object]) -> None:
        with arriving:
            if not self._leaving:
                self.greet()

    def greet(self) -> None:
        """See who has come, and count them (`admit`). What this raises is told, and ends the socket."""
        raise NotImplementedError

    def ask(self, frame: Frame) -> Job:
        """The job that a message becomes. While it is answered there is no other."""
        raise NotImplementedError

    def recognised(self) -> None:
        """Somebody has logged in after the greeting. What this raises is told."""

    def act(self, frame: Frame) -> None:
        """What a frame of a type of the dialect's own means."""
        raise ValueError(frame.type)

    def admit(self, actor: Actor) -> None:
        """Count the socket among this one's connections. Raises RateLimited."""
        self._place.move(names_of(actor))

    def admit_nobody(self) -> None:
        """Count it under the client's address, until somebody logs in. Raises RateLimited."""
        self._place.move(names_of_nobody(client_address()))

    def follow(self, job: Job, after: int) -> None:
        """Send the answer on, but its first `after` characters, and its end."""
        self._running = job
        context = contextvars.copy_context()
        show = threading.Thread(target=context.run, args=(self._show, job, after, locale()), daemon=True)
        show.start()

    def _take(self, data: str | bytes) -> None:
        frame = self._dialect.read(data, self.container.settings.max_body_kib * KIB)
        running = self._running
        if frame.type == STOP:
            if running is not None:
                self.container.talks.stop(self.caller.actor(), running.id)
        elif frame.type == AUTH:
            self.caller.log_in(frame.text, None if running is None else running.account_id, self.admit)
            self.recognised()
        elif frame.type == MESSAGE:
            if running is not None:
                raise JobRunning()
            job = self.ask(frame)
            self.messages += 1
            self.follow(job, 0)
        else:
            self.act(frame)

    def _show(self, job: Job, after: int, language: str) -> None:
        try:
            self._send_events(job, after, language)
        except ConnectionClosed:
            # Who left comes back and goes on, or doesn't; the answer is written all the same.
            log.debug("nobody follows", job_id=job.id)
        except OSError as error:
            log.info("socket broke", job_id=job.id, reason=type(error).__name__)
            self.line.cut()

    def _send_events(self, job: Job, after: int, language: str) -> None:
        is_first = True
        try:
            for event in self.container.follow(job, after, departure=self._departure):
                if isinstance(event, Chunk):
                    self.line.send(self._dialect.chunk(event, job, is_first=is_first))
                    is_first = False
                elif isinstance(event, Ended):
                    self._ended(job)
                    self.line.send(self._dialect.last(event, language))
        except self.container.outages as error:
            log.warning("following interrupted", job_id=job.id, reason=type(error).__name__)
            self._ended(job)
            self._tell_in(Unavailable(), language, job.id)
        except (ConnectionClosed, OSError):
            raise
        except Exception:
            log.exception("following broke", job_id=job.id)
            self._ended(job)
            self._tell_in(InternalError(), language, job.id)
        finally:
            self._ended(job)

    def _ended(self, job: Job) -> None:
        """The next question may come; it may be here already."""
        if self._running is job:
            self._running = None

    def _attempt(self, act: Callable[[], object]) -> ServiceError | None:
        """Do it, and tell the client what went wrong with it, if something did."""
        try:
            act()
            return None
        except ServiceError as error:
            failure = error
        except self.container.outages as error:
            log.warning("dependency away", reason=type(error).__name__)
            failure = Unavailable()
        except (ConnectionClosed, OSError):
            raise
        except Exception:
            log.exception("frame broke")
            failure = InternalError()
        self._tell(failure)
        return failure

    def _tell(self, error: ServiceError) -> None:
        running = self._running
        self._tell_in(error, locale(), running.id if running is not None and isinstance(error, JobRunning) else None)

    def _tell_in(self, error: ServiceError, language: str, job_id: str | None) -> None:
        if STATUSES[error.code] >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.warning("socket refused", error_code=error.code, reason=str(error))
        self.line.send(self._dialect.error(error, language, self.container.settings.max_body_kib, job_id))
