"""What the use cases need to erase a dialog for good."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from service.domain.dialogs import Session
from service.domain.erasures import Erasure
from service.domain.jobs import Job


@dataclass(frozen=True, slots=True)
class FinalJob:
    """Of a job that is final, what is needed to erase it."""

    id: str
    stream: bool
    finished_at: datetime


class Erasures(Protocol):
    """Deleted sessions, tracks and accounts of which something may be left."""

    def begin(self, session: Session, successor_id: str) -> Erasure | None:
        """Delete a session with its chats, but for those beyond the first hundred, and store that the rest is to be
        erased, in one transaction.

        If it was a default dialog, one with the id `successor_id` takes its place with the next question. None if
        somebody deleted it before.
        """

    def claim(self, lease_seconds: int) -> Erasure | None:
        """The one that has been due longest, for nobody else to claim within so many seconds. None if none is due."""

    def due_again(self, erasure: Erasure, seconds: float) -> None:
        """Have it looked at again so soon."""

    def end(self, erasure: Erasure) -> None:
        """Nothing is left of it."""

    def remove_dialogs(self, session_id: str, limit: int) -> int:
        """Remove the session if a question that came late has opened it once more, and at most so many of its chats and
        of its branches; the larger of the two numbers."""

    def remove_messages(self, session_id: str, limit: int) -> int:
        """Remove at most so many messages; how many that were."""

    def open_jobs(self, erasure: Erasure, limit: int) -> list[Job]:
        """Jobs of it that are not final."""

    def final_jobs(self, erasure: Erasure, limit: int) -> list[FinalJob]:
        """Final jobs of it that have their texts still."""

    def erase_jobs(self, job_ids: Sequence[str]) -> int:
        """Forget the texts of these final jobs; how many there were."""

    def sessions_of_track(self, track_id: str, limit: int) -> list[Session]: ...

    def sessions_of_account(self, account_id: str, limit: int) -> list[Session]: ...


class AccountErasures(Protocol):
    """Deleted accounts. What they said is erased as deleted sessions are; this is the rest of what they had."""

    def begin(self, account_id: str, *, expired_guest: bool = False) -> Erasure | None:
        """Delete an account with its names, logins, endpoints and links, end its keys, and store that the rest is to be
        erased, in one transaction. Wallets and ledger stay.

        None if there is none, or no such guest any more. Raises ValidationFailed if it is the last admin.
        """

    def expired_guests(self, limit: int) -> list[str]:
        """Accounts of guests whose time is over."""

    def end_users(self, account_id: str, limit: int) -> list[str]:
        """Accounts of those whom the programs of this account named, which nobody can reach any more."""

    def remove_belongings(self, account_id: str, limit: int) -> int:
        """Remove its settings, and some of its tracks and deliveries, of these at most so many; how many that were."""

    def is_alone(self, erasure: Erasure) -> bool:
        """Whether all that was deleted with the account is erased; then its keys' rows are removed too."""
