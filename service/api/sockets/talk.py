"""One WebSocket from its first frame to its last.

One greenlet reads the frames and does what they say, another follows the answer that is being written. A failure is
told in an `error` frame and the socket goes on; only a bad token or session that it came with ends it.
"""

import contextvars
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus

import structlog
from simple_websocket import ConnectionClosed

from service.api.arguments import KIB
from service.api.auth import client_address
from service.api.errors import STATUSES
from service.api.sockets import frames
from service.api.sockets.callers import Caller
from service.api.sockets.line import Line
from service.api.state import locale, services
from service.domain.accounts import Actor
from service.domain.errors import InternalError, JobRunning, ServiceError, Unauthorized, Unavailable
from service.domain.jobs import Job
from service.usecases.connections import names_of, names_of_nobody
from service.usecases.follow import Chunk, Departure, Ended
from service.usecases.jobs import check_message

log = structlog.get_logger(__name__)

GOING_AWAY = 1001
POLICY = 1008
LATER = 1013
# How long somebody may stay whom nobody knows, where guests are not allowed.
NAMELESS_SECONDS = 20.0


class Talk:
    def __init__(self, line: Line, token: str | None) -> None:
        self._line = line
        self._caller = Caller(token)
        self._container = services()
        self._running: Job | None = None
        self._leaving = False
        self._departure = Departure()
        self._place = self._container.connections.nowhere()
        self.messages = 0

    def leave(self) -> None:
        """Have the socket closed because this process ends. Returns at once; for any greenlet."""
        self._leaving = True
        self._line.ring()

    def end(self) -> None:
        """The client is gone: nobody need follow its answer any more. Returns at once."""
        self._departure.announce()
        self._place.leave()

    def __call__(self, arriving: AbstractContextManager[object], session_id: str | None, after: int | None) -> int:
        """Talk until somebody ends it; the code to close with. Who it is is looked up while `arriving`."""
        with arriving:
            refusal = self._begin(session_id, after)
        if refusal is not None:
            return LATER if STATUSES[refusal.code] >= HTTPStatus.TOO_MANY_REQUESTS else POLICY
        named_until = time.monotonic() + NAMELESS_SECONDS
        while not self._leaving:
            patience = named_until - time.monotonic() if self._needs_name else None
            if patience is not None and patience <= 0:
                self._tell(Unauthorized("nobody has logged in in time"))
                return POLICY
            data = self._line.receive(patience)
            if data is not None and not self._leaving:
                self._attempt(partial(self._take, data))
        return GOING_AWAY

    @property
    def _needs_name(self) -> bool:
        return not (self._caller.is_known or self._container.settings.allow_guests)

    def _begin(self, session_id: str | None, after: int | None) -> ServiceError | None:
        """Check what the socket came with, and go on where the client left. Returns why it may not stay."""
        if self._caller.is_known or session_id is not None:
            return self._attempt(lambda: self._resume(self._caller.actor(), session_id, after))
        return self._attempt(lambda: self._place.move(names_of_nobody(client_address())))

    def _admit(self, actor: Actor) -> None:
        """Count the socket among this one's connections. Raises RateLimited."""
        self._place.move(names_of(actor))

    def _resume(self, actor: Actor, session_id: str | None, after: int | None) -> None:
        self._admit(actor)
        if session_id is not None:
            self._container.talks.check_session(actor, session_id)
        if after is None:
            return
        job = self._container.talks.last(actor)
        if job is not None:
            self._follow(job, after)

    def _take(self, data: str | bytes) -> None:
        frame = frames.read(data, self._container.settings.max_body_kib * KIB)
        if frame.type == frames.STOP:
            self._stop()
        elif frame.type == frames.AUTH:
            running = self._running
            self._caller.log_in(frame.text, None if running is None else running.account_id, self._admit)
        else:
            if self._running is not None:
                raise JobRunning()
            # Before somebody becomes a guest for it.
            check_message(frame.text)
            actor = self._caller.actor_or_guest()
            self._admit(actor)
            job = self._container.talks.say(actor, frame.text)
            self.messages += 1
            self._follow(job, 0)

    def _stop(self) -> None:
        running = self._running
        if running is not None:
            self._container.talks.stop(self._caller.actor(), running.id)

    def _follow(self, job: Job, after: int) -> None:
        self._running = job
        context = contextvars.copy_context()
        follow = threading.Thread(target=context.run, args=(self._show, job, after, locale()), daemon=True)
        follow.start()

    def _show(self, job: Job, after: int, language: str) -> None:
        try:
            self._send_events(job, after, language)
        except ConnectionClosed:
            # Who left comes back and goes on, or doesn't; the answer is written all the same.
            log.debug("nobody follows", job_id=job.id)
        except OSError as error:
            log.info("socket broke", job_id=job.id, reason=type(error).__name__)
            self._line.cut()

    def _send_events(self, job: Job, after: int, language: str) -> None:
        is_first = True
        try:
            for event in self._container.follow(job, after, departure=self._departure):
                if isinstance(event, Chunk):
                    self._line.send(frames.chunk(event, job, is_first=is_first))
                    is_first = False
                elif isinstance(event, Ended):
                    self._ended(job)
                    self._line.send(frames.last(event, language))
        except self._container.outages as error:
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
        except self._container.outages as error:
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
        self._line.send(frames.error(error, language, self._container.settings.max_body_kib, job_id))
