"""Search by MongoDB's text index, which begins with the account, so that others' messages cost nothing.

Relevance needs all matches. A word that is everywhere has too many, so at most `MATCHES` are looked at: the index hands
out those of a word that weigh most first.
"""

from collections.abc import Collection, Sequence
from typing import Any

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.dialogs import to_message, to_session
from service.adapters.mongo.documents import MessageDocument, SessionDocument
from service.domain.chat import text_language
from service.domain.dialogs import Message, Session
from service.usecases.ports import DialogScope, Page

MATCHES = 1_000
# Of an account in which others than the one who searches are heard too.
MATCHES_AMONG_OTHERS = 10_000
END_USER_SESSIONS = 1_000


class MongoSearch:
    def __init__(self) -> None:
        self._messages = collection(MessageDocument)
        self._sessions = collection(SessionDocument)

    def find(self, scope: DialogScope, words: Sequence[str], cursor: str | None, limit: int) -> Page[Message]:
        """See `ports.Search.find`."""
        start = 0 if cursor is None else max(0, cursors.decode(cursor, int)[0])
        ids = self._matches(scope, words)
        wanted = ids[start : start + limit]
        rows = {row["_id"]: row for row in self._messages.find({"_id": {"$in": wanted}})}
        found = [to_message(rows[name]) for name in wanted if name in rows]
        more = len(ids) > start + limit
        return Page(found, cursors.encode(start + limit) if more else None)

    def sessions(self, session_ids: Collection[str]) -> dict[str, Session]:
        """See `ports.Search.sessions`."""
        rows = self._sessions.find({"_id": {"$in": list(session_ids)}})
        return {row["_id"]: to_session(row) for row in rows}

    def _matches(self, scope: DialogScope, words: Sequence[str]) -> list[str]:
        """Ids of at most `MATCHES` messages, in their order."""
        line = " ".join(words)
        search = {"$search": line, "$language": text_language(line)}
        criteria: Row = {"account_id": scope.account_id, "$text": search}
        if scope.end_user_id not in (None, scope.account_id):
            return self._among_others(criteria, scope)
        found = self._ids([{"$match": criteria}, {"$limit": MATCHES}])
        if len(found) == MATCHES:
            return found
        return self._ids([{"$match": criteria}, {"$sort": {"score": {"$meta": "textScore"}}}, {"$limit": MATCHES}])

    def _among_others(self, criteria: Row, scope: DialogScope) -> list[str]:
        own = {"end_user_id": scope.end_user_id, "account_id": scope.account_id}
        newest = self._sessions.find(own, {"_id": 1}).sort([("updated_at", -1), ("_id", -1)]).limit(END_USER_SESSIONS)
        said_there = {"session_id": {"$in": [row["_id"] for row in newest]}}
        some: list[Row] = [{"$match": criteria}, {"$limit": MATCHES_AMONG_OTHERS}, {"$match": said_there}]
        return self._ids([*some, {"$limit": MATCHES}])

    def _ids(self, pipeline: list[dict[str, Any]]) -> list[str]:
        return [row["_id"] for row in self._messages.aggregate([*pipeline, {"$project": {"_id": 1}}])]
