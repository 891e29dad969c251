"""Sessions, their chats and the messages in them: what is said, whatever surface it came by.

A session is what people see in a list. In it there is a default chat, which has the session's own id, and there may be
more. The messages of a chat are a tree: an edited question, or an answer asked for again, begins a *branch* beside what
was there. One branch is shown and continued; `path` says where the messages before it are.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from service.domain.chat import ChatMessage

TITLE_MAX_CHARACTERS = 200
# Of a title that is made of the first question, and of the beginning of the newest message in a list.
AUTO_TITLE_CHARACTERS = 60
PREVIEW_CHARACTERS = 160
ELLIPSIS = "…"
_DEFAULTS = UUID("7a3f2f57-6d2e-4c38-9d54-0c5c3a1f8f10")
# The branch that every chat begins with.
ROOT_BRANCH = "root"
# How often an edit may be edited in turn: each adds a segment to the path.
MAX_SEGMENTS = 100
# How many messages may stand at one place of a chat: a page of messages tells the ids of all of them.
MAX_SIBLINGS = 100


class DialogStatus(StrEnum):
    """Of a session or a chat."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    COMPLETED = "completed"


class ChatKind(StrEnum):
    DEFAULT = "default"
    EXTRA = "extra"
    MODULE = "module"


@dataclass(frozen=True, slots=True)
class Segment:
    """The messages of `branch` at positions below `until`, from where the segment before this one ends."""

    branch: str
    until: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Where a job's turn begins a branch: at `position`, after the message `parent_id` (None at the beginning).

    `path` leads there from the beginning. With `keeps_question` only the answer is new: the question is that message.
    """

    path: tuple[Segment, ...]
    position: int
    parent_id: str | None
    keeps_question: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A dialog of one account. `title` is empty until its first answer.

    As of a job, `end_user_id` and `external_user_id` say for which end user a program keeps it, if it does.
    """

    id: str
    account_id: str
    channel: str
    created_at: datetime
    updated_at: datetime
    title: str = ""
    status: DialogStatus = DialogStatus.ACTIVE
    track_id: str | None = None
    last_chat_id: str | None = None
    last_message: str = ""
    message_count: int = 0
    end_user_id: str | None = None
    external_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Chat:
    """One line of talk in a session. `context` is the window that the next question continues.

    `length` is the number of messages on the branch that is shown, and `leaf_id` the last of them. `open_job_id` is the
    job that is being answered in it, if it takes one at a time.
    """

    id: str
    session_id: str
    account_id: str
    created_at: datetime
    updated_at: datetime
    kind: ChatKind = ChatKind.DEFAULT
    title: str = ""
    status: DialogStatus = DialogStatus.ACTIVE
    module_id: str | None = None
    context: tuple[ChatMessage, ...] = ()
    context_version: int = 0
    branch: str = ROOT_BRANCH
    path: tuple[Segment, ...] = ()
    length: int = 0
    leaf_id: str | None = None
    message_count: int = 0
    open_job_id: str | None = None
    end_user_id: str | None = None

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The whole branch that is shown, from its beginning to its end."""
        return (*self.path, Segment(self.branch, self.length))


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat, for good. `position` counts from the beginning of its branch's path."""

    id: str
    chat_id: str
    session_id: str
    account_id: str
    job_id: str
    role: str
    content: str
    created_at: datetime
    branch: str
    position: int
    parent_id: str | None


@dataclass(frozen=True, slots=True)
class Dialog:
    """A session with one of its chats."""

    session: Session
    chat: Chat


def default_session_id(account_id: str) -> str:
    """The id of an account's default session: derived, so that it is one read and can't be created twice."""
    return uuid5(_DEFAULTS, account_id).hex


def new_dialog(
    session_id: str,
    account_id: str,
    channel: str,
    now: datetime,
    *,
    title: str = "",
    track_id: str | None = None,
    context: tuple[ChatMessage, ...] = (),
    end_user_id: str | None = None,
    external_user_id: str | None = None,
) -> Dialog:
    """A session and its default chat, with nothing said in it."""
    session = Session(
        id=session_id,
        account_id=account_id,
        channel=channel,
        created_at=now,
        updated_at=now,
        title=title,
        track_id=track_id,
        last_chat_id=session_id,
        end_user_id=end_user_id,
        external_user_id=external_user_id,
    )
    chat = Chat(
        id=session_id,
        session_id=session_id,
        account_id=account_id,
        created_at=now,
        updated_at=now,
        context=context,
        end_user_id=end_user_id,
    )
    return Dialog(session, chat)


def message_id(job_id: str, role: str) -> str:
    """The id of the question (`user`) or the answer (`assistant`) of a job."""
    return f"{job_id}:{role}"


def title_of(question: str) -> str:
    """A title made of the first question."""
    return _shortened(question, AUTO_TITLE_CHARACTERS)


def preview_of(content: str) -> str:
    """The beginning of a message, in one line."""
    return _shortened(content, PREVIEW_CHARACTERS)


def path_before(segments: tuple[Segment, ...], position: int) -> tuple[Segment, ...]:
    """The segments that lead to `position`, which is not among them."""
    path: list[Segment] = []
    for segment in segments:
        path.append(Segment(segment.branch, min(segment.until, position)))
        if segment.until >= position:
            break
    # One that begins and ends at the same place says nothing.
    return tuple(
        segment for number, segment in enumerate(path) if segment.until > (path[number - 1].until if number else 0)
    )


def _shortened(text: str, characters: int) -> str:
    line = " ".join(text[: 4 * characters].split())
    if len(line) <= characters:
        return line
    words = line[: characters - len(ELLIPSIS)].rsplit(" ", 1)
    return (words[0] if len(words[0]) > characters // 2 else line[: characters - len(ELLIPSIS)]) + ELLIPSIS
