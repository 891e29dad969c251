"""Search in one's own dialogs."""

from dataclasses import dataclass

from service.domain.accounts import Actor
from service.domain.dialogs import Message, Session
from service.domain.search import snippet, words_of
from service.usecases import ports
from service.usecases.dialogs import scope_of
from service.usecases.owners import Owners


@dataclass(frozen=True, slots=True)
class Found:
    """A message, its session, and the piece of it in which something was found."""

    message: Message
    session: Session
    snippet: str


class SearchService:
    def __init__(self, *, owners: Owners, search: ports.Search) -> None:
        self._owners = owners
        self._search = search

    def __call__(
        self, actor: Actor, user_id: str | None, query: str, cursor: str | None, limit: int
    ) -> ports.Page[Found]:
        """A page of what was said, the most relevant first. Raises ValidationFailed, Forbidden, NotFound."""
        words = words_of(query)
        scope = scope_of(self._owners.party(actor, user_id, "messages.search"))
        page = self._search.find(scope, words, cursor, limit)
        # A deleted session's messages are erased a little later.
        sessions = self._search.sessions({message.session_id for message in page.items})
        found = [
            Found(message, sessions[message.session_id], snippet(message.content, words))
            for message in page.items
            if message.session_id in sessions
        ]
        return ports.Page(found, page.next_cursor)
