"""The audit trail. Written by use cases, read by staff; only an outcome is ever added."""

import structlog

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import AuditDocument
from service.adapters.outages import OUTAGES
from service.usecases.ports import AuditEntry, Page

log = structlog.get_logger(__name__)


class MongoAudit:
    def __init__(self) -> None:
        self._audit = collection(AuditDocument)

    def record(self, entry: AuditEntry) -> None:
        """Store one line."""
        self._audit.insert_one(
            {
                "_id": entry.id,
                "actor_id": entry.actor_id,
                "action": entry.action,
                "subject_id": entry.subject_id,
                "details": dict(entry.details),
                "outcome": entry.outcome,
                "request_id": entry.request_id,
                "created_at": entry.created_at,
            }
        )

    def finish(self, entry_id: str, outcome: str) -> None:
        """Say how a started change ended. It is made by now, so an outage here must not look like its failure."""
        try:
            self._audit.update_one({"_id": entry_id}, {"$set": {"outcome": outcome}})
        except OUTAGES as outage:
            log.error("audit line left open", audit_id=entry_id, outcome=outcome, reason=type(outage).__name__)

    def page(self, subject_id: str | None, cursor: str | None, limit: int) -> Page[AuditEntry]:
        """Newest first."""
        criteria: Row = {} if subject_id is None else {"subject_id": subject_id}
        if cursor is not None:
            created_at, entry_id = cursors.decode(cursor, *cursors.TIME_AND_ID)
            criteria.update(cursors.older_than(created_at, entry_id))
        rows = list(self._audit.find(criteria).sort([("created_at", -1), ("_id", -1)]).limit(limit + 1))
        entries = [_to_entry(row) for row in rows[:limit]]
        more = len(rows) > limit
        return Page(entries, cursors.encode(entries[-1].created_at, entries[-1].id) if more else None)


def _to_entry(row: Row) -> AuditEntry:
    return AuditEntry(id=row["_id"], **{name: value for name, value in row.items() if name != "_id"})
