"""What a settled job adds beside the money: a turn to its dialog and a line to the usage sums.

Both are parts of the settling transaction in `money`; they stand alone because dialogs and reports are subjects of
their own.
"""

from pymongo.client_session import ClientSession

from service.adapters.mongo.connection import collection
from service.adapters.mongo.documents import MessageDocument, SessionDocument, UsageDocument
from service.domain.billing import Meter
from service.domain.jobs import Job, JobStatus


def append_turn(session: ClientSession, job: Job, max_context_messages: int) -> None:
    """Store the question and the answer of an answered job, and move its session's saved context on.

    The context moves only if it is still the one that the job was asked in (nobody reset or replaced it meanwhile),
    unless the client brought its own, which then replaces it. A session that is gone stays gone.
    """
    if job.answer is None or job.finished_at is None:
        raise ValueError("only an answered job has a turn")
    turn = [
        {"role": "user", "content": job.message.content},
        {"role": "assistant", "content": job.answer},
    ]
    common = {"$inc": {"message_count": 2}, "$set": {"updated_at": job.finished_at}}
    sessions = collection(SessionDocument)
    if job.replaces_context:
        context = [{"role": m.role, "content": m.content} for m in job.context(max_context_messages)]
        changes = {
            "$inc": {"message_count": 2, "context_version": 1},
            "$set": {"updated_at": job.finished_at, "context": context},
        }
        found = sessions.update_one({"_id": job.session_id}, changes, session=session).matched_count
    else:
        push = {"$push": {"context": {"$each": turn, "$slice": -max_context_messages}}}
        same_context = {"_id": job.session_id, "context_version": job.context_version}
        found = sessions.update_one(same_context, {**common, **push}, session=session).matched_count
        if not found:
            found = sessions.update_one({"_id": job.session_id}, common, session=session).matched_count
    if found:
        _store_messages(session, job, turn)


def _store_messages(session: ClientSession, job: Job, turn: list[dict[str, str]]) -> None:
    rows = [
        {
            "_id": f"{job.id}:{message['role']}",
            "session_id": job.session_id,
            "account_id": job.account_id,
            "job_id": job.id,
            "created_at": job.finished_at,
            "turn": number,
            **message,
        }
        for number, message in enumerate(turn)
    ]
    collection(MessageDocument).insert_many(rows, session=session)


def count_usage(session: ClientSession, job: Job) -> None:
    """Add a final job to the sums of its account, day (UTC) and model. What it was charged counts in tokens only."""
    if job.finished_at is None:
        raise ValueError("only a final job is counted")
    day = job.finished_at.date().isoformat()
    charged = job.charged if job.meter == Meter.TOKENS else 0
    sums = {"jobs": 1, "failed": int(job.status is JobStatus.FAILED), "charged": charged}
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
