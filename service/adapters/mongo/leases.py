"""Named leases: one holder at a time, in the database's own time."""

import math
from typing import cast

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import LeaseDocument

# When a holder dies the next one comes within a second or so of the lease's end; nobody for longer is a break.
BREAK_SECONDS = 2


class MongoLeases:
    def take(self, name: str, holder: str, seconds: int) -> float | None:
        """See `ports.Leases.take`. The condition is part of the update, because an upsert's filter can't ask for
        `$$NOW`; a lease that isn't there yet has no end and is free."""
        me = {"$literal": holder}
        mine = {"$or": [{"$eq": ["$holder", me]}, {"$lt": ["$until", "$$NOW"]}]}
        broken = {"$lt": [{"$add": ["$until", BREAK_SECONDS * 1000]}, "$$NOW"]}
        first = {"$eq": [{"$type": "$until"}, "missing"]}
        changes: Row = {
            "holder": {"$cond": [mine, me, "$holder"]},
            "until": {"$cond": [mine, {"$add": ["$$NOW", seconds * 1000]}, "$until"]},
            "since": {"$cond": [first, None, {"$cond": [broken, "$$NOW", "$since"]}]},
        }
        try:
            found = collection(LeaseDocument).find_one_and_update(
                {"_id": name}, [{"$set": changes}], upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            # Somebody else took it for the first time at the same moment.
            return None
        row = cast(Row, found)
        if row["holder"] != holder:
            return None
        if row["since"] is None:
            return math.inf
        return float((row["until"] - row["since"]).total_seconds()) - seconds
