"""Compares wallets with their ledger: what a wallet has must be the sum of its entries, at any moment.

Entries are appended in the transaction that changes the wallet and numbered by it, so a wallet as it was read and all
entries up to its number belong together, whatever has been written since.

Most wallets have few entries and rest: those of a batch are summed together, which takes a twentieth of the time. What
doesn't agree at first sight (money has moved meanwhile, or another member of the database answers by now) is read once
more, and summed by itself, piece by piece.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pymongo

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import CreditsDocument, LedgerDocument, WalletDocument
from service.domain.billing import Unit

# Of one query. Pieces are so small that only a database that does nothing else gets near it.
SUM_SECONDS = 30
KINDS = ((Unit.TOKENS, WalletDocument), (Unit.CREDITS, CreditsDocument))
# A wallet with more entries is summed by itself, …
MOST_TOGETHER = 1_000
# … so many at a time: the ledger of a program that asks all day is long.
PIECE = 50_000
_FIELDS = ("available", "held", "seq")
_SUMS: Row = {
    "available": {"$sum": "$available_delta"},
    "held": {"$sum": "$held_delta"},
    "seq": {"$sum": 1},
}
_NOTHING: Row = dict.fromkeys(_FIELDS, 0)


@dataclass(frozen=True)
class Checked:
    """A wallet, and by how much of its unit it differs from its ledger; `whole` says that no entry is missing."""

    wallet_id: str
    unit: Unit
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
    def __init__(self, *, piece: int = PIECE) -> None:
        self._wallets = [collection(document) for _, document in KINDS]
        self._ledger = collection(LedgerDocument)
        self._piece = piece

    def check(self, place: Place, limit: int) -> tuple[list[Checked], Place | None]:
        """The next wallets in the order of their ids; None for a place when these were the last."""
        rows = list(self._wallets[place.kind].find({"_id": {"$gt": place.after}}, _FIELDS).sort("_id", 1).limit(limit))
        sums = self._together([row["_id"] for row in rows if 0 < _number(row, "seq") <= MOST_TOGETHER])
        looked_at = [self._checked(place.kind, row, sums.get(row["_id"], _NOTHING)) for row in rows]
        checked = [wallet for wallet in looked_at if wallet is not None]
        if len(rows) == limit:
            return checked, Place(place.kind, rows[-1]["_id"])
        return checked, Place(place.kind + 1) if place.kind + 1 < len(KINDS) else None

    def _checked(self, kind: int, row: Row, sums: Row) -> Checked | None:
        """None for a wallet that is gone by now."""
        unit = KINDS[kind][0]
        compared = _compared(unit, row, sums)
        if compared.right:
            return compared
        again = self._wallets[kind].find_one({"_id": row["_id"]}, _FIELDS)
        return None if again is None else _compared(unit, again, self._alone(again))

    def _together(self, wallet_ids: Sequence[str]) -> dict[str, Row]:
        """What the ledger has of some wallets, which have no more entries than that if they are right."""
        if not wallet_ids:
            return {}
        entries = {"account_id": {"$in": wallet_ids}, "seq": {"$lte": MOST_TOGETHER}}
        return {row["_id"]: row for row in self._sum(entries, "$account_id")}

    def _alone(self, wallet: Row) -> Row:
        """What the ledger has of one wallet up to its number: entries are never changed, so the pieces agree."""
        total, last = dict(_NOTHING), int(_number(wallet, "seq"))
        for first in range(0, last, self._piece):
            numbers = {"$gt": first, "$lte": min(last, first + self._piece)}
            for sums in self._sum({"account_id": wallet["_id"], "seq": numbers}, None):
                total = {name: total[name] + _number(sums, name) for name in _FIELDS}
        return total

    def _sum(self, criteria: Row, key: str | None) -> list[Row]:
        with pymongo.timeout(SUM_SECONDS):
            return list(self._ledger.aggregate([{"$match": criteria}, {"$group": {"_id": key, **_SUMS}}]))


def _compared(unit: Unit, wallet: Row, sums: Row) -> Checked:
    """A wallet that lacks a number, or has something else in its place, is not whole."""
    drift = sum(abs(_number(wallet, name) - _number(sums, name)) for name in ("available", "held"))
    numbers = all(isinstance(wallet.get(name), int | float) for name in _FIELDS)
    return Checked(wallet["_id"], unit, int(drift), numbers and sums["seq"] == wallet["seq"])


def _number(row: Row, name: str) -> Any:
    value = row.get(name)
    return value if isinstance(value, int | float) else 0
