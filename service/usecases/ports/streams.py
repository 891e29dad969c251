"""What the use cases need to show an answer while it is written. Implemented in `service/adapters/redis/`.

A place in an answer is the number of its characters (code points) before it, so that what was shown from here and what
is read from the database later fit together exactly. All of it is best effort: what is lost is read from the database
when the job is final.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol


class AnswerWriter(Protocol):
    """A worker's side: the answers that it is writing."""

    def show(self, job_id: str, text: str) -> None:
        """Let followers see the answer so far; returns at once and is done a few tens of milliseconds later."""

    def end(self, job_id: str) -> None:
        """No more of it will come: show the rest now, and keep it for ten minutes."""

    def erase(self, job_ids: Sequence[str]) -> bool:
        """Forget these answers, and let nobody show more of them. False if that can't be done now."""

    def seal(self, job_id: str) -> str:
        """Let nobody show more of it, and tell what was shown; "" if that isn't known."""


class Followed(Protocol):
    """One client's view of an answer that is being written."""

    @property
    def text(self) -> str:
        """The answer as far as it is known here; it only grows."""

    def ended(self) -> bool:
        """Whether the job is said to be final since this was asked last."""

    def wait(self, seconds: float) -> bool:
        """Wait until there is more to know; False if there was nothing for so long."""

    def ring(self) -> None:
        """End the waiting. For any greenlet."""


class AnswerFollowers(Protocol):
    """A web process's side: the answers that its clients follow, over one connection for all of them."""

    def follow(self, job_id: str, *, live: bool) -> AbstractContextManager[Followed]:
        """Begin to follow; without `live` its text won't be asked for, only its end."""
