"""What the use cases need of the branches of a chat: what an edited question or a repeated one began."""

from typing import Protocol

from service.domain.dialogs import Chat, Message, Segment


class Branches(Protocol):
    def path(self, branch: str) -> tuple[Segment, ...]:
        """What leads to the beginning of a branch; nothing to the one that the chat began with."""

    def select(self, message: Message, context_messages: int) -> Chat | None:
        """Show the branch of this message, to its end, and continue it: so many of its last messages are the context.

        None if the chat or the message is gone. Raises JobRunning while a question is open in the chat.
        """
