"""What a job changes beside the money: the dialog that it opens, the turn that it adds there, a line in the usage sums.

All are parts of the reserving and settling transactions in `money`; they stand alone because dialogs and reports are
subjects of their own.
"""

from dataclasses import asdict
from typing import Any

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.dialogs import chat_row, path_rows, session_row
from service.adapters.mongo.documents import (
    BranchDocument,
    ChatDocument,
    MessageDocument,
    SessionDocument,
    UsageDocument,
)
from service.domain.billing import Meter
from service.domain.chat import text_language
from service.domain.dialogs import message_id, preview_of, title_of
from service.domain.errors import JobRunning, NotFound
from service.domain.jobs import Job, JobStatus


def enter_chat(session: ClientSession, job: Job) -> None:
    """Part of the transaction that accepts a job: store the dialog that it opens, and keep others out of its chat.

    Raises JobRunning, and NotFound if the chat has been deleted meanwhile.
    """
    if job.opens is not None:
        # Another first question may have opened it meanwhile.
        rows = ((SessionDocument, session_row(job.opens.session)), (ChatDocument, chat_row(job.opens.chat)))
        for document, row in rows:
            name = {"_id": row.pop("_id")}
            collection(document).update_one(name, {"$setOnInsert": row}, upsert=True, session=session)
    if job.exclusive:
        chats = collection(ChatDocument)
        free = {"_id": job.chat_id, "open_job_id": None}
        if chats.update_one(free, {"$set": {"open_job_id": job.id}}, session=session).matched_count:
            return
        if chats.find_one({"_id": job.chat_id}, {"_id": 1}, session=session) is None:
            raise NotFound("chat")
        raise JobRunning("one question at a time in a chat")


def leave_chat(session: ClientSession, job: Job) -> None:
    """Part of the transaction that ends a job without an answer: its chat takes the next question."""
    if job.exclusive:
        ours = {"_id": job.chat_id, "open_job_id": job.id}
        collection(ChatDocument).update_one(ours, {"$set": {"open_job_id": None}}, session=session)


def append_turn(session: ClientSession, job: Job, max_context_messages: int) -> None:
    """Store the question and the answer of an answered job, and move its chat's saved context on.

    The context moves only if it is still the one that the job was asked in (nobody reset or replaced it meanwhile),
    unless the job replaces it. A dialog that is gone stays gone.
    """
    if job.said is None or job.finished_at is None:
        raise ValueError("only an answered job has a turn")
    has_question = not job.unasked and not (job.fork is not None and job.fork.keeps_question)
    turn = [("user", job.message.content, job.created_at)] if has_question else []
    turn.append(("assistant", job.said, job.finished_at))
    chat: Row | None = collection(ChatDocument).find_one_and_update(
        {"_id": job.chat_id},
        [{"$set": _moved_on(job, len(turn), max_context_messages)}],
        return_document=ReturnDocument.BEFORE,
        session=session,
    )
    if chat is None:
        return
    position, parent_id, branch = chat["length"], chat["leaf_id"], chat["branch"]
    if job.fork is not None:
        position, parent_id, branch = job.fork.position, job.fork.parent_id, job.id
        names = {"_id": job.id, "chat_id": job.chat_id, "session_id": job.session_id}
        row: Row = {**names, "path": path_rows(job.fork.path)}
        collection(BranchDocument).insert_one(row, session=session)
    rows: list[Row] = []
    for role, content, created_at in turn:
        rows.append(
            {
                "_id": message_id(job.id, role),
                "chat_id": job.chat_id,
                "session_id": job.session_id,
                "account_id": chat["account_id"],
                "job_id": job.id,
                "role": role,
                "content": content,
                "language": text_language(content),
                "created_at": created_at,
                "branch": branch,
                "position": position + len(rows),
                "parent_id": rows[-1]["_id"] if rows else parent_id,
            }
        )
    collection(MessageDocument).insert_many(rows, session=session)
    _tell_session(session, job, len(rows))


def _moved_on(job: Job, messages: int, max_context_messages: int) -> Row:
    """The chat after a turn of so many messages, as the values of a `$set` in a pipeline."""
    changes: Row = {
        "updated_at": job.finished_at,
        "message_count": {"$add": ["$message_count", messages]},
        "leaf_id": message_id(job.id, "assistant"),
        "open_job_id": {"$cond": [{"$eq": ["$open_job_id", job.id]}, None, "$open_job_id"]},
        "length": {"$add": ["$length", messages]},
    }
    if job.replaces_context:
        context = [asdict(message) for message in job.context(max_context_messages)]
        changes["context"] = {"$literal": context}
        changes["context_version"] = {"$add": ["$context_version", 1]}
    else:
        turn = {"$literal": [asdict(message) for message in job.context(1 if job.unasked else 2)]}
        longer = {"$slice": [{"$concatArrays": ["$context", turn]}, -max_context_messages]}
        is_same = {"$eq": ["$context_version", job.context_version]}
        changes["context"] = {"$cond": [is_same, longer, "$context"]}
    if job.fork is not None:
        changes["branch"] = job.id
        changes["path"] = {"$literal": path_rows(job.fork.path)}
        changes["length"] = job.fork.position + messages
    return changes


def _tell_session(session: ClientSession, job: Job, messages: int) -> None:
    """What a list of sessions shows of a turn. A session without a title is named after its first question."""
    untitled = {"$eq": ["$title", ""]}
    changes: Row = {
        "title": {"$cond": [untitled, {"$literal": title_of(job.message.content)}, "$title"]},
        "last_message": {"$literal": preview_of(job.said or "")},
        "last_chat_id": job.chat_id,
        "message_count": {"$add": ["$message_count", messages]},
        "updated_at": job.finished_at,
    }
    collection(SessionDocument).update_one({"_id": job.session_id}, [{"$set": changes}], session=session)


def count_usage(session: ClientSession, job: Job) -> None:
    """Add a final job to the sums of its account, day (UTC) and model. What it was charged counts in tokens only."""
    if job.finished_at is None:
        raise ValueError("only a final job is counted")
    day = job.finished_at.date().isoformat()
    charged = job.charged if job.meter == Meter.TOKENS else 0
    sums: dict[str, Any] = {"jobs": 1, "failed": int(job.status is JobStatus.FAILED), "charged": charged}
    if job.usage is not None:
        sums["prompt_tokens"] = job.usage.prompt_tokens
        sums["cached_tokens"] = job.usage.cached_tokens
        sums["completion_tokens"] = job.usage.completion_tokens
        sums["total_tokens"] = job.usage.total_tokens
    collection(UsageDocument).update_one(
        {"_id": f"{job.account_id}:{day}:{job.model}"},
        {"$inc": sums, "$setOnInsert": {"account_id": job.account_id, "day": day, "model": job.model}},
        upsert=True,
        session=session,
    )
