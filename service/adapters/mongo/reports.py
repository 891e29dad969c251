"""Sums for bills and for operators."""

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import UsageDocument, WalletDocument
from service.domain.billing import LOSS_ACCOUNT_ID
from service.usecases.ports import UsageTotals

_SUMS = ("jobs", "failed", "prompt_tokens", "cached_tokens", "completion_tokens", "total_tokens", "charged")


class MongoReports:
    def __init__(self) -> None:
        self._usage = collection(UsageDocument)
        self._wallets = collection(WalletDocument)

    def totals(self, account_id: str | None, first_day: str, last_day: str, group: str) -> list[UsageTotals]:
        """See `ports.UsageReports.totals`."""
        criteria: Row = {"day": {"$gte": first_day, "$lte": last_day}}
        if account_id is not None:
            criteria["account_id"] = account_id
        sums = {name: {"$sum": f"${name}"} for name in _SUMS}
        key = "$model" if group == "model" else "$day"
        rows = self._usage.aggregate([{"$match": criteria}, {"$group": {"_id": key, **sums}}, {"$sort": {"_id": 1}}])
        return [UsageTotals(key=row["_id"], **{name: row[name] for name in _SUMS}) for row in rows]

    def mean_and_median(self) -> tuple[float, float]:
        """See `ports.Balances.mean_and_median`. Walks an index of all balances: for overviews, not for requests."""
        people = {"_id": {"$ne": LOSS_ACCOUNT_ID}}
        mean = next(
            iter(self._wallets.aggregate([{"$match": people}, {"$group": {"_id": None, "m": {"$avg": "$available"}}}])),
            {"m": 0.0},
        )["m"]
        count = self._wallets.count_documents(people)
        if not count:
            return 0.0, 0.0
        middle = self._wallets.find(people, {"available": 1}).sort("available", 1)
        pair = [row["available"] for row in middle.skip((count - 1) // 2).limit(2 - count % 2)]
        return float(mean), sum(pair) / len(pair)
