"""Tracks, and what happens to them with their modules, each in one transaction."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession

from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.dialogs import chat_row, session_row, to_chat
from service.adapters.mongo.documents import ChatDocument, ModuleDocument, SessionDocument, TrackDocument
from service.adapters.mongo.modules import begin_module, complete_module, delete_modules, store_modules, to_module
from service.domain.dialogs import Chat, Dialog
from service.domain.errors import NotFound
from service.domain.tracks import Difficulty, Module, Track, TrackStatus
from service.usecases.ports import TrackQuery

_FIELDS = frozenset(field.name for field in fields(Track)) - {"id"}
# By which the database tells times apart.
_TICK = timedelta(milliseconds=1)
_NEWEST_FIRST = [("created_at", -1), ("_id", -1)]


def erase_nothing(_session: ClientSession, _track: Track) -> None:
    """For a store without dialogs."""


class MongoTracks:
    """`erase_dialogs` is called in the transaction that deletes a track: what was said there goes with it."""

    def __init__(
        self, transactions: Transactions, *, erase_dialogs: Callable[[ClientSession, Track], None] = erase_nothing
    ) -> None:
        self._transactions = transactions
        self._erase_dialogs = erase_dialogs
        self._tracks = collection(TrackDocument)
        self._modules = collection(ModuleDocument)
        self._sessions = collection(SessionDocument)
        self._chats = collection(ChatDocument)

    def add(self, track: Track) -> None:
        row = asdict(track)
        row["_id"] = row.pop("id")
        row["difficulty_level"], row["status"] = track.difficulty_level.value, track.status.value
        self._tracks.insert_one(row)

    def get(self, track_id: str) -> Track | None:
        return _maybe(self._tracks.find_one({"_id": track_id}))

    def page(self, query: TrackQuery) -> tuple[list[Track], int]:
        """See `ports.Tracks.page`."""
        criteria = _criteria(query)
        rows = self._tracks.find(criteria).sort(_NEWEST_FIRST).skip((query.page - 1) * query.limit).limit(query.limit)
        return [_to_track(row) for row in rows], self._tracks.count_documents(criteria)

    def count(self, account_id: str, most: int) -> int:
        """See `ports.Tracks.count`."""
        return self._tracks.count_documents({"account_id": account_id}, limit=most)

    def change(self, track_id: str, changes: Mapping[str, Any]) -> Track | None:
        """See `ports.Tracks.change`."""
        plain = {name: str(value) if isinstance(value, str) else value for name, value in changes.items()}
        changed = self._tracks.find_one_and_update(
            {"_id": track_id},
            {"$set": {**plain, "updated_at": datetime.now(UTC)}},
            return_document=ReturnDocument.AFTER,
        )
        return _maybe(changed)

    def delete(self, track: Track) -> bool:
        """See `ports.Tracks.delete`."""

        def transaction(session: ClientSession) -> bool:
            if not self._tracks.delete_one({"_id": track.id}, session=session).deleted_count:
                return False
            delete_modules(session, track.id)
            self._erase_dialogs(session, track)
            return True

        return self._transactions.run(transaction, account_id=track.account_id)

    def modules(self, track_id: str, *, with_content: bool = False) -> list[Module]:
        """See `ports.Tracks.modules`."""
        shown = None if with_content else {"lessons.content": 0}
        return [to_module(row) for row in self._modules.find({"track_id": track_id}, shown).sort("position", 1)]

    def module(self, module_id: str) -> Module | None:
        """See `ports.Tracks.module`."""
        row = self._modules.find_one({"_id": module_id})
        return None if row is None else to_module(row)

    def store_plan(self, track: Track, plan: Mapping[str, Any]) -> bool:
        """See `ports.Tracks.store_plan`."""
        return self._transactions.run(
            lambda session: store_modules(session, track.id, plan), account_id=track.account_id
        )

    def open(self, track: Track, fresh: Dialog) -> str:
        """See `ports.Tracks.open`."""
        return self._transactions.run(lambda session: self._open(session, track.id, fresh), account_id=track.account_id)

    def begin(self, track: Track, module_id: str, fresh: Dialog, chat: Chat) -> Chat:
        """See `ports.Tracks.begin`."""

        def transaction(session: ClientSession) -> Chat:
            module = self._modules.find_one({"_id": module_id}, {"chat_id": 1}, session=session)
            if module is None:
                raise NotFound("module")
            before = module.get("chat_id")
            known = None if before is None else self._chats.find_one({"_id": before}, session=session)
            if known is not None:
                return to_chat(known)
            begun = replace(chat, session_id=self._open(session, track.id, fresh))
            # After the default chat, which may have been opened by somebody else a moment ago.
            opened = self._chats.find_one({"_id": begun.session_id}, {"created_at": 1}, session=session)
            if opened is not None:
                begun = replace(begun, created_at=max(begun.created_at, opened["created_at"] + _TICK))
            self._chats.insert_one(chat_row(begun), session=session)
            begin_module(session, module_id, begun.id, before)
            return begun

        return self._transactions.run(transaction, account_id=track.account_id)

    def complete(self, track: Track, module: Module) -> bool:
        """See `ports.Tracks.complete`."""
        return self._transactions.run(lambda session: complete_module(session, module), account_id=track.account_id)

    def _open(self, session: ClientSession, track_id: str, fresh: Dialog) -> str:
        """The track's session; this one if it has none or if that is gone. Raises NotFound."""
        track = self._tracks.find_one({"_id": track_id}, {"session_id": 1}, session=session)
        if track is None:
            raise NotFound("track")
        known: str | None = track.get("session_id")
        if known is not None and self._sessions.find_one({"_id": known}, {"_id": 1}, session=session) is not None:
            return known
        self._sessions.insert_one(session_row(fresh.session), session=session)
        self._chats.insert_one(chat_row(fresh.chat), session=session)
        self._tracks.update_one({"_id": track_id}, {"$set": {"session_id": fresh.session.id}}, session=session)
        return fresh.session.id


def _criteria(query: TrackQuery) -> Row:
    criteria: Row = {"account_id": query.account_id}
    if query.end_user_id is not None:
        criteria["end_user_id"] = query.end_user_id
    if query.status is not None:
        criteria["status"] = query.status.value
    return criteria


def _maybe(row: Row | None) -> Track | None:
    return None if row is None else _to_track(row)


def _to_track(row: Row) -> Track:
    values = {name: value for name, value in row.items() if name in _FIELDS}
    values["difficulty_level"] = Difficulty(row["difficulty_level"])
    values["status"] = TrackStatus(row["status"])
    return Track(id=row["_id"], **values)
