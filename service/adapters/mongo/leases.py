"""Named leases: one holder at a time, in the database's own time."""

from typing import cast

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import LeaseDocument


class MongoLeases:
    def take(self, name: str, holder: str, seconds: int) -> bool:
        """See `ports.Leases.take`. The condition is part of the update, because an upsert's filter can't ask for
        `$$NOW`; a lease that isn't there yet has no end and is free."""
        me = {"$literal": holder}
        mine = {"$or": [{"$eq": ["$holder", me]}, {"$lt": ["$until", "$$NOW"]}]}
        until = {"$add": ["$$NOW", seconds * 1000]}
        try:
            row = collection(LeaseDocument).find_one_and_update(
                {"_id": name},
                [{"$set": {"holder": {"$cond": [mine, me, "$holder"]}, "until": {"$cond": [mine, until, "$until"]}}}],
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        except DuplicateKeyError:
            # Somebody else took it for the first time at the same moment.
            return False
        return bool(cast(Row, row)["holder"] == holder)
