"""What the use cases need to search in dialogs."""

from collections.abc import Collection, Sequence
from typing import Protocol

from service.domain.dialogs import Message, Session
from service.usecases.ports.dialogs import DialogScope
from service.usecases.ports.records import Page


class Search(Protocol):
    def find(self, scope: DialogScope, words: Sequence[str], cursor: str | None, limit: int) -> Page[Message]:
        """Messages with any of these words in any of their forms, the most relevant first; of very many, some."""

    def sessions(self, session_ids: Collection[str]) -> dict[str, Session]:
        """Those of these sessions that there are."""
