"""Compares wallets with their ledger: what a wallet has must be the sum of its entries, at any moment.

Entries are appended in the transaction that changes the wallet and numbered by it, so a wallet as it was read and all
entries up to its number belong together, whatever has been written since.
"""

from dataclasses import dataclass

import pymongo

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import CreditsDocument, LedgerDocument, WalletDocument

# The ledger of a program that asks all day is long.
SUM_SECONDS = 30
KINDS = (WalletDocument, CreditsDocument)


@dataclass(frozen=True)
class Checked:
    """A wallet, and by how much of its unit it differs from its ledger; `whole` says that no entry is missing."""

    wallet_id: str
    drift: int
    whole: bool

    @property
    def right(self) -> bool:
        return self.whole and self.drift == 0


@dataclass(frozen=True)
class Place:
    """Where a walk over all wallets goes on: after which one of which kind."""

    kind: int = 0
    after: str = ""


class MongoLedgerAudit:
    def __init__(self) -> None:
        self._wallets = [collection(kind) for kind in KINDS]
        self._ledger = collection(LedgerDocument)

    def check(self, place: Place, limit: int) -> tuple[list[Checked], Place | None]:
        """The next wallets in the order of their ids; None for a place when these were the last."""
        balances = {"available": 1, "held": 1, "seq": 1}
        rows = list(self._wallets[place.kind].find({"_id": {"$gt": place.after}}, balances).sort("_id", 1).limit(limit))
        checked = [self._checked(row) for row in rows]
        if len(rows) == limit:
            return checked, Place(place.kind, rows[-1]["_id"])
        return checked, Place(place.kind + 1) if place.kind + 1 < len(KINDS) else None

    def _checked(self, wallet: Row) -> Checked:
        pipeline: list[Row] = [
            {"$match": {"account_id": wallet["_id"], "seq": {"$lte": wallet["seq"]}}},
            {
                "$group": {
                    "_id": None,
                    "available": {"$sum": "$available_delta"},
                    "held": {"$sum": "$held_delta"},
                    "entries": {"$sum": 1},
                }
            },
        ]
        with pymongo.timeout(SUM_SECONDS):
            sums = list(self._ledger.aggregate(pipeline))
        total: Row = sums[0] if sums else {"available": 0, "held": 0, "entries": 0}
        drift = abs(wallet["available"] - total["available"]) + abs(wallet["held"] - total["held"])
        return Checked(wallet["_id"], int(drift), total["entries"] == wallet["seq"])
