"""Dialogs: sessions with their saved context, and the messages stored for good."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import cast

from pymongo import ReturnDocument

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import MessageDocument, SessionDocument
from service.domain.chat import ChatMessage
from service.usecases.ports import Page, Session, StoredMessage

_NAMESPACE = uuid.UUID("7a3f2f57-6d2e-4c38-9d54-0c5c3a1f8f10")


def default_session_id(account_id: str) -> str:
    """The id of an account's default session: derived, so that it is one read and can't be created twice."""
    return uuid.uuid5(_NAMESPACE, account_id).hex


class MongoSessions:
    def __init__(self) -> None:
        self._sessions = collection(SessionDocument)
        self._messages = collection(MessageDocument)

    def ensure(self, account_id: str, session_id: str | None, channel: str) -> Session:
        """See `ports.Sessions.ensure`. One read, and one write on first use."""
        existing = self.find(account_id, session_id)
        if existing is not None:
            return existing
        row = self._sessions.find_one_and_update(
            {"_id": _id(account_id, session_id)},
            {"$setOnInsert": {**new_session(account_id, channel), "context": [], "context_version": 0}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return _to_session(cast(Row, row))

    def find(self, account_id: str, session_id: str | None) -> Session | None:
        row = self._sessions.find_one({"_id": _id(account_id, session_id), "account_id": account_id})
        return None if row is None else _to_session(row)

    def save_context(
        self, account_id: str, session_id: str | None, channel: str, context: Sequence[ChatMessage]
    ) -> None:
        """See `ports.Sessions.save_context`."""
        self._sessions.update_one(
            {"_id": _id(account_id, session_id)},
            {
                "$set": {"context": [asdict(message) for message in context]},
                "$inc": {"context_version": 1},
                "$setOnInsert": new_session(account_id, channel),
            },
            upsert=True,
        )

    def page(self, account_id: str, cursor: str | None, limit: int) -> Page[Session]:
        """Newest first."""
        criteria: Row = {"account_id": account_id}
        if cursor is not None:
            updated_at, session_id = cursors.decode(cursor, *cursors.TIME_AND_ID)
            criteria.update(cursors.older_than(updated_at, session_id, field="updated_at"))
        newest_first = [("updated_at", -1), ("_id", -1)]
        rows = list(self._sessions.find(criteria).sort(newest_first).limit(limit + 1))
        sessions = [_to_session(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(sessions, cursors.encode(sessions[-1].updated_at, sessions[-1].id) if more else None)

    def messages(self, session_id: str, limit: int) -> list[StoredMessage]:
        """See `ports.Sessions.messages`."""
        newest_first = [("created_at", -1), ("turn", -1)]
        rows = self._messages.find({"session_id": session_id}).sort(newest_first).limit(limit)
        return [_to_message(row) for row in rows][::-1]


def _id(account_id: str, session_id: str | None) -> str:
    """Upserts ask for nothing else: only of a filter by the unique field alone the server repeats one that met a twin.

    An id of another kind than the derived one comes from the record of its account.
    """
    return session_id or default_session_id(account_id)


def new_session(account_id: str, channel: str) -> Row:
    """What a session begins with, beside its id and its context."""
    now = datetime.now(UTC)
    return {
        "account_id": account_id,
        "title": "",
        "channel": channel,
        "message_count": 0,
        "created_at": now,
        "updated_at": now,
    }


def _to_session(row: Row) -> Session:
    return Session(
        id=row["_id"],
        account_id=row["account_id"],
        title=row["title"],
        channel=row["channel"],
        context=tuple(ChatMessage(**message) for message in row["context"]),
        context_version=row["context_version"],
        message_count=row["message_count"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _to_message(row: Row) -> StoredMessage:
    return StoredMessage(
        id=row["_id"],
        session_id=row["session_id"],
        role=row["role"],
        content=row["content"],
        job_id=row["job_id"],
        created_at=row["created_at"],
    )
