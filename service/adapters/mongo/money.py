"""The only module that moves money: wallets, the ledger, and the job states that go with them. What a movement is made
of is in `wallets`, and what is special about credits in `credits`; both are parts of this module's transactions.

Each public method is one transaction, wallet first, so that two transactions of one account meet at once and the loser
repeats before it has done any work. Ids of ledger entries are derived from what caused them: doing a thing twice is a
duplicate key, not a second charge.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo.applying import apply_answer
from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.credits import CreditWallets
from service.adapters.mongo.deliveries import owe_deliveries
from service.adapters.mongo.documents import IdempotencyDocument, JobDocument
from service.adapters.mongo.idempotency import claim_key, key_id, to_record
from service.adapters.mongo.jobs import store_new, to_job
from service.adapters.mongo.turns import append_turn, count_usage, enter_chat, leave_chat
from service.adapters.mongo.wallets import Wallets, check_not_linked, to_wallet
from service.domain.accounts import Account
from service.domain.billing import (
    OUTPUT_FLOOR_TOKENS,
    SYSTEM_ACTOR_ID,
    EntryKind,
    Meter,
    Unit,
    Wallet,
    affordable_output,
    extra_wallet_id,
    hold_tokens,
    monthly_wallet_id,
    owner_of,
    unit_of,
)
from service.domain.errors import BalanceChanged, BalanceTooLow, InsufficientTokens, JobRunning, NoCredits, NotFound
from service.domain.jobs import Job, Outcome
from service.domain.plans import ANSWER_CREDITS, Credits, PlanPolicy
from service.usecases.ports import AlreadyDone, Clock, IdempotencyKey, LedgerEntry, Movement, Page

T = TypeVar("T")


class MongoMoney:
    def __init__(self, transactions: Transactions, plans: PlanPolicy, clock: Clock) -> None:
        self._transactions = transactions
        self._wallets = Wallets()
        self._credits = CreditWallets(self._wallets, plans, clock)
        self._jobs = collection(JobDocument)
        self._idempotency = collection(IdempotencyDocument)

    def open_wallet(self, session: ClientSession, account_id: str, kind: EntryKind, grant_tokens: int) -> None:
        """Part of the transaction that creates an account: its wallet, with what a new account is granted."""
        self._wallets.tokens.insert_one(
            {"_id": account_id, "available": 0, "held": 0, "total_tokens": 0, "seq": 0}, session=session
        )
        self.grant(session, account_id, kind, grant_tokens)

    def grant(self, session: ClientSession, account_id: str, kind: EntryKind, tokens: int) -> None:
        """Part of such a transaction too: what an account may try the service with, once per kind."""
        if tokens:
            self._move(session, Movement(f"{account_id}:{kind}", account_id, kind, SYSTEM_ACTOR_ID), tokens)

    def move(self, session: ClientSession, movement: Movement, amount: int) -> Wallet:
        """Part of a transaction in which something else changes its state: add `amount` (may be negative) to a wallet.

        Raises NotFound, AccountLinked, BalanceTooLow, and DuplicateKeyError if an entry of this id was written before.
        """
        return to_wallet(self._move(session, movement, amount))

    def available(self, session: ClientSession, wallet_id: str) -> int:
        """Part of such a transaction too: what can be taken. Raises NotFound."""
        row = self._wallets.get(wallet_id, session)
        if row is None:
            raise NotFound("wallet")
        return int(row["available"])

    def set_plan(self, session: ClientSession, account_id: str, plan: str) -> None:
        """Part of the transaction that gives an account another plan: its month begins now, with its credits."""
        self._credits.set_plan(session, account_id, plan)

    def merge(self, session: ClientSession, source_id: str, target_id: str, cause: str, actor_id: str) -> Row:
        """Part of the transaction that links an end user: all that it has becomes the target's, under one cause.

        Returns the source's wallet as it was, with what is held of either unit; where something is held, or that is
        linked already, all stays as it is. Nothing is held or added there any more until `part`. Raises NotFound.
        """
        before = self._wallets.get(source_id, session)
        if before is None:
            raise NotFound("wallet")
        if before.get("credits"):
            before["held"] += self._credits.held(session, source_id)
        if before["held"] or before.get("linked_to") is not None:
            return before
        amount = before["available"]
        for account_id, delta in ((source_id, -amount), (target_id, amount)):
            if amount:
                movement = Movement(f"{cause}:{account_id}", account_id, EntryKind.LINK, actor_id, reason=cause)
                self._move(session, movement, delta)
        if before.get("credits"):
            self._credits.merge(session, source_id, target_id, cause, actor_id)
        self._wallets.tokens.update_one({"_id": source_id}, {"$set": {"linked_to": target_id}}, session=session)
        return before

    def part(self, session: ClientSession, source_id: str) -> None:
        """Part of the transaction that ends a link: the wallet is its account's own again, and as empty as it is."""
        self._wallets.tokens.update_one({"_id": source_id}, {"$unset": {"linked_to": ""}}, session=session)
        self._credits.part(session, source_id)

    def close(self, session: ClientSession, account_id: str) -> None:
        """Part of the transaction that deletes an account: its wallets stay in the books, and in no list of people."""
        closed = {"$set": {"closed": True}}
        self._wallets.tokens.update_one({"_id": account_id}, closed, session=session)
        self._credits.mark(session, account_id, closed)

    def reopen(self, session: ClientSession, account_id: str) -> None:
        """Part of the transaction in which an end user comes back."""
        open_again = {"$unset": {"closed": ""}}
        self._wallets.tokens.update_one({"_id": account_id}, open_again, session=session)
        self._credits.mark(session, account_id, open_again)

    def reserve(self, job: Job, idempotency: IdempotencyKey | None) -> Job:
        """See `ports.Money.reserve`. Four round trips: wallet, job, ledger, commit; five with a key."""

        def transaction(session: ClientSession) -> Job:
            held, wallet = self._held(session, job)
            if idempotency is not None:
                claim_key(session, idempotency, held.id)
            enter_chat(session, held)
            store_new(self._jobs, held, session)
            movement = Movement(f"{job.id}:hold", held.wallet_id, EntryKind.HOLD, job.actor_id or job.account_id)
            self._wallets.write(session, movement, wallet, -held.hold, held.hold, job_id=job.id)
            return held

        return self._once(transaction, job.account_id, idempotency)

    def settle(self, job: Job, outcome: Outcome, max_context_messages: int) -> Job | None:
        """See `ports.Money.settle`. Seven round trips for an answer, five for a failure, two more for webhooks; two
        more for one that is paid for in credits."""
        charge = outcome.charge
        release = job.hold - charge.amount
        used = outcome.usage.total_tokens if outcome.usage else 0

        def transaction(session: ClientSession) -> Job | None:
            paid = self._wallets.change(session, job.wallet_id, release, -job.hold, used)
            account, balance = self._account(session, job, paid, release, used)
            row = self._finish(session, job, outcome, balance)
            if row is None:
                session.abort_transaction()
                return None
            movement = Movement(f"{job.id}:final", job.wallet_id, EntryKind.FINAL, SYSTEM_ACTOR_ID)
            self._wallets.write(session, movement, paid, release, -job.hold, job_id=job.id)
            self._credits.expire_late(session, job, paid, release)
            settled = to_job(row)
            if settled.is_answered and settled.chat_id is not None:
                append_turn(session, settled, max_context_messages)
            else:
                leave_chat(session, settled)
            apply_answer(session, settled)
            count_usage(session, settled)
            if charge.loss_tokens:
                self._wallets.book_loss(session, job.id, charge.loss_tokens)
            destinations = owe_deliveries(session, settled, has_endpoints=bool(account.get("webhooks")))
            return replace(settled, destinations=destinations)

        return self._transactions.run(transaction, account_id=job.account_id)

    def deposit(self, movement: Movement, amount: int, idempotency: IdempotencyKey | None) -> Wallet:
        """See `ports.Money.deposit`."""

        def transaction(session: ClientSession) -> Wallet:
            wallet = self._move(session, movement, amount)
            if idempotency is not None:
                claim_key(session, idempotency, movement.entry_id)
            return to_wallet(wallet)

        return self._once(transaction, owner_of(movement.account_id), idempotency)

    def set_balance(
        self, movement: Movement, amount: int, expected: int | None, idempotency: IdempotencyKey | None
    ) -> Wallet:
        """See `ports.Money.set_balance`."""

        def transaction(session: ClientSession) -> Wallet:
            wallet = self._wallets.get(movement.account_id, session)
            if wallet is None:
                raise NotFound("account")
            if expected is not None and wallet["available"] != expected:
                raise BalanceChanged(available=wallet["available"], held=wallet["held"])
            moved = self._move(session, movement, amount - wallet["available"])
            if idempotency is not None:
                claim_key(session, idempotency, movement.entry_id)
            return to_wallet(moved)

        return self._once(transaction, owner_of(movement.account_id), idempotency)

    def wallet(self, wallet_id: str) -> Wallet | None:
        row = self._wallets.get(wallet_id)
        return None if row is None else to_wallet(row)

    def credits(self, account: Account) -> Credits:
        """See `ports.Money.credits`."""
        return self._credits.of_account(account)

    def ledger_of(self, account_id: str, unit: Unit, cursor: str | None, limit: int) -> Page[LedgerEntry]:
        """See `ports.Money.ledger_of`."""
        if unit is Unit.TOKENS:
            return self._wallets.ledger(account_id, cursor, limit)
        both = monthly_wallet_id(account_id), extra_wallet_id(account_id)
        return self._wallets.ledger_of_both(both, cursor, limit)

    def _held(self, session: ClientSession, job: Job) -> tuple[Job, Row]:
        """Hold what the job may cost: the job with its hold, and the wallet as it is then."""
        if job.meter == Meter.CREDITS:
            wallet = self._credits.hold(session, job.account_id)
            # Of a plan without a limit nothing is held.
            hold, month = 0 if wallet.get("unlimited") else ANSWER_CREDITS, wallet.get("period_starts_at")
            return replace(job, hold=hold, wallet_id=wallet["_id"], period_starts_at=month), wallet
        if job.meter == Meter.FREE:
            before = self._hold(session, job.account_id, 0, 0)
            return replace(job, hold=0, wallet_id=job.account_id), _after(before, 0, 0)
        full = hold_tokens(job.prompt_tokens, job.output_tokens, job.weights)
        floor_output = min(OUTPUT_FLOOR_TOKENS, job.output_tokens)
        before = self._hold(session, job.account_id, hold_tokens(job.prompt_tokens, floor_output, job.weights), full)
        hold = min(full, before["available"])
        output = min(job.output_tokens, affordable_output(hold, job.prompt_tokens, job.weights))
        return replace(job, hold=hold, output_tokens=output, wallet_id=job.account_id), _after(before, -hold, hold)

    def _hold(self, session: ClientSession, account_id: str, floor: int, full: int) -> Row:
        """Move min(full, available) from available to held if it is at least `floor`; the wallet as it was before."""
        hold = {"$min": [full, "$available"]}
        before = self._wallets.tokens.find_one_and_update(
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
        wallet = self._wallets.get(account_id, session)
        if wallet is None:
            raise NotFound("account")
        check_not_linked(wallet)
        raise InsufficientTokens(required=required, available=wallet["available"], held=wallet["held"])

    def _move(self, session: ClientSession, movement: Movement, amount: int) -> Row:
        """Change what is available by `amount`, never below zero; wallets of credits are made if they aren't there."""
        self._make(session, movement.account_id)
        return self._wallets.move(session, movement, amount)

    def _make(self, session: ClientSession, wallet_id: str) -> None:
        if unit_of(wallet_id) is Unit.CREDITS:
            self._credits.current(session, owner_of(wallet_id))

    def _account(self, session: ClientSession, job: Job, paid: Row, release: int, used: int) -> tuple[Row, int | None]:
        """The account's own wallet, and what it has left of what the job was paid with."""
        if job.meter != Meter.CREDITS:
            return paid, paid["available"]
        account = self._wallets.count_used(session, job.account_id, used)
        return account, self._credits.left(session, job, paid, release)

    def _finish(self, session: ClientSession, job: Job, outcome: Outcome, balance_after: int | None) -> Row | None:
        """The fence: only the attempt that the caller knows can end the job."""
        changes: Row = {
            "status": outcome.status,
            "charged": outcome.charge.amount,
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

    def _once(
        self, transaction: Callable[[ClientSession], T], account_id: str, idempotency: IdempotencyKey | None
    ) -> T:
        """Run it; if its idempotency key was used meanwhile, say by whom.

        The twin that came first may have taken the money or the chat as well, so a lack of them is looked into too.
        """
        try:
            return self._transactions.run(transaction, account_id=account_id)
        except (DuplicateKeyError, InsufficientTokens, NoCredits, BalanceTooLow, BalanceChanged, JobRunning):
            earlier = None if idempotency is None else self._idempotency.find_one({"_id": key_id(idempotency)})
            if earlier is None:
                raise
            raise AlreadyDone(to_record(earlier)) from None


def _after(before: Row, available_delta: int, held_delta: int) -> Row:
    return {
        "available": before["available"] + available_delta,
        "held": before["held"] + held_delta,
        "seq": before["seq"] + 1,
    }
