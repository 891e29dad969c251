"""Frames of the learning platform's sockets: those of `frames`, in snake_case, and the history of a chat."""

from typing import Any

from service.api.dialogs import LearningMessage, message_bodies
from service.api.schemas import UsageCount
from service.api.sockets import frames
from service.api.sockets.frames import Frame
from service.domain.dialogs import Message
from service.domain.errors import ServiceError, ValidationFailed
from service.domain.jobs import Job, JobStatus
from service.usecases.follow import Chunk, Ended
from service.usecases.ports import Page

SWITCH = "switch"
_NEEDED = {**frames.NEEDED, SWITCH: "chat_id"}
_CHAT_ID_MAX_CHARACTERS = 128
_MESSAGE = LearningMessage()


def read(data: str | bytes, max_bytes: int) -> Frame:
    """The frame that a client sent; a message may name its chat. Raises as `frames.read` does."""
    frame, fields = frames.read_as(_NEEDED, data, max_bytes)
    chat_id = fields.get("chat_id")
    if chat_id is not None and not (isinstance(chat_id, str) and 0 < len(chat_id) <= _CHAT_ID_MAX_CHARACTERS):
        raise ValidationFailed(details={"chat_id": ["not_string"]})
    return Frame(frame.type, frame.text, chat_id)


def chunk(part: Chunk, job: Job, *, is_first: bool) -> str:
    return frames.frame("chunk", {"content": part.text, "job_id": job.id, **(_place(job) if is_first else {})})


def last(ended: Ended, language: str) -> str:
    """`done`, or `error` for a job that failed."""
    job = ended.job
    if job.status is JobStatus.FAILED:
        return frames.frame("error", {**frames.failed(job, language), "job_id": job.id})
    usage = None if job.usage is None else {name: getattr(job.usage, name) for name in UsageCount().fields}
    return frames.frame("done", {"job_id": job.id, **_place(job), "usage": usage})


def error(failure: ServiceError, language: str, max_kib: int, job_id: str | None = None) -> str:
    return frames.frame("error", {**frames.refused(failure, language, max_kib), "job_id": job_id})


def history(session_id: str, chat_id: str, page: Page[Message]) -> str:
    """The newest messages of a chat, oldest first."""
    messages = [_MESSAGE.dump(body) for body in message_bodies(page.items)]
    place = {"session_id": session_id, "chat_id": chat_id}
    return frames.frame("history", {**place, "messages": messages, "next_cursor": page.next_cursor})


def _place(job: Job) -> dict[str, Any]:
    return {"session_id": job.session_id, "chat_id": job.chat_id}
