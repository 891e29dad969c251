"""The only module that moves money: wallets, the ledger, and the job states that go with them.

Each public method is one transaction, wallet first, so that two transactions of one account meet at once and the loser
repeats before it has done any work. Ids of ledger entries are derived from what caused them: doing a thing twice is a
duplicate key, not a second charge.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import NoReturn, TypeVar, cast

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.deliveries import owe_deliveries
from service.adapters.mongo.documents import IdempotencyDocument, JobDocument, LedgerDocument, WalletDocument
from service.adapters.mongo.idempotency import claim_key, key_id, to_record
from service.adapters.mongo.jobs import store_new, to_job
from service.adapters.mongo.turns import append_turn, count_usage
from service.domain.billing import (
    LOSS_ACCOUNT_ID,
    OUTPUT_FLOOR_TOKENS,
    SYSTEM_ACTOR_ID,
    EntryKind,
    Wallet,
    affordable_output,
    hold_tokens,
)
from service.domain.errors import AccountLinked, BalanceChanged, BalanceTooLow, InsufficientTokens, NotFound
from service.domain.jobs import Job, Outcome
from service.usecases.ports import AlreadyDone, IdempotencyKey, LedgerEntry, Movement, Page

T = TypeVar("T")


class MongoMoney:
    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._wallets = collection(WalletDocument)
        self._ledger = collection(LedgerDocument)
        self._jobs = collection(JobDocument)
        self._idempotency = collection(IdempotencyDocument)

    def open_wallet(self, session: ClientSession, account_id: str, kind: EntryKind, grant_tokens: int) -> None:
        """Part of the transaction that creates an account: its wallet, with what a new account is granted."""
        self._wallets.insert_one(
            {"_id": account_id, "available": 0, "held": 0, "total_tokens": 0, "seq": 0}, session=session
        )
        self.grant(session, account_id, kind, grant_tokens)

    def grant(self, session: ClientSession, account_id: str, kind: EntryKind, tokens: int) -> None:
        """Part of such a transaction too: what an account may try the service with, once per kind."""
        if tokens:
            self._move(session, Movement(f"{account_id}:{kind}", account_id, kind, SYSTEM_ACTOR_ID), tokens)

    def move(self, session: ClientSession, movement: Movement, amount: int) -> Wallet:
        """Part of a transaction in which something else changes its state: add `amount` (may be negative) tokens.

        Raises NotFound, BalanceTooLow, and DuplicateKeyError if an entry of this id was written before.
        """
        return to_wallet(self._move(session, movement, amount))

    def available(self, session: ClientSession, account_id: str) -> int:
        """Part of such a transaction too: what can be taken. Raises NotFound."""
        row = self._wallets.find_one({"_id": account_id}, {"available": 1}, session=session)
        if row is None:
            raise NotFound("wallet")
        return int(row["available"])

    def merge(self, session: ClientSession, source_id: str, target_id: str, cause: str, actor_id: str) -> Row:
        """Part of the transaction that links an end user: all that it has becomes the target's, under one cause.

        Returns the source's wallet as it was; one that something is held in, or that is linked already, stays as it is.
        Nothing is held or added there any more until `part`. Raises NotFound.
        """
        before: Row | None = self._wallets.find_one({"_id": source_id}, session=session)
        if before is None:
            raise NotFound("wallet")
        if before["held"] or before.get("linked_to") is not None:
            return before
        amount = before["available"]
        for account_id, delta in ((source_id, -amount), (target_id, amount)):
            if amount:
                movement = Movement(f"{cause}:{account_id}", account_id, EntryKind.LINK, actor_id, reason=cause)
                self._move(session, movement, delta)
        self._wallets.update_one({"_id": source_id}, {"$set": {"linked_to": target_id}}, session=session)
        return before

    def part(self, session: ClientSession, source_id: str) -> None:
        """Part of the transaction that ends a link: the wallet is its account's own again, and as empty as it is."""
        self._wallets.update_one({"_id": source_id}, {"$unset": {"linked_to": ""}}, session=session)

    def reserve(self, job: Job, idempotency: IdempotencyKey | None) -> Job:
        """See `ports.Money.reserve`. Four round trips: wallet, job, ledger, commit; five with a key."""
        full = hold_tokens(job.prompt_tokens, job.output_tokens, job.weights)
        floor_output = min(OUTPUT_FLOOR_TOKENS, job.output_tokens)
        floor = hold_tokens(job.prompt_tokens, floor_output, job.weights)

        def transaction(session: ClientSession) -> Job:
            before = self._hold(session, job.account_id, floor, full)
            hold = min(full, before["available"])
            output = min(job.output_tokens, affordable_output(hold, job.prompt_tokens, job.weights))
            held = replace(job, hold_tokens=hold, output_tokens=output)
            if idempotency is not None:
                claim_key(session, idempotency, held.id)
            store_new(self._jobs, held, session)
            movement = Movement(f"{job.id}:hold", job.account_id, EntryKind.HOLD, job.actor_id or job.account_id)
            self._write(session, movement, _after(before, -hold, hold), -hold, hold, job_id=job.id)
            return held

        return self._once(transaction, job.account_id, idempotency)

    def settle(self, job: Job, outcome: Outcome, max_context_messages: int) -> Job | None:
        """See `ports.Money.settle`. Seven round trips for an answer, five for a failure, two more for webhooks."""
        charge = outcome.charge
        release = job.hold_tokens - charge.tokens
        used = outcome.usage.total_tokens if outcome.usage else 0

        def transaction(session: ClientSession) -> Job | None:
            wallet = self._change(session, job.account_id, release, -job.hold_tokens, used)
            row = self._finish(session, job, outcome, wallet["available"])
            if row is None:
                session.abort_transaction()
                return None
            movement = Movement(f"{job.id}:final", job.account_id, EntryKind.FINAL, SYSTEM_ACTOR_ID)
            self._write(session, movement, wallet, release, -job.hold_tokens, job_id=job.id)
            settled = to_job(row)
            if settled.is_answered and settled.session_id is not None:
                append_turn(session, settled, max_context_messages)
            count_usage(session, settled)
            if charge.loss_tokens:
                self._book_loss(session, job, charge.loss_tokens)
            destinations = owe_deliveries(session, settled, has_endpoints=bool(wallet.get("webhooks")))
            return replace(settled, destinations=destinations)

        return self._transactions.run(transaction, account_id=job.account_id)

    def deposit(self, movement: Movement, amount: int, idempotency: IdempotencyKey | None) -> Wallet:
        """See `ports.Money.deposit`."""

        def transaction(session: ClientSession) -> Wallet:
            wallet = self._move(session, movement, amount)
            if idempotency is not None:
                claim_key(session, idempotency, movement.entry_id)
            return to_wallet(wallet)

        return self._once(transaction, movement.account_id, idempotency)

    def set_balance(
        self, movement: Movement, amount: int, expected: int | None, idempotency: IdempotencyKey | None
    ) -> Wallet:
        """See `ports.Money.set_balance`."""

        def transaction(session: ClientSession) -> Wallet:
            wallet = self._wallets.find_one({"_id": movement.account_id}, session=session)
            if wallet is None:
                raise NotFound("account")
            if expected is not None and wallet["available"] != expected:
                raise BalanceChanged(available=wallet["available"], held=wallet["held"])
            moved = self._move(session, movement, amount - wallet["available"])
            if idempotency is not None:
                claim_key(session, idempotency, movement.entry_id)
            return to_wallet(moved)

        return self._once(transaction, movement.account_id, idempotency)

    def wallet(self, account_id: str) -> Wallet | None:
        row = self._wallets.find_one({"_id": account_id})
        return None if row is None else to_wallet(row)

    def ledger(self, account_id: str, cursor: str | None, limit: int) -> Page[LedgerEntry]:
        """See `ports.Money.ledger`."""
        criteria: Row = {"account_id": account_id}
        if cursor is not None:
            (seq,) = cursors.decode(cursor, int)
            criteria["seq"] = {"$lt": seq}
        rows = list(self._ledger.find(criteria).sort("seq", -1).limit(limit + 1))
        entries = [_to_entry(row) for row in rows[:limit]]
        return Page(entries, cursors.encode(entries[-1].seq) if len(rows) > limit else None)

    def _hold(self, session: ClientSession, account_id: str, floor: int, full: int) -> Row:
        """Move min(full, available) from available to held if it is at least `floor`; the wallet as it was before."""
        hold = {"$min": [full, "$available"]}
        before = self._wallets.find_one_and_update(
            {"_id": account_id, "available": {"$gte": floor}, "linked_to": None},
            [
                {
                    "$set": {
                        "available": {"$subtract": ["$available", hold]},
                        "held": {"$add": ["$held", hold]},
                        "seq": {"$add": ["$seq", 1]},
                    }
                }
            ],
            session=session,
        )
        if before is None:
            self._refuse(session, account_id, floor)
        return before

    def _refuse(self, session: ClientSession, account_id: str, required: int) -> NoReturn:
        wallet = self._wallets.find_one({"_id": account_id}, session=session)
        if wallet is None:
            raise NotFound("account")
        _check_not_linked(wallet)
        raise InsufficientTokens(required=required, available=wallet["available"], held=wallet["held"])

    def _change(self, session: ClientSession, account_id: str, available: int, held: int, used: int = 0) -> Row:
        row = self._wallets.find_one_and_update(
            {"_id": account_id},
            {"$inc": {"available": available, "held": held, "total_tokens": used, "seq": 1}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if row is None:
            raise NotFound("wallet")
        return row

    def _move(self, session: ClientSession, movement: Movement, amount: int) -> Row:
        """Change what is available by `amount`, never below zero."""
        wallet = self._change(session, movement.account_id, amount, 0)
        _check_not_linked(wallet)
        if wallet["available"] < 0:
            raise BalanceTooLow(available=wallet["available"] - amount, held=wallet["held"])
        self._write(session, movement, wallet, amount, 0)
        return wallet

    def _finish(self, session: ClientSession, job: Job, outcome: Outcome, balance_after: int) -> Row | None:
        """The fence: only the attempt that the caller knows can end the job."""
        changes: Row = {
            "status": outcome.status,
            "charged": outcome.charge.tokens,
            "balance_after": balance_after,
            "finish_reason": outcome.finish_reason,
            "error_code": outcome.error_code,
            "error_reason": outcome.error_reason,
            "answer": outcome.answer,
            "usage": None if outcome.usage is None else asdict(outcome.usage),
            "finished_at": datetime.now(UTC),
        }
        row: Row | None = self._jobs.find_one_and_update(
            {"_id": job.id, "status": job.status, "attempt": job.attempt},
            {"$set": changes, "$unset": {"lease_until": "", "worker_id": "", "shown": ""}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return row

    def _book_loss(self, session: ClientSession, job: Job, tokens: int) -> None:
        """What the provider used beyond the hold is the operator's, in a wallet that only ever shows losses."""
        wallet: Row | None = self._wallets.find_one_and_update(
            {"_id": LOSS_ACCOUNT_ID},
            {"$inc": {"available": tokens, "held": 0, "total_tokens": 0, "seq": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        movement = Movement(f"{job.id}:loss", LOSS_ACCOUNT_ID, EntryKind.LOSS, SYSTEM_ACTOR_ID)
        self._write(session, movement, cast(Row, wallet), tokens, 0, job_id=job.id)

    def _write(
        self,
        session: ClientSession,
        movement: Movement,
        wallet: Row,
        available_delta: int,
        held_delta: int,
        job_id: str | None = None,
    ) -> None:
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

    def _once(
        self, transaction: Callable[[ClientSession], T], account_id: str, idempotency: IdempotencyKey | None
    ) -> T:
        """Run it; if its idempotency key was used meanwhile, say by whom.

        The twin that came first may have taken the money as well, so a lack of it is looked into too.
        """
        try:
            return self._transactions.run(transaction, account_id=account_id)
        except (DuplicateKeyError, InsufficientTokens, BalanceTooLow, BalanceChanged):
            earlier = None if idempotency is None else self._idempotency.find_one({"_id": key_id(idempotency)})
            if earlier is None:
                raise
            raise AlreadyDone(to_record(earlier)) from None


def _check_not_linked(wallet: Row) -> None:
    linked_to = wallet.get("linked_to")
    if linked_to is not None:
        raise AccountLinked(f"balance is of {linked_to}")


def _after(before: Row, available_delta: int, held_delta: int) -> Row:
    return {
        "available": before["available"] + available_delta,
        "held": before["held"] + held_delta,
        "seq": before["seq"] + 1,
    }


def to_wallet(row: Row) -> Wallet:
    return Wallet(account_id=row["_id"], available=row["available"], held=row["held"], total_tokens=row["total_tokens"])


def _to_entry(row: Row) -> LedgerEntry:
    fields = {name: value for name, value in row.items() if name not in ("_id", "kind")}
    return LedgerEntry(id=row["_id"], kind=EntryKind(row["kind"]), **fields)
