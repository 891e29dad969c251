"""Wallets and their ledgers: what every movement of money is made of, whatever it is counted in.

Everything here is part of a transaction of `money` or one built like it. Ids of ledger entries are derived from what
caused them: doing a thing twice is a duplicate key, not a second charge.
"""

from datetime import UTC, datetime
from typing import cast

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import CreditsDocument, LedgerDocument, WalletDocument
from service.domain.billing import LOSS_ACCOUNT_ID, SYSTEM_ACTOR_ID, EntryKind, Unit, Wallet, unit_of
from service.domain.errors import AccountLinked, BalanceTooLow, NotFound
from service.usecases.ports import LedgerEntry, Movement, Page


class Wallets:
    def __init__(self) -> None:
        self.tokens = collection(WalletDocument)
        self.credits = collection(CreditsDocument)
        self._ledger = collection(LedgerDocument)

    def of(self, wallet_id: str) -> Collection[Row]:
        """Where a wallet is kept: those of credits stand apart, so that lists by balance are of tokens alone."""
        return self.credits if unit_of(wallet_id) is Unit.CREDITS else self.tokens

    def get(self, wallet_id: str, session: ClientSession | None = None) -> Row | None:
        row: Row | None = self.of(wallet_id).find_one({"_id": wallet_id}, session=session)
        return row

    def change(self, session: ClientSession, wallet_id: str, available: int, held: int, used: int = 0) -> Row:
        """Add to what is available and held, and to the `used` tokens; the wallet as it is then. Raises NotFound."""
        added = {"available": available, "held": held, "seq": 1}
        if unit_of(wallet_id) is Unit.TOKENS:
            added["total_tokens"] = used
        row = self.of(wallet_id).find_one_and_update(
            {"_id": wallet_id}, {"$inc": added}, return_document=ReturnDocument.AFTER, session=session
        )
        if row is None:
            raise NotFound("wallet")
        return row

    def count_used(self, session: ClientSession, account_id: str, used: int) -> Row:
        """Add tokens that were used and not paid for in tokens; the account's wallet. Raises NotFound."""
        row = self.tokens.find_one_and_update(
            {"_id": account_id},
            {"$inc": {"total_tokens": used}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row is None:
            raise NotFound("wallet")
        return row

    def move(self, session: ClientSession, movement: Movement, amount: int) -> Row:
        """Change what is available by `amount`, never below zero. Raises NotFound, AccountLinked, BalanceTooLow."""
        wallet = self.change(session, movement.account_id, amount, 0)
        check_not_linked(wallet)
        if wallet["available"] < 0:
            raise BalanceTooLow(available=wallet["available"] - amount, held=wallet["held"])
        self.write(session, movement, wallet, amount, 0)
        return wallet

    def book_loss(self, session: ClientSession, job_id: str, tokens: int) -> None:
        """What the provider used beyond the hold is the operator's, in a wallet that only ever shows losses."""
        wallet: Row | None = self.tokens.find_one_and_update(
            {"_id": LOSS_ACCOUNT_ID},
            {"$inc": {"available": tokens, "held": 0, "total_tokens": 0, "seq": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        movement = Movement(f"{job_id}:loss", LOSS_ACCOUNT_ID, EntryKind.LOSS, SYSTEM_ACTOR_ID)
        self.write(session, movement, cast(Row, wallet), tokens, 0, job_id=job_id)

    def write(
        self,
        session: ClientSession,
        movement: Movement,
        wallet: Row,
        available_delta: int,
        held_delta: int,
        job_id: str | None = None,
    ) -> None:
        """The ledger entry of a change after which the wallet is as given. Raises DuplicateKeyError."""
        self._ledger.insert_one(
            {
                "_id": movement.entry_id,
                "account_id": movement.account_id,
                "seq": wallet["seq"],
                "kind": movement.kind,
                "amount": available_delta + held_delta,
                "available_delta": available_delta,
                "held_delta": held_delta,
                "balance_after": wallet["available"],
                "held_after": wallet["held"],
                "actor_id": movement.actor_id,
                "reason": movement.reason,
                "job_id": job_id,
                "created_at": datetime.now(UTC),
            },
            session=session,
        )

    def ledger(self, wallet_id: str, cursor: str | None, limit: int) -> Page[LedgerEntry]:
        """The entries of one wallet, newest first."""
        before = None if cursor is None else cursors.decode(cursor, int)[0]
        entries = self._entries(wallet_id, before, limit + 1)
        more = len(entries) > limit
        return Page(entries[:limit], cursors.encode(entries[limit - 1].seq) if more else None)

    def ledger_of_both(self, wallet_ids: tuple[str, str], cursor: str | None, limit: int) -> Page[LedgerEntry]:
        """The entries of two wallets as one list, newest first; each wallet's own stay in their order."""
        before = (None, None) if cursor is None else cursors.decode(cursor, int, int)
        left = [self._entries(wallet, seq, limit + 1) for wallet, seq in zip(wallet_ids, before, strict=True)]
        # The end of a wallet's list that has been shown: all that comes next is before it.
        shown = [entries[0].seq + 1 if entries else 0 for entries in left]
        page: list[LedgerEntry] = []
        while len(page) < limit and any(left):
            newest = max((entries[0].created_at, -place) for place, entries in enumerate(left) if entries)
            place = -newest[1]
            page.append(left[place].pop(0))
            shown[place] = page[-1].seq
        return Page(page, cursors.encode(*shown) if any(left) else None)

    def _entries(self, wallet_id: str, before: int | None, limit: int) -> list[LedgerEntry]:
        criteria: Row = {"account_id": wallet_id}
        if before is not None:
            criteria["seq"] = {"$lt": before}
        return [_to_entry(row) for row in self._ledger.find(criteria).sort("seq", -1).limit(limit)]


def check_not_linked(wallet: Row) -> None:
    """Raises AccountLinked if another account has taken over what was here."""
    linked_to = wallet.get("linked_to")
    if linked_to is not None:
        raise AccountLinked(f"balance is of {linked_to}")


def to_wallet(row: Row) -> Wallet:
    return Wallet(
        account_id=row["_id"],
        available=row["available"],
        held=row["held"],
        total_tokens=row.get("total_tokens", 0),
    )


def _to_entry(row: Row) -> LedgerEntry:
    fields = {name: value for name, value in row.items() if name not in ("_id", "kind")}
    return LedgerEntry(id=row["_id"], kind=EntryKind(row["kind"]), **fields)
