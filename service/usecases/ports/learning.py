"""What the learning platform needs of the outside: tracks with their modules, and what people set for their tutor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.domain.dialogs import Chat, Dialog
from service.domain.tracks import Module, Track, TrackStatus
from service.domain.tutor import TutorConfig


@dataclass(frozen=True, slots=True)
class TrackQuery:
    """A page, from 1, of an account's tracks, or of those alone that were made there for an end user; newest first."""

    account_id: str = ""
    end_user_id: str | None = None
    status: TrackStatus | None = None
    page: int = 1
    limit: int = 20


class Tracks(Protocol):
    def add(self, track: Track) -> None: ...

    def get(self, track_id: str) -> Track | None: ...

    def page(self, query: TrackQuery) -> tuple[list[Track], int]:
        """The page and the total number of matches."""

    def count(self, account_id: str, most: int) -> int:
        """How many tracks the account has, counting no further than `most`."""

    def change(self, track_id: str, changes: Mapping[str, Any]) -> Track | None:
        """Set these fields; None if it is gone."""

    def delete(self, track: Track) -> bool:
        """Delete it with its modules and what was said in its dialogs; False if it was gone. One transaction."""

    def modules(self, track_id: str, *, with_content: bool = False) -> list[Module]:
        """The track's modules in their order, with their lessons' material only if that is asked for."""

    def module(self, module_id: str) -> Module | None:
        """The module with all there is."""

    def store_plan(self, track: Track, plan: Mapping[str, Any]) -> bool:
        """Replace the track's modules by those of a plan; False if they are these already. One transaction.

        Modules that the plan has unchanged keep their status, chat and material.
        """

    def open(self, track: Track, fresh: Dialog) -> str:
        """The id of the session that the track is planned and learned in; `fresh` is stored if it has none any more.

        Raises NotFound if the track is gone. One transaction.
        """

    def begin(self, track: Track, module_id: str, fresh: Dialog, chat: Chat) -> Chat:
        """The module's chat; `chat` is stored in the track's session, and the module begun, if it has none any more.

        Raises NotFound if it is gone. One transaction.
        """

    def complete(self, track: Track, module: Module) -> bool:
        """Complete the module and move the track's progress; False if it was complete already. One transaction."""


class TutorConfigs(Protocol):
    def get(self, account_id: str) -> TutorConfig:
        """What the account has set, which may be nothing."""

    def change(self, account_id: str, changes: Mapping[str, Any]) -> TutorConfig:
        """Set these fields, None meaning that nothing is set; all that is set now."""
