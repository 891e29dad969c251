"""The audit trail: who looked at or changed what belongs to somebody else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import structlog

from service.domain.accounts import Actor
from service.domain.errors import ServiceError
from service.usecases import ports

log = structlog.get_logger(__name__)


class Auditor:
    def __init__(self, *, trail: ports.Audit, clock: ports.Clock) -> None:
        self._trail = trail
        self._clock = clock

    def record(self, actor: Actor, action: str, subject_id: str, **details: Any) -> None:
        """Store one line about a read. Call it before the thing is shown, so that nothing is seen unrecorded."""
        self._record(actor, action, subject_id, details, "done")

    @contextmanager
    def change(self, actor: Actor, action: str, subject_id: str, **details: Any) -> Iterator[None]:
        """Record the change that the body of this `with` makes: `started` before it, then `done`, or why it failed.

        A line that stays `started` is of a process that died under way.
        """
        entry_id = self._record(actor, action, subject_id, details, "started")
        try:
            yield
        except ServiceError as error:
            self._trail.finish(entry_id, error.code)
            raise
        self._trail.finish(entry_id, "done")

    def _record(self, actor: Actor, action: str, subject_id: str, details: dict[str, Any], outcome: str) -> str:
        entry = ports.AuditEntry(
            id=uuid4().hex,
            actor_id=actor.record_id,
            action=action,
            subject_id=subject_id,
            details=details,
            outcome=outcome,
            request_id=actor.request_id,
            created_at=self._clock.now(),
        )
        self._trail.record(entry)
        log.info("audited", action=action, actor_id=actor.record_id, subject_id=subject_id, outcome=outcome)
        return entry.id

    def page(self, subject_id: str | None, cursor: str | None, limit: int) -> ports.Page[ports.AuditEntry]:
        """Newest first, of one subject or of all."""
        return self._trail.page(subject_id, cursor, limit)
