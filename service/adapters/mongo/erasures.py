"""Deleted sessions and accounts: what is gone at once, and what is erased of the rest, piece by piece.

Every step may be repeated, and by two at the same time, so a process that dies in between leaves nothing behind.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.dialogs import to_session
from service.adapters.mongo.documents import (
    BranchDocument,
    ChatDocument,
    ErasureDocument,
    JobDocument,
    MessageDocument,
    SessionDocument,
    SuccessorDocument,
)
from service.adapters.mongo.jobs import to_job
from service.adapters.mongo.links import CHANNEL as LINK_CHANNEL
from service.domain.dialogs import Session, default_session_id
from service.domain.erasures import Erasure, ErasureKind, erasure_id
from service.domain.jobs import FINAL_STATUSES, Job
from service.domain.tracks import Track
from service.usecases.ports import FinalJob

# What a transaction deletes of them, so that it is short; the rest is left to the pieces.
SESSIONS_AT_ONCE = 20
CHATS_AT_ONCE = 100
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class MongoErasures:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._erasures = collection(ErasureDocument)
        self._successors = collection(SuccessorDocument)
        self._sessions = collection(SessionDocument)
        self._messages = collection(MessageDocument)
        self._jobs = collection(JobDocument)

    def begin(self, session: Session, successor_id: str) -> Erasure | None:
        """See `ports.Erasures.begin`."""
        now = datetime.now(UTC)
        row = erasure_row(ErasureKind.SESSION, session.id, session.account_id, now)

        def transaction(database_session: ClientSession) -> bool:
            if not _remove_session(session.id, database_session):
                return False
            store_erasure(database_session, row)
            self._succeed(session, successor_id, database_session)
            return True

        return to_erasure(row) if self._transactions.run(transaction, account_id=session.account_id) else None

    def claim(self, lease_seconds: int) -> Erasure | None:
        """See `ports.Erasures.claim`."""
        row = self._erasures.find_one_and_update(
            {"$expr": {"$lte": ["$next_at", "$$NOW"]}},
            [{"$set": {"next_at": _in_seconds(lease_seconds)}}],
            sort=[("next_at", 1)],
            return_document=ReturnDocument.AFTER,
        )
        return None if row is None else to_erasure(row)

    def due_again(self, erasure: Erasure, seconds: float) -> None:
        """See `ports.Erasures.due_again`."""
        self._erasures.update_one({"_id": erasure.id}, [{"$set": {"next_at": _in_seconds(seconds)}}])

    def end(self, erasure: Erasure) -> None:
        """See `ports.Erasures.end`."""
        self._erasures.delete_one({"_id": erasure.id})

    def remove_dialogs(self, session_id: str, limit: int) -> int:
        """See `ports.Erasures.remove_dialogs`."""
        of_session = {"session_id": session_id}
        chats = _remove_some(collection(ChatDocument), of_session, limit)
        self._sessions.delete_one({"_id": session_id})
        return max(chats, _remove_some(collection(BranchDocument), of_session, limit))

    def remove_messages(self, session_id: str, limit: int) -> int:
        """See `ports.Erasures.remove_messages`."""
        return _remove_some(self._messages, {"session_id": session_id}, limit)

    def open_jobs(self, erasure: Erasure, limit: int) -> list[Job]:
        """See `ports.Erasures.open_jobs`."""
        return [to_job(row) for row in self._jobs.find({**_jobs_of(erasure), "finished_at": None}).limit(limit)]

    def final_jobs(self, erasure: Erasure, limit: int) -> list[FinalJob]:
        """See `ports.Erasures.final_jobs`."""
        final = {**_jobs_of(erasure), "finished_at": {"$gt": _BEGINNING}}
        rows = self._jobs.find(final, {"stream": 1, "finished_at": 1}).limit(limit)
        return [FinalJob(row["_id"], bool(row.get("stream")), row["finished_at"]) for row in rows]

    def erase_jobs(self, job_ids: Sequence[str]) -> int:
        """See `ports.Erasures.erase_jobs`."""
        nothing: Row = {
            "prompt": [],
            "answer": None,
            "options": None,
            "metadata": {"$literal": {}},
            "erased_at": "$$NOW",
        }
        final = {"_id": {"$in": list(job_ids)}, "status": {"$in": [status.value for status in FINAL_STATUSES]}}
        return self._jobs.update_many(final, [{"$set": nothing}, {"$unset": "shown"}]).modified_count

    def sessions_of_track(self, track_id: str, limit: int) -> list[Session]:
        """See `ports.Erasures.sessions_of_track`."""
        return self._some({"track_id": track_id}, limit)

    def sessions_of_account(self, account_id: str, limit: int) -> list[Session]:
        """See `ports.Erasures.sessions_of_account`."""
        return self._some({"account_id": account_id}, limit)

    def _some(self, criteria: Row, limit: int) -> list[Session]:
        return [to_session(row) for row in self._sessions.find(criteria).limit(limit)]

    def _succeed(self, old: Session, successor_id: str, session: ClientSession) -> None:
        moved = {"$set": {"session_id": successor_id}}
        if self._successors.update_one({"session_id": old.id}, moved, session=session).matched_count:
            return
        if old.id == default_session_id(old.account_id) or old.channel == LINK_CHANNEL:
            row = {"$setOnInsert": {"session_id": successor_id, "account_id": old.account_id}}
            self._successors.update_one({"_id": old.id}, row, upsert=True, session=session)


def erase_track(session: ClientSession, track: Track) -> None:
    """Part of the transaction that deletes a track: its sessions are deleted too, those of a large one piece by
    piece."""
    now, of_track = datetime.now(UTC), {"track_id": track.id}
    some = collection(SessionDocument).find(of_track, {"account_id": 1}, session=session).limit(SESSIONS_AT_ONCE)
    for row in some.to_list():
        _remove_session(row["_id"], session)
        store_erasure(session, erasure_row(ErasureKind.SESSION, row["_id"], row["account_id"], now))
    store_erasure(session, erasure_row(ErasureKind.TRACK, track.id, track.account_id, now))


def store_erasure(session: ClientSession, row: Row) -> None:
    """Part of a transaction that deletes something. Once more is as good as once."""
    fields = {name: value for name, value in row.items() if name != "_id"}
    collection(ErasureDocument).update_one({"_id": row["_id"]}, {"$set": fields}, upsert=True, session=session)


def _remove_session(session_id: str, session: ClientSession) -> bool:
    """A session with its chats; False if there was none. Chats come first, as they do with a turn: so the two meet
    there."""
    _remove_some(collection(ChatDocument), {"session_id": session_id}, CHATS_AT_ONCE, session)
    return collection(SessionDocument).delete_one({"_id": session_id}, session=session).deleted_count == 1


def _remove_some(rows: Collection[Row], criteria: Row, limit: int, session: ClientSession | None = None) -> int:
    """Remove at most so many; how many that were."""
    ids = [row["_id"] for row in rows.find(criteria, {"_id": 1}, session=session).limit(limit)]
    if ids:
        rows.delete_many({"_id": {"$in": ids}}, session=session)
    return len(ids)


def _jobs_of(erasure: Erasure) -> Row:
    """Of an account's, those of every session."""
    jobs = {"account_id": erasure.account_id, "erased_at": None}
    return jobs if erasure.kind is ErasureKind.ACCOUNT else {**jobs, "session_id": erasure.subject_id}


def erasure_row(kind: ErasureKind, subject_id: str, account_id: str, now: datetime) -> Row:
    """Due at once."""
    return {
        "_id": erasure_id(kind, subject_id),
        "kind": kind.value,
        "subject_id": subject_id,
        "account_id": account_id,
        "created_at": now,
        "next_at": now,
    }


def to_erasure(row: Row) -> Erasure:
    kind = ErasureKind(row["kind"])
    return Erasure(row["_id"], kind, row["subject_id"], row["account_id"], row["created_at"])


def _in_seconds(seconds: float) -> Row:
    return {"$add": ["$$NOW", int(seconds * 1000)]}
