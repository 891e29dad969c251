"""A session to take away: all its chats, read page by page, so that the longest costs no more memory than the first."""

from collections.abc import Iterator

from service.domain.accounts import Actor
from service.domain.dialogs import Chat, Message, Session
from service.usecases import ports
from service.usecases.dialogs import DialogService

MESSAGES_PAGE = 500
CHATS_PAGE = 100


class ExportService:
    def __init__(
        self, *, dialogs: DialogService, store: ports.Dialogs, transcripts: ports.Transcripts, clock: ports.Clock
    ) -> None:
        self._dialogs = dialogs
        self._store = store
        self._transcripts = transcripts
        self.now = clock.now

    def session(self, actor: Actor, session_id: str) -> Session:
        """Raises NotFound, Forbidden."""
        return self._dialogs.session(actor, session_id, "session.export")

    def chats(self, session: Session) -> Iterator[Chat]:
        """The default one first."""
        cursor: str | None = None
        while True:
            page = self._store.chats(session.id, cursor, CHATS_PAGE)
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def line(self, chat: Chat) -> Iterator[list[Message]]:
        """What the chat shows, in pages."""
        position = 0
        while page := self._transcripts.line(chat, position, MESSAGES_PAGE):
            yield page
            position = page[-1].position + 1

    def everything(self, chat: Chat) -> Iterator[list[Message]]:
        """What was said on any of its branches, in pages."""
        page: list[Message] = []
        while page := self._transcripts.everything(chat.id, page[-1] if page else None, MESSAGES_PAGE):
            yield page
