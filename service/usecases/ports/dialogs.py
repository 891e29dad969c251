"""What the use cases need of the store of sessions, chats and messages."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.chat import ChatMessage
from service.domain.dialogs import Chat, Dialog, DialogStatus, Message, Session
from service.usecases.ports.records import Page


@dataclass(frozen=True, slots=True)
class DialogScope:
    """Whose sessions: all of an account, or those alone that a program keeps there for one end user."""

    account_id: str
    end_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class SessionQuery:
    """A filter over sessions, the one that was talked in last first."""

    scope: DialogScope
    status: DialogStatus | None = None
    track_id: str | None = None
    cursor: str | None = None
    limit: int = 20


class Dialogs(Protocol):
    """What the first question of a dialog creates, and what its answer adds, is written by `Money`."""

    def session(self, session_id: str) -> Session | None: ...

    def chat(self, chat_id: str) -> Chat | None: ...

    def successor(self, session_id: str) -> str | None:
        """Which session takes the place of this default dialog, if it was deleted."""

    def create(self, dialog: Dialog) -> None:
        """Store a session with its default chat, unless it is there already."""

    def add_chat(self, chat: Chat) -> Chat:
        """Store a chat of a session; the one that is there if its id is taken."""

    def save_context(self, chat_id: str, context: Sequence[ChatMessage]) -> None:
        """Replace the saved context of a chat; running jobs no longer add to it."""

    def page(self, query: SessionQuery) -> Page[Session]: ...

    def totals(self, scope: DialogScope) -> tuple[int, int]:
        """How many sessions there are, and how many messages in them."""

    def count(self, scope: DialogScope, most: int) -> int:
        """How many sessions there are, as far as `most`."""

    def count_chats(self, session_id: str, most: int) -> int:
        """How many chats a session has, as far as `most`."""

    def rename(self, session_id: str, title: str) -> Session | None: ...

    def set_status(self, session_id: str, status: DialogStatus) -> Session | None: ...

    def set_chat_status(self, chat_id: str, status: DialogStatus) -> Chat | None: ...

    def visit(self, chat: Chat) -> None:
        """Remember that this is the chat in which its session was talked in last."""

    def chats(self, session_id: str, cursor: str | None, limit: int) -> Page[Chat]:
        """The chats of a session, oldest first, so the default one at the beginning."""

    def messages(self, chat: Chat, cursor: str | None, limit: int) -> Page[Message]:
        """The newest messages of the branch that is shown, oldest first; the next page has those before them."""

    def messages_before(self, chat: Chat, position: int, limit: int) -> list[Message]:
        """The last messages of the shown branch before a position in it, oldest first."""

    def newest(self, session_id: str, limit: int) -> list[Message]:
        """The newest messages of a session, in whichever of its chats, oldest first."""

    def message(self, message_id: str) -> Message | None: ...

    def siblings(self, chat_id: str, parent_ids: Collection[str | None]) -> dict[str | None, list[str]]:
        """The ids of the messages that follow each of these messages, on whatever branch, oldest first."""
