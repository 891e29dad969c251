"""Jobs: claimed, leased and handed back by conditional updates, in the database's own time.

Hosts' clocks may differ, so leases are compared with and set from `$$NOW`. What ends a job is in `money`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import JobDocument
from service.domain.billing import PriceWeights
from service.domain.chat import ChatMessage, Usage
from service.domain.dialogs import Fork, Segment
from service.domain.jobs import FINAL_STATUSES, OPEN_STATUSES, Applies, Job, JobStatus
from service.usecases.ports import JobQuery, Page

_JOB_FIELDS = frozenset(field.name for field in fields(Job))
# A list shows none of them, and a hundred prompts can be many megabytes.
WITHOUT_TEXTS = {"prompt": 0, "answer": 0, "shown": 0}
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def job_row(job: Job) -> Row:
    """The document of a new job, without `announced_at`: that is the database's time, as all times of leases are."""
    row = asdict(replace(job, opens=None))
    row["_id"] = row.pop("id")
    row["prompt"] = [asdict(message) for message in job.prompt]
    row["metadata"] = dict(job.metadata)
    row["status"] = job.status.value
    # As text: a schema has names that no database takes.
    row["options"] = json.dumps(dict(job.options)) if job.options else None
    del row["destinations"], row["opens"]
    return row


def store_new(jobs: Collection[Row], job: Job, session: ClientSession) -> None:
    """Insert a job as announced now, because its first ring follows at once. Raises DuplicateKeyError.

    An upsert that never matches, because an insert can't ask for `$$NOW`.
    """
    row = {"$mergeObjects": [{"$literal": job_row(job)}, {"announced_at": "$$NOW"}]}
    jobs.update_one({"_id": job.id, "attempt": -1}, [{"$replaceWith": row}], upsert=True, session=session)


def to_job(row: Row) -> Job:
    values: dict[str, Any] = {name: value for name, value in row.items() if name in _JOB_FIELDS}
    values["id"] = row["_id"]
    values["weights"] = PriceWeights(**row["weights"])
    values["prompt"] = tuple(ChatMessage(**message) for message in row.get("prompt", ()))
    values["status"] = JobStatus(row["status"])
    values["options"] = json.loads(row.get("options") or "{}")
    values["fork"] = _to_fork(row.get("fork"))
    values["applies"] = None if row.get("applies") is None else Applies(**row["applies"])
    values["usage"] = None if row.get("usage") is None else Usage(**row["usage"])
    return Job(**values)


def _to_fork(row: Row | None) -> Fork | None:
    return None if row is None else Fork(**{**row, "path": tuple(Segment(**segment) for segment in row["path"])})


def _in_seconds(seconds: float) -> Row:
    return {"$add": ["$$NOW", int(seconds * 1000)]}


class MongoJobs:
    def __init__(self) -> None:
        self._jobs = collection(JobDocument)

    def get(self, job_id: str) -> Job | None:
        row = self._jobs.find_one({"_id": job_id})
        return None if row is None else to_job(row)

    def page(self, query: JobQuery) -> Page[Job]:
        """See `ports.Jobs.page`."""
        criteria: Row = {}
        if query.account_id is not None:
            criteria["account_id"] = query.account_id
        if query.end_user_id is not None:
            criteria["end_user_id"] = query.end_user_id
        if query.status is not None:
            criteria["status"] = query.status.value
        if query.cursor is not None:
            created_at, job_id = cursors.decode(query.cursor, *cursors.TIME_AND_ID)
            criteria.update(cursors.older_than(created_at, job_id))
        newest_first = [("created_at", -1), ("_id", -1)]
        rows = list(self._jobs.find(criteria, WITHOUT_TEXTS).sort(newest_first).limit(query.limit + 1))
        jobs = [to_job(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(jobs, cursors.encode(jobs[-1].created_at, jobs[-1].id) if more else None)

    def claim(self, job_id: str, worker_id: str, lease_seconds: int) -> Job | None:
        """See `ports.Jobs.claim`."""
        row = self._jobs.find_one_and_update(
            {"_id": job_id, "status": JobStatus.QUEUED.value},
            [
                {
                    "$set": {
                        "status": JobStatus.RUNNING.value,
                        "attempt": {"$add": ["$attempt", 1]},
                        "worker_id": {"$literal": worker_id},
                        "lease_until": _in_seconds(lease_seconds),
                        "started_at": {"$ifNull": ["$started_at", "$$NOW"]},
                    }
                }
            ],
            return_document=ReturnDocument.AFTER,
        )
        return None if row is None else to_job(row)

    def renew(self, job_ids: Sequence[str], worker_id: str, lease_seconds: int) -> None:
        """See `ports.Jobs.renew`."""
        self._jobs.update_many(
            {"_id": {"$in": list(job_ids)}, "worker_id": worker_id, "status": JobStatus.RUNNING.value},
            [{"$set": {"lease_until": _in_seconds(lease_seconds)}}],
        )

    def show(self, job: Job, text: str) -> bool:
        """See `ports.Jobs.show`."""
        this_attempt = {"_id": job.id, "status": JobStatus.RUNNING.value, "attempt": job.attempt}
        return self._jobs.update_one(this_attempt, {"$set": {"shown": text}}).matched_count == 1

    def cancel_requests(self, job_ids: Sequence[str]) -> set[str]:
        """See `ports.Jobs.cancel_requests`."""
        rows = self._jobs.find({"_id": {"$in": list(job_ids)}, "cancel_requested": True}, {"_id": 1})
        return {row["_id"] for row in rows}

    def request_cancel(self, job_id: str) -> bool:
        """See `ports.Jobs.request_cancel`."""
        running = {"_id": job_id, "status": JobStatus.RUNNING.value}
        return self._jobs.update_one(running, {"$set": {"cancel_requested": True}}).matched_count == 1

    def finished(self, job_ids: Sequence[str]) -> set[str]:
        """See `ports.Jobs.finished`."""
        final = [status.value for status in FINAL_STATUSES]
        rows = self._jobs.find({"_id": {"$in": list(job_ids)}, "status": {"$in": final}}, {"_id": 1})
        return {row["_id"] for row in rows}

    def hand_back(self, job: Job) -> bool:
        """See `ports.Jobs.hand_back`."""
        return self._requeue(job, {"$inc": {"handed_back": 1}})

    def requeue(self, job: Job) -> bool:
        """See `ports.Jobs.requeue`."""
        return self._requeue(job, {})

    def _requeue(self, job: Job, more: Row) -> bool:
        """It counts as never announced, so that upkeep rings for it at once."""
        changes = {
            "$set": {"status": JobStatus.QUEUED.value, "announced_at": _NEVER},
            "$unset": {"lease_until": "", "worker_id": ""},
            **more,
        }
        this_attempt = {
            "_id": job.id,
            "status": JobStatus.RUNNING.value,
            "attempt": job.attempt,
            "cancel_requested": False,
            "shown": None,
        }
        return self._jobs.update_one(this_attempt, changes).matched_count == 1

    def expired(self, limit: int) -> list[Job]:
        """See `ports.Jobs.expired`."""
        over = {"status": JobStatus.RUNNING.value, "$expr": {"$lt": ["$lease_until", "$$NOW"]}}
        return [to_job(row) for row in self._jobs.find(over).sort("lease_until", 1).limit(limit)]

    def due(self, limit: int, *, silent_seconds: int) -> list[str]:
        """See `ports.Jobs.due`."""
        silent = {
            "status": JobStatus.QUEUED.value,
            "$expr": {"$lt": ["$announced_at", {"$subtract": ["$$NOW", silent_seconds * 1000]}]},
        }
        return [row["_id"] for row in self._jobs.find(silent, {"_id": 1}).sort("announced_at", 1).limit(limit)]

    def mark_announced(self, job_ids: Sequence[str]) -> None:
        """See `ports.Jobs.mark_announced`."""
        queued = {"_id": {"$in": list(job_ids)}, "status": JobStatus.QUEUED.value}
        self._jobs.update_many(queued, [{"$set": {"announced_at": "$$NOW"}}])

    def newest_open(self, account_id: str, chat_id: str) -> Job | None:
        """See `ports.Jobs.newest_open`. Reads the open jobs of the account, of which there are few."""
        statuses = [status.value for status in OPEN_STATUSES]
        criteria = {"account_id": account_id, "status": {"$in": statuses}, "chat_id": chat_id}
        row = self._jobs.find_one(criteria, sort=[("created_at", -1), ("_id", -1)])
        return None if row is None else to_job(row)

    def count_open(self, account_id: str, most: int) -> int:
        """See `ports.Jobs.count_open`."""
        statuses = [status.value for status in OPEN_STATUSES]
        criteria = {"account_id": account_id, "status": {"$in": statuses}}
        return self._jobs.count_documents(criteria, limit=most)

    def count_by_status(self) -> dict[str, int]:
        """See `ports.Jobs.count_by_status`: open ones only, of which there are few."""
        return {status.value: self._jobs.count_documents({"status": status.value}) for status in OPEN_STATUSES}
