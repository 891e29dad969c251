"""What is to be erased: a session's messages and the texts of its jobs, a track's sessions, or all of an account."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

# A question that was being accepted while its session was deleted turns up within this time: far longer than a
# transaction lives.
LATECOMERS = timedelta(minutes=2)


class ErasureKind(StrEnum):
    SESSION = "session"
    TRACK = "track"
    ACCOUNT = "account"


@dataclass(frozen=True, slots=True)
class Erasure:
    """`subject_id` is the id of the session, the track or the account. Nobody sees what is in it any more since
    `created_at`."""

    id: str
    kind: ErasureKind
    subject_id: str
    account_id: str
    created_at: datetime


def erasure_id(kind: ErasureKind, subject_id: str) -> str:
    return f"{kind}:{subject_id}"
