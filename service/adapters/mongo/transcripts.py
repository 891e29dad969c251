"""Whole dialogs, read from their beginning page by page."""

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.dialogs import to_message
from service.adapters.mongo.documents import MessageDocument
from service.domain.dialogs import Chat, Message

# Against the order of their index. The first branch's name comes after all others, which are numbers.
_BRANCH_BY_BRANCH = [("branch", -1), ("position", 1)]


class MongoTranscripts:
    def __init__(self) -> None:
        self._messages = collection(MessageDocument)

    def line(self, chat: Chat, position: int, limit: int) -> list[Message]:
        """See `ports.Transcripts.line`: a query for each segment of the branch that is reached."""
        found: list[Message] = []
        start = 0
        for segment in chat.segments:
            begin = max(start, position)
            if segment.until > begin and len(found) < limit:
                place = {"chat_id": chat.id, "branch": segment.branch}
                between = {"position": {"$gte": begin, "$lt": segment.until}}
                rows = self._messages.find({**place, **between}).sort("position", 1).limit(limit - len(found))
                found += [to_message(row) for row in rows]
            start = segment.until
        return found

    def everything(self, chat_id: str, after: Message | None, limit: int) -> list[Message]:
        """See `ports.Transcripts.everything`."""
        criteria: Row = {"chat_id": chat_id}
        if after is not None:
            further = {"branch": after.branch, "position": {"$gt": after.position}}
            criteria["$or"] = [{"branch": {"$lt": after.branch}}, further]
        rows = self._messages.find(criteria).sort(_BRANCH_BY_BRANCH).limit(limit)
        return [to_message(row) for row in rows]
