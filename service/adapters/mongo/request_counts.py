"""How many requests the API answered a day: one document for each."""

from collections.abc import Mapping

from service.adapters.mongo.connection import collection
from service.adapters.mongo.documents import RequestDayDocument
from service.usecases.ports import RequestTotals


class MongoRequestCounts:
    def __init__(self) -> None:
        self._days = collection(RequestDayDocument)

    def add(self, day: str, requests: int, errors: Mapping[str, int]) -> None:
        """See `ports.RequestCounts.add`."""
        sums = {"requests": requests, **{f"errors.{code}": count for code, count in errors.items()}}
        self._days.update_one({"_id": day}, {"$inc": sums}, upsert=True)

    def since(self, first_day: str) -> list[RequestTotals]:
        """See `ports.RequestCounts.since`."""
        rows = self._days.find({"_id": {"$gte": first_day}}).sort("_id", 1)
        return [RequestTotals(row["_id"], row["requests"], row.get("errors", {})) for row in rows]
