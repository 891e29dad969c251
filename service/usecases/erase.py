"""Deleting for good: a session is gone at once, and what was said in it is erased piece by piece.

A request deletes and erases a first piece; upkeep does the rest. The database says what is left, so it goes on wherever
a process died.
"""

import time
from datetime import timedelta
from uuid import uuid4

import structlog

from service.domain.accounts import Actor
from service.domain.dialogs import Session
from service.domain.erasures import LATECOMERS, Erasure, ErasureKind
from service.domain.errors import NotFound
from service.usecases import ports
from service.usecases.dialogs import DialogService
from service.usecases.jobs import JobService

log = structlog.get_logger(__name__)

# Of one piece: what a database does in a fraction of a second.
MESSAGES_BATCH = 1_000
DIALOGS_BATCH = 500
JOBS_BATCH = 200
SESSIONS_BATCH = 20
GUESTS_BATCH = 20
# Of one round of upkeep, which has other things to do as well.
ROUND_SECONDS = 0.5
# For the first latecomers, later ones less often; also, after how long somebody else goes on with what a dead process
# left.
LOOK_SECONDS = 5
# A stream of an answer is forgotten by itself within this time.
STREAMS_LIVE = timedelta(hours=1)


class EraseService:
    def __init__(
        self,
        *,
        erasures: ports.Erasures,
        accounts: ports.AccountErasures,
        dialogs: DialogService,
        jobs: JobService,
        writer: ports.AnswerWriter,
        telemetry: ports.Telemetry,
        clock: ports.Clock,
        outages: tuple[type[Exception], ...],
    ) -> None:
        self._erasures = erasures
        self._accounts = accounts
        self._dialogs = dialogs
        self._jobs = jobs
        self._writer = writer
        self._telemetry = telemetry
        self._clock = clock
        self._outages = outages

    def session(self, actor: Actor, session_id: str) -> None:
        """Delete one's own session. Raises NotFound, Forbidden."""
        session = self._dialogs.session(actor, session_id, "session.delete")
        erasure = self._begin(session)
        if erasure is None:
            raise NotFound("session")
        self.first_piece(erasure)

    def account(self, account_id: str) -> None:
        """Delete an account, which the caller has a right to. Raises NotFound, and ValidationFailed if it is the last
        admin's."""
        erasure = self._begin_account(account_id)
        if erasure is None:
            raise NotFound("account")
        self.first_piece(erasure)

    def first_piece(self, erasure: Erasure) -> None:
        """Begin in the request that deleted it. It is deleted already, so an outage now is no failure."""
        try:
            self._piece(erasure)
        except self._outages as outage:
            log.warning("erasing is left to upkeep", erasure_id=erasure.id, reason=type(outage).__name__)

    def __call__(self) -> None:
        """A round of upkeep: some pieces of what is due."""
        for account_id in self._accounts.expired_guests(GUESTS_BATCH):
            try:
                self._begin_account(account_id, expired_guest=True)
            except self._outages:
                raise
            except Exception:
                log.exception("guest can't be deleted", account_id=account_id)
        over_at = time.monotonic() + ROUND_SECONDS
        while time.monotonic() < over_at:
            erasure = self._erasures.claim(LOOK_SECONDS)
            if erasure is None:
                return
            try:
                more = self._piece(erasure)
            except self._outages:
                raise
            except Exception:
                # One that can't be erased must not keep all the others; it is tried again later.
                log.exception("erasing broke", erasure_id=erasure.id)
                continue
            if more:
                self._erasures.due_again(erasure, 0)
            elif self._is_over(erasure):
                self._erasures.end(erasure)
                log.info("erased", erasure_id=erasure.id)
            else:
                self._erasures.due_again(erasure, self._patience(erasure))

    def _begin(self, session: Session) -> Erasure | None:
        erasure = self._erasures.begin(session, uuid4().hex)
        if erasure is not None:
            self._telemetry.deleted("session")
            log.info("session deleted", session_id=session.id, account_id=session.account_id)
        return erasure

    def _begin_account(self, account_id: str, *, expired_guest: bool = False) -> Erasure | None:
        erasure = self._accounts.begin(account_id, expired_guest=expired_guest)
        if erasure is not None:
            self._telemetry.deleted("account")
            log.info("account deleted", account_id=account_id, expired_guest=expired_guest)
        return erasure

    def _piece(self, erasure: Erasure) -> bool:
        """Erase a piece of it; whether there is more to be done at once."""
        if erasure.kind is ErasureKind.TRACK:
            return self._track_piece(erasure.subject_id)
        if erasure.kind is ErasureKind.SESSION:
            messages, more = self._session_piece(erasure.subject_id)
        else:
            messages, more = self._account_piece(erasure.account_id)
        for job in self._erasures.open_jobs(erasure, JOBS_BATCH):
            self._jobs.stop(job)
        erased, found = self._erase_jobs(erasure)
        if messages or erased:
            self._telemetry.erased("messages", messages)
            self._telemetry.erased("jobs", erased)
            log.info("piece erased", erasure_id=erasure.id, messages=messages, jobs=erased)
        return more or erased == found == JOBS_BATCH

    def _track_piece(self, track_id: str) -> bool:
        """Each of its sessions has an erasure of its own; whether there may be more to be done."""
        sessions = self._erasures.sessions_of_track(track_id, SESSIONS_BATCH)
        for session in sessions:
            self._begin(session)
        return bool(sessions)

    def _session_piece(self, session_id: str) -> tuple[int, bool]:
        """How many messages were removed, and whether there is more to be done. The session comes last: while it is
        there, an account's erasure finds it; no turn is written any more without its chat, so that comes first."""
        dialogs = self._erasures.remove_dialogs(session_id, DIALOGS_BATCH)
        messages = self._erasures.remove_messages(session_id, MESSAGES_BATCH)
        more = dialogs == DIALOGS_BATCH or messages == MESSAGES_BATCH
        if not more:
            self._erasures.remove_session(session_id)
        return messages, more

    def _account_piece(self, account_id: str) -> tuple[int, bool]:
        """The same of some of its sessions; each of its end users has an erasure of its own."""
        sessions, messages = self._erasures.sessions_of_account(account_id, SESSIONS_BATCH), 0
        for session in sessions:
            messages += self._session_piece(session.id)[0]
            if messages >= MESSAGES_BATCH:
                return messages, True
        end_users = self._accounts.end_users(account_id, SESSIONS_BATCH)
        for end_user_id in end_users:
            self._begin_account(end_user_id)
        removed = self._accounts.remove_belongings(account_id, MESSAGES_BATCH)
        return messages, bool(sessions or end_users or removed)

    def _erase_jobs(self, erasure: Erasure) -> tuple[int, int]:
        """How many jobs were erased, and how many there were to erase."""
        jobs = self._erasures.final_jobs(erasure, JOBS_BATCH)
        fresh = self._clock.now() - STREAMS_LIVE
        streamed = {job.id for job in jobs if job.stream and job.finished_at > fresh}
        # Streams first: a job that is marked as erased is not looked at again.
        if streamed and not self._writer.erase(sorted(streamed)):
            jobs = [job for job in jobs if job.id not in streamed]
        return self._erasures.erase_jobs([job.id for job in jobs]), len(jobs)

    def _patience(self, erasure: Erasure) -> float:
        """After how many seconds it is looked at again, of which nothing is left now: the later the older it is, so
        that many deletions at once, as of an account, don't keep the next one waiting."""
        age = (self._clock.now() - erasure.created_at).total_seconds()
        return max(LOOK_SECONDS, min(age, LATECOMERS.total_seconds() - age))

    def _is_over(self, erasure: Erasure) -> bool:
        """Nothing is left, and nothing can come any more."""
        if self._clock.now() - erasure.created_at < LATECOMERS:
            return False
        if erasure.kind is ErasureKind.TRACK:
            return True
        if self._erasures.open_jobs(erasure, 1) or self._erasures.final_jobs(erasure, 1):
            return False
        return erasure.kind is ErasureKind.SESSION or self._accounts.is_alone(erasure)
