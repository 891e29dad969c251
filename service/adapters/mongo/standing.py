"""How things stand in the database right now, for operators: each figure is read off an index, in the database's own
time."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import (
    DeliveryDocument,
    ErasureDocument,
    JobDocument,
    LeaseDocument,
    PaymentDocument,
    WalletDocument,
)
from service.domain.billing import LOSS_ACCOUNT_ID
from service.domain.jobs import OPEN_STATUSES
from service.domain.payments import PaymentStatus
from service.domain.webhooks import DeliveryStatus

# The first try of a delivery is due "five minutes ago" by any clock, so the one that waits longest is not simply first.
OVERDUE_BATCH = 200
# Refunds whose age is looked at: so many are never open at once.
REFUNDS_BATCH = 1_000
OPEN_PAYMENTS = (PaymentStatus.PENDING, PaymentStatus.REFUNDING)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class OpenJobs:
    """Jobs in one open state, each with a hold, and for how long the oldest has been open; 0 seconds without any."""

    count: int
    oldest_seconds: float


class MongoStanding:
    def __init__(self) -> None:
        self._jobs = collection(JobDocument)
        self._deliveries = collection(DeliveryDocument)
        self._payments = collection(PaymentDocument)
        self._leases = collection(LeaseDocument)
        self._erasures = collection(ErasureDocument)
        self._wallets = collection(WalletDocument)

    def open_jobs(self) -> dict[str, OpenJobs]:
        """By state: `queued`, `running`."""
        return {status.value: self._open(status.value) for status in OPEN_STATUSES}

    def _open(self, status: str) -> OpenJobs:
        count = self._jobs.count_documents({"status": status})
        order = {"created_at": 1, "_id": 1}
        return OpenJobs(count, self._oldest(self._jobs, {"status": status}, order, "$created_at"))

    def waiting_deliveries(self) -> int:
        """Webhooks that have not reached their receiver and still may."""
        return self._deliveries.count_documents({"status": DeliveryStatus.PENDING.value})

    def overdue_delivery_seconds(self) -> float:
        """For how long the webhook that is due since longest has been waiting for a worker."""
        since = {"$max": ["$next_at", "$created_at"]}
        pipeline: list[Row] = [
            {"$match": {"status": DeliveryStatus.PENDING.value}},
            {"$sort": {"next_at": 1}},
            {"$limit": OVERDUE_BATCH},
            {"$group": {"_id": None, "late": {"$max": {"$subtract": ["$$NOW", since]}}}},
        ]
        rows = list(self._deliveries.aggregate(pipeline, hint="due"))
        return max(0.0, rows[0]["late"] / 1000) if rows else 0.0

    def open_payments(self) -> dict[str, int]:
        """By state: how many are neither paid nor cancelled, or being refunded."""
        return {status.value: self._payments.count_documents({"status": status.value}) for status in OPEN_PAYMENTS}

    def overdue_payment_seconds(self) -> float:
        """For how long the open payment that should have been asked about first has been waiting for that."""
        due = {"next_check_at": {"$gt": _BEGINNING}}
        return self._oldest(self._payments, due, {"next_check_at": 1}, "$next_check_at")

    def oldest_refund_seconds(self) -> float:
        """For how long the oldest refund has been neither done nor refused."""
        pipeline: list[Row] = [
            {"$match": {"status": PaymentStatus.REFUNDING.value}},
            {"$limit": REFUNDS_BATCH},
            {"$group": {"_id": None, "age": {"$max": {"$subtract": ["$$NOW", "$refund.requested_at"]}}}},
        ]
        rows = list(self._payments.aggregate(pipeline))
        return max(0.0, rows[0]["age"] / 1000) if rows else 0.0

    def erasures(self) -> tuple[int, float]:
        """How many deleted sessions, tracks and accounts are not wholly erased yet, and for how long the oldest isn't.

        Even an empty one stays for some minutes, for latecomers.
        """
        count = self._erasures.estimated_document_count()
        return count, self._oldest(self._erasures, {}, {"created_at": 1}, "$created_at")

    def loss_tokens(self) -> int:
        """What the provider has used beyond all holds, ever, and nobody was charged for."""
        row = self._wallets.find_one({"_id": LOSS_ACCOUNT_ID}, {"available": 1})
        return int(row["available"]) if row else 0

    def idle_seconds(self, lease: str) -> float | None:
        """For how long nobody has held a lease: 0 while somebody does; None if nobody ever did."""
        pipeline: list[Row] = [
            {"$match": {"_id": lease}},
            {"$project": {"age": {"$subtract": ["$$NOW", "$until"]}}},
        ]
        rows = list(self._leases.aggregate(pipeline))
        return max(0.0, rows[0]["age"] / 1000) if rows else None

    def _oldest(self, rows: Any, criteria: Row, order: Row, since: str) -> float:
        age = {"$subtract": ["$$NOW", since]}
        pipeline = [{"$match": criteria}, {"$sort": order}, {"$limit": 1}, {"$project": {"_id": 0, "age": age}}]
        found = list(rows.aggregate(pipeline))
        return max(0.0, found[0]["age"] / 1000) if found else 0.0
