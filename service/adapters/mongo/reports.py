"""Sums for bills and for operators."""

from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime

import pymongo
from bson import MinKey

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import FiguresDocument, JobDocument, UsageDocument, WalletDocument
from service.domain.billing import LOSS_ACCOUNT_ID
from service.domain.jobs import JobStatus
from service.usecases.ports import FailureTotals, Figures, RequestTotals, UsageTotals

LATEST = "latest"
# For what is measured in the background and may walk an index of all accounts.
MEASURE_SECONDS = 30
_SUMS = ("jobs", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "total_tokens", "charged")


class MongoReports:
    def __init__(self) -> None:
        self._usage = collection(UsageDocument)
        self._wallets = collection(WalletDocument)
        self._jobs = collection(JobDocument)

    def totals(self, account_id: str | None, first_day: str, last_day: str, group: str) -> list[UsageTotals]:
        """See `ports.UsageReports.totals`."""
        criteria: Row = {"day": {"$gte": first_day, "$lte": last_day}}
        if account_id is not None:
            criteria["account_id"] = account_id
        sums = {name: {"$sum": f"${name}"} for name in _SUMS}
        key = "$model" if group == "model" else "$day"
        pipeline: list[Row] = [{"$match": criteria}, {"$group": {"_id": key, **sums}}, {"$sort": {"_id": 1}}]
        with nullcontext() if account_id is not None else pymongo.timeout(MEASURE_SECONDS):
            rows = list(self._usage.aggregate(pipeline))
        return [UsageTotals(key=row["_id"], **{name: row[name] for name in _SUMS}) for row in rows]

    def failures(self, since: datetime) -> list[FailureTotals]:
        """See `ports.UsageReports.failures`. Walks an index of failed jobs, and no jobs."""
        pipeline: list[Row] = [
            {"$match": {"status": JobStatus.FAILED.value, "finished_at": {"$gte": since}}},
            {"$group": {"_id": "$error_code", "jobs": {"$sum": 1}}},
            {"$sort": {"_id": 1}},
        ]
        with pymongo.timeout(MEASURE_SECONDS):
            return [FailureTotals(row["_id"], row["jobs"]) for row in self._jobs.aggregate(pipeline)]

    def mean_and_median(self) -> tuple[float, float]:
        """See `ports.Balances.mean_and_median`. Walks an index of all balances, and no documents."""
        with pymongo.timeout(MEASURE_SECONDS):
            loss = self._wallets.find_one({"_id": LOSS_ACCOUNT_ID}, {"_id": 0, "available": 1})
            lost = None if loss is None else int(loss["available"])
            everyone: Row = {"available": {"$gte": MinKey()}}
            sums: Row = {"_id": None, "count": {"$sum": 1}, "total": {"$sum": "$available"}}
            rows = list(self._wallets.aggregate([{"$match": everyone}, {"$group": sums}]))
            count = (rows[0]["count"] if rows else 0) - (lost is not None)
            if count < 1:
                return 0.0, 0.0
            mean = (rows[0]["total"] - (lost or 0)) / count
            middle = [self._balance_at(place, lost) for place in ((count - 1) // 2, count // 2)]
        return mean, sum(middle) / 2

    def _balance_at(self, place: int, lost: int | None) -> int:
        """The balance at this place among people's, in order; the operator's losses stand in the same index."""
        found = self._wallets.find({}, {"_id": 0, "available": 1}).sort("available", 1).skip(place).limit(2)
        balances = [int(row["available"]) for row in found]
        return balances[0] if lost is None or balances[0] < lost else balances[1]


class MongoFigures:
    """One document: the newest figures."""

    def __init__(self) -> None:
        self._figures = collection(FiguresDocument)

    def latest(self) -> Figures | None:
        row = self._figures.find_one({"_id": LATEST})
        if row is None:
            return None
        del row["_id"]
        totals = {name: [UsageTotals(**total) for total in row[name]] for name in ("days", "models")}
        # What an older version of the service measured has neither of these.
        told = {
            "failures": [FailureTotals(**each) for each in row.get("failures", ())],
            "requests": [RequestTotals(**each) for each in row.get("requests", ())],
        }
        return Figures(**{**row, **totals, **told})

    def keep(self, figures: Figures) -> None:
        self._figures.replace_one({"_id": LATEST}, asdict(figures), upsert=True)
