"""What the use cases need to read whole dialogs, from their beginning."""

from typing import Protocol

from service.domain.dialogs import Chat, Message


class Transcripts(Protocol):
    def line(self, chat: Chat, position: int, limit: int) -> list[Message]:
        """The messages of the shown branch from a position on, oldest first."""

    def everything(self, chat_id: str, after: Message | None, limit: int) -> list[Message]:
        """Messages of all branches that follow this one, branch by branch, the one that the chat began with first."""
