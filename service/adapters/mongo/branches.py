"""Branches of chats: how one reads and shows them. Jobs begin them, in `turns`."""

from datetime import UTC, datetime

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession

from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.dialogs import path_rows, to_chat
from service.adapters.mongo.documents import BranchDocument, ChatDocument, JobDocument, MessageDocument
from service.domain.dialogs import ROOT_BRANCH, Chat, Message, Segment
from service.domain.errors import JobRunning
from service.domain.jobs import OPEN_STATUSES


class MongoBranches:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._branches = collection(BranchDocument)
        self._chats = collection(ChatDocument)
        self._messages = collection(MessageDocument)
        self._jobs = collection(JobDocument)

    def path(self, branch: str) -> tuple[Segment, ...]:
        """See `ports.Branches.path`."""
        return self._path(branch, None)

    def select(self, message: Message, context_messages: int) -> Chat | None:
        """See `ports.Branches.select`. A turn that comes meanwhile changes the same chat, so one of the two repeats."""

        def transaction(session: ClientSession) -> Chat | None:
            on_branch = {"chat_id": message.chat_id, "branch": message.branch}
            leaf = self._messages.find_one(on_branch, sort=[("position", -1)], session=session)
            if leaf is None:
                return None
            path, length = self._path(message.branch, session), leaf["position"] + 1
            segments = (*path, Segment(message.branch, length))
            changes: Row = {
                "branch": message.branch,
                "path": path_rows(path),
                "length": length,
                "leaf_id": leaf["_id"],
                "context": self._window(session, message.chat_id, segments, context_messages),
                "updated_at": datetime.now(UTC),
            }
            self._refuse_while_open(session, message)
            row = self._chats.find_one_and_update(
                {"_id": message.chat_id},
                {"$set": changes, "$inc": {"context_version": 1}},
                return_document=ReturnDocument.AFTER,
                session=session,
            )
            return None if row is None else to_chat(row)

        return self._transactions.run(transaction)

    def _refuse_while_open(self, session: ClientSession, message: Message) -> None:
        open_ones = {
            "account_id": message.account_id,
            "status": {"$in": [status.value for status in OPEN_STATUSES]},
            "chat_id": message.chat_id,
        }
        if self._jobs.find_one(open_ones, {"_id": 1}, session=session) is not None:
            raise JobRunning("its answer may go on from what is shown now")

    def _path(self, branch: str, session: ClientSession | None) -> tuple[Segment, ...]:
        if branch == ROOT_BRANCH:
            return ()
        row = self._branches.find_one({"_id": branch}, session=session)
        return () if row is None else tuple(Segment(**segment) for segment in row["path"])

    def _window(
        self, session: ClientSession, chat_id: str, segments: tuple[Segment, ...], messages: int
    ) -> list[dict[str, str]]:
        """The last messages of these segments, oldest first."""
        found: list[dict[str, str]] = []
        starts = [0, *(segment.until for segment in segments)]
        for start, segment in reversed(list(zip(starts, segments, strict=False))):
            if segment.until > start and len(found) < messages:
                place = {"chat_id": chat_id, "branch": segment.branch}
                between = {"position": {"$gte": start, "$lt": segment.until}}
                rows = self._messages.find({**place, **between}, {"role": 1, "content": 1}, session=session)
                newest = rows.sort("position", -1).limit(messages - len(found))
                found += [{"role": row["role"], "content": row["content"]} for row in newest]
        return found[::-1]
