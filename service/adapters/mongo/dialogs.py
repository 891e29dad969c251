"""Sessions, chats and messages: what is read of them, and what people change about them.

What a question opens and what an answer adds is in `turns`, part of the transactions that move money.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.documents import ChatDocument, MessageDocument, SessionDocument, SuccessorDocument
from service.domain.chat import ChatMessage
from service.domain.dialogs import Chat, ChatKind, Dialog, DialogStatus, Message, Segment, Session
from service.usecases.ports import DialogScope, Page, SessionQuery

_MESSAGE_FIELDS = frozenset(field.name for field in fields(Message))
_NEWEST_FIRST = [("updated_at", -1), ("_id", -1)]


class MongoDialogs:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._sessions = collection(SessionDocument)
        self._chats = collection(ChatDocument)
        self._messages = collection(MessageDocument)
        self._successors = collection(SuccessorDocument)

    def session(self, session_id: str) -> Session | None:
        return _maybe_session(self._sessions.find_one({"_id": session_id}))

    def chat(self, chat_id: str) -> Chat | None:
        return _maybe_chat(self._chats.find_one({"_id": chat_id}))

    def successor(self, session_id: str) -> str | None:
        """See `ports.Dialogs.successor`."""
        row = self._successors.find_one({"_id": session_id})
        return None if row is None else row["session_id"]

    def create(self, dialog: Dialog) -> None:
        """See `ports.Dialogs.create`."""

        def transaction(session: ClientSession) -> None:
            self._sessions.insert_one(session_row(dialog.session), session=session)
            self._chats.insert_one(chat_row(dialog.chat), session=session)

        with suppress(DuplicateKeyError):
            self._transactions.run(transaction)

    def add_chat(self, chat: Chat) -> Chat:
        """See `ports.Dialogs.add_chat`."""
        try:
            self._chats.insert_one(chat_row(chat))
        except DuplicateKeyError:
            return self.chat(chat.id) or chat
        return chat

    def save_context(self, chat_id: str, context: Sequence[ChatMessage]) -> None:
        """See `ports.Dialogs.save_context`."""
        changes = {"$set": {"context": [asdict(message) for message in context]}, "$inc": {"context_version": 1}}
        self._chats.update_one({"_id": chat_id}, changes)

    def page(self, query: SessionQuery) -> Page[Session]:
        """See `ports.Dialogs.page`."""
        criteria = _of(query.scope)
        if query.track_id is not None:
            criteria["track_id"] = query.track_id
        if query.status is not None:
            criteria["status"] = query.status.value
        if query.cursor is not None:
            updated_at, session_id = cursors.decode(query.cursor, *cursors.TIME_AND_ID)
            criteria.update(cursors.older_than(updated_at, session_id, field="updated_at"))
        rows = list(self._sessions.find(criteria).sort(_NEWEST_FIRST).limit(query.limit + 1))
        found = [to_session(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(found, cursors.encode(found[-1].updated_at, found[-1].id) if more else None)

    def totals(self, scope: DialogScope) -> tuple[int, int]:
        """See `ports.Dialogs.totals`. Counted in the index alone."""
        sums = {"$group": {"_id": None, "sessions": {"$sum": 1}, "messages": {"$sum": "$message_count"}}}
        only_what_the_index_has = {"$project": {"_id": 0, "message_count": 1}}
        for row in self._sessions.aggregate([{"$match": _of(scope)}, only_what_the_index_has, sums]):
            return int(row["sessions"]), int(row["messages"])
        return 0, 0

    def count(self, scope: DialogScope, most: int) -> int:
        """See `ports.Dialogs.count`."""
        return self._sessions.count_documents(_of(scope), limit=most)

    def count_chats(self, session_id: str, most: int) -> int:
        """See `ports.Dialogs.count_chats`."""
        return self._chats.count_documents({"session_id": session_id}, limit=most)

    def rename(self, session_id: str, title: str) -> Session | None:
        return self._change(session_id, {"title": title})

    def set_status(self, session_id: str, status: DialogStatus) -> Session | None:
        return self._change(session_id, {"status": status.value})

    def set_chat_status(self, chat_id: str, status: DialogStatus) -> Chat | None:
        row = self._chats.find_one_and_update(
            {"_id": chat_id},
            {"$set": {"status": status.value, "updated_at": datetime.now(UTC)}},
            return_document=ReturnDocument.AFTER,
        )
        return _maybe_chat(row)

    def visit(self, chat: Chat) -> None:
        """See `ports.Dialogs.visit`."""
        self._sessions.update_one({"_id": chat.session_id}, {"$set": {"last_chat_id": chat.id}})

    def chats(self, session_id: str, cursor: str | None, limit: int) -> Page[Chat]:
        """See `ports.Dialogs.chats`."""
        criteria: Row = {"session_id": session_id}
        if cursor is not None:
            created_at, chat_id = cursors.decode(cursor, *cursors.TIME_AND_ID)
            criteria["$or"] = [{"created_at": {"$gt": created_at}}, {"created_at": created_at, "_id": {"$gt": chat_id}}]
        rows = list(self._chats.find(criteria).sort([("created_at", 1), ("_id", 1)]).limit(limit + 1))
        found = [to_chat(row) for row in rows[:limit]]
        return Page(found, cursors.encode(found[-1].created_at, found[-1].id) if len(rows) > limit else None)

    def messages(self, chat: Chat, cursor: str | None, limit: int) -> Page[Message]:
        """See `ports.Dialogs.messages`."""
        before = chat.length if cursor is None else cursors.decode(cursor, int)[0]
        found = self.messages_before(chat, before, limit)
        more = bool(found) and found[0].position > 0
        return Page(found, cursors.encode(found[0].position) if more else None)

    def messages_before(self, chat: Chat, position: int, limit: int) -> list[Message]:
        """See `ports.Dialogs.messages_before`: a query for each segment of the branch that is reached."""
        found: list[Message] = []
        starts = [0, *(segment.until for segment in chat.segments)]
        for start, segment in reversed(list(zip(starts, chat.segments, strict=False))):
            until = min(segment.until, position)
            if until > start and len(found) < limit:
                place = {"chat_id": chat.id, "branch": segment.branch, "position": {"$gte": start, "$lt": until}}
                rows = self._messages.find(place).sort("position", -1).limit(limit - len(found))
                found += [to_message(row) for row in rows]
        return found[::-1]

    def newest(self, session_id: str, limit: int) -> list[Message]:
        """See `ports.Dialogs.newest`."""
        newest_first = [("created_at", -1), ("position", -1)]
        rows = self._messages.find({"session_id": session_id}).sort(newest_first).limit(limit)
        return [to_message(row) for row in rows][::-1]

    def message(self, message_id: str) -> Message | None:
        row = self._messages.find_one({"_id": message_id})
        return None if row is None else to_message(row)

    def siblings(self, chat_id: str, parent_ids: Collection[str | None]) -> dict[str | None, list[str]]:
        """See `ports.Dialogs.siblings`."""
        criteria = {"chat_id": chat_id, "parent_id": {"$in": list(parent_ids)}}
        found: dict[str | None, list[tuple[datetime, str]]] = {}
        for row in self._messages.find(criteria, {"parent_id": 1, "created_at": 1}):
            found.setdefault(row["parent_id"], []).append((row["created_at"], row["_id"]))
        return {parent_id: [name for _, name in sorted(rows)] for parent_id, rows in found.items()}

    def _change(self, session_id: str, changes: Row) -> Session | None:
        row = self._sessions.find_one_and_update(
            {"_id": session_id},
            {"$set": {**changes, "updated_at": datetime.now(UTC)}},
            return_document=ReturnDocument.AFTER,
        )
        return _maybe_session(row)


def _of(scope: DialogScope) -> Row:
    """An end user's index alone has what a program keeps for one."""
    account = {"account_id": scope.account_id}
    return account if scope.end_user_id is None else {"end_user_id": scope.end_user_id, **account}


def session_row(session: Session) -> Row:
    row = asdict(session)
    row["_id"] = row.pop("id")
    row["status"] = session.status.value
    return row


def chat_row(chat: Chat) -> Row:
    row = asdict(replace(chat, context=(), path=()))
    row["_id"] = row.pop("id")
    row["kind"] = chat.kind.value
    row["status"] = chat.status.value
    row["context"] = [asdict(message) for message in chat.context]
    row["path"] = path_rows(chat.path)
    return row


def path_rows(path: Sequence[Segment]) -> list[Row]:
    return [asdict(segment) for segment in path]


def _without_id(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "_id"}


def to_session(row: Row) -> Session:
    return Session(**{**_without_id(row), "id": row["_id"], "status": DialogStatus(row["status"])})


def to_chat(row: Row) -> Chat:
    values = {
        **_without_id(row),
        "id": row["_id"],
        "kind": ChatKind(row["kind"]),
        "status": DialogStatus(row["status"]),
        "context": tuple(ChatMessage(**message) for message in row["context"]),
        "path": tuple(Segment(**segment) for segment in row["path"]),
    }
    return Chat(**values)


def to_message(row: Row) -> Message:
    return Message(id=row["_id"], **{name: value for name, value in row.items() if name in _MESSAGE_FIELDS})


def _maybe_session(row: Row | None) -> Session | None:
    return None if row is None else to_session(row)


def _maybe_chat(row: Row | None) -> Chat | None:
    return None if row is None else to_chat(row)
