"""Payments. Where money moves with a payment's state, both are one transaction, wallet first as everywhere."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import Any

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.documents import PaymentDocument
from service.adapters.mongo.idempotency import claim_key, refuse_replay
from service.adapters.mongo.money import MongoMoney
from service.domain.billing import SYSTEM_ACTOR_ID, EntryKind, Unit
from service.domain.errors import BalanceTooLow
from service.domain.payments import Payment, PaymentStatus, ProviderName, Receipt, Refund, RefundStatus
from service.usecases.ports import IdempotencyKey, Movement, Page, PaymentQuery

_FIELDS = frozenset(field.name for field in fields(Payment)) - {"id"}
_NEWEST_FIRST = [("created_at", -1), ("_id", -1)]


class MongoPayments:
    def __init__(self, transactions: Transactions, money: MongoMoney) -> None:
        self._transactions = transactions
        self._money = money
        self._payments = collection(PaymentDocument)

    def add(self, payment: Payment, idempotency: IdempotencyKey | None) -> None:
        """See `ports.Payments.add`."""

        def transaction(session: ClientSession) -> None:
            if idempotency is not None:
                claim_key(session, idempotency, payment.id)
            self._payments.insert_one(_row(payment), session=session)

        try:
            self._transactions.run(transaction)
        except DuplicateKeyError:
            refuse_replay(idempotency)
            raise

    def get(self, payment_id: str) -> Payment | None:
        return _maybe(self._payments.find_one({"_id": payment_id}))

    def by_provider_id(self, provider: str, provider_id: str) -> Payment | None:
        return _maybe(self._payments.find_one({"provider": provider, "provider_id": provider_id}))

    def page(self, query: PaymentQuery) -> Page[Payment]:
        """See `ports.Payments.page`."""
        criteria: Row = {}
        if query.account_id is not None:
            criteria["account_id"] = query.account_id
        if query.status is not None:
            criteria["status"] = query.status.value
        if query.cursor is not None:
            created_at, row_id = cursors.decode(query.cursor, *cursors.TIME_AND_ID)
            criteria.update(cursors.older_than(created_at, row_id))
        rows = list(self._payments.find(criteria).sort(_NEWEST_FIRST).limit(query.limit + 1))
        found = [to_payment(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(found, cursors.encode(found[-1].created_at, found[-1].id) if more else None)

    def due(self, now: datetime, limit: int) -> Sequence[Payment]:
        """See `ports.Payments.due`. By the caller's clock: a minute more or less loses nothing here."""
        rows = self._payments.find({"next_check_at": {"$lte": now}}).sort("next_check_at", 1).limit(limit)
        return [to_payment(row) for row in rows]

    def postpone(self, payment_id: str, until: datetime) -> None:
        """See `ports.Payments.postpone`. One that is closed, or left to an operator, stays so."""
        still_open = {"_id": payment_id, "next_check_at": {"$exists": True}}
        self._payments.update_one(still_open, {"$set": {"next_check_at": until}})

    def placed(self, payment_id: str, provider_id: str, confirmation_url: str | None) -> Payment | None:
        """See `ports.Payments.placed`."""
        changes = {"provider_id": provider_id}
        if confirmation_url is not None:
            changes["confirmation_url"] = confirmation_url
        return self._update({"_id": payment_id, "status": PaymentStatus.PENDING.value}, {"$set": changes})

    def flag(self, payment_id: str, problem: str) -> Payment | None:
        """See `ports.Payments.flag`."""
        return self._update({"_id": payment_id}, {"$set": {"problem": problem}, "$unset": {"next_check_at": ""}})

    def cancel(self, payment_id: str, reason: str, now: datetime, *, final: bool) -> Payment | None:
        """See `ports.Payments.cancel`."""
        ended = {"status": PaymentStatus.CANCELLED.value, "cancel_reason": reason, "finished_at": now}
        pending = {"_id": payment_id, "status": PaymentStatus.PENDING.value}
        closed: Row = {"$unset": {"next_check_at": ""}} if final else {}
        return self._update(pending, {"$set": ended, **closed})

    def close(self, payment_id: str) -> None:
        """See `ports.Payments.close`."""
        self._update({"_id": payment_id, "status": PaymentStatus.CANCELLED.value}, {"$unset": {"next_check_at": ""}})

    def succeed(
        self,
        payment: Payment,
        provider_id: str | None,
        actor_id: str,
        statuses: Sequence[PaymentStatus],
        idempotency: IdempotencyKey | None,
    ) -> Payment | None:
        """See `ports.Payments.succeed`."""
        changes: Row = {
            "status": PaymentStatus.SUCCEEDED.value,
            "finished_at": datetime.now(UTC),
            "confirmed_by": actor_id,
        }
        if provider_id is not None:
            changes["provider_id"] = provider_id
        closed = {"next_check_at": "", "cancel_reason": "", "problem": ""}
        movement = _movement(payment, payment.credit_entry, EntryKind.TOPUP, actor_id)

        def transaction(session: ClientSession) -> Payment | None:
            self._money.move(session, movement, payment.tokens)
            if idempotency is not None:
                claim_key(session, idempotency, payment.id)
            return self._change(session, payment, statuses, {"$set": changes, "$unset": closed})

        return self._once(transaction, payment, idempotency)

    def begin_refund(self, payment: Payment, refund: Refund, idempotency: IdempotencyKey | None) -> Payment | None:
        """See `ports.Payments.begin_refund`. The tokens go first, so that nobody spends them while the money does."""
        changed = replace(payment, refund=refund)
        changes: Row = {
            "status": PaymentStatus.REFUNDING.value,
            "refund": _refund_row(refund),
            "next_check_at": refund.requested_at,
        }
        movement = _movement(changed, changed.refund_entry, EntryKind.REFUND, refund.requested_by, refund.reason)

        def transaction(session: ClientSession) -> Payment | None:
            self._money.move(session, movement, -refund.tokens)
            if idempotency is not None:
                claim_key(session, idempotency, payment.id)
            return self._change(session, payment, (PaymentStatus.SUCCEEDED,), {"$set": changes})

        return self._once(transaction, payment, idempotency)

    def refund_placed(self, payment: Payment, refund_id: str) -> None:
        """See `ports.Payments.refund_placed`."""
        self._update(_this_refund(payment), {"$set": {"refund.provider_id": refund_id}})

    def finish_refund(self, payment: Payment) -> Payment | None:
        """See `ports.Payments.finish_refund`."""
        changes = {
            "status": PaymentStatus.REFUNDED.value,
            "refund.status": RefundStatus.SUCCEEDED.value,
            "refund.finished_at": datetime.now(UTC),
        }
        return self._update(_this_refund(payment), {"$set": changes, "$unset": {"next_check_at": ""}})

    def undo_refund(self, payment: Payment) -> Payment | None:
        """See `ports.Payments.undo_refund`."""
        refund = payment.refund
        if refund is None:
            raise ValueError("there is no refund to undo")
        changes = {
            "status": PaymentStatus.SUCCEEDED.value,
            "refund.status": RefundStatus.FAILED.value,
            "refund.finished_at": datetime.now(UTC),
        }
        movement = _movement(payment, f"{payment.refund_entry}:undone", EntryKind.REFUND, SYSTEM_ACTOR_ID)

        def transaction(session: ClientSession) -> Payment | None:
            self._money.move(session, movement, refund.tokens)
            update = {"$set": changes, "$unset": {"next_check_at": ""}}
            return self._change(session, payment, (PaymentStatus.REFUNDING,), update)

        return self._once(transaction, payment)

    def absorb_refund(self, payment: Payment, refund: Refund) -> Payment | None:
        """See `ports.Payments.absorb_refund`."""

        def transaction(session: ClientSession) -> Payment | None:
            available = self._money.available(session, payment.wallet_id)
            taken = min(refund.tokens, available)
            absorbed = replace(refund, tokens=taken, shortfall_tokens=refund.tokens - taken)
            changed = replace(payment, refund=absorbed)
            entry = _movement(changed, changed.refund_entry, EntryKind.REFUND, refund.requested_by, refund.reason)
            self._money.move(session, entry, -taken)
            changes = {"status": PaymentStatus.REFUNDED.value, "refund": _refund_row(absorbed)}
            return self._change(session, payment, (PaymentStatus.SUCCEEDED,), {"$set": changes})

        return self._once(transaction, payment)

    def _once(
        self,
        transaction: Callable[[ClientSession], Payment | None],
        payment: Payment,
        idempotency: IdempotencyKey | None = None,
    ) -> Payment | None:
        """Run it; None if somebody else was faster, so that its ledger entry is there or the payment has moved on.

        If that was a twin with the same key, AlreadyDone; it may have taken the tokens too.
        """
        try:
            changed = self._transactions.run(transaction, account_id=payment.account_id)
        except DuplicateKeyError:
            changed = None
        except BalanceTooLow:
            refuse_replay(idempotency)
            raise
        if changed is None:
            refuse_replay(idempotency)
        return changed

    def _change(
        self, session: ClientSession, payment: Payment, statuses: Sequence[PaymentStatus], update: Row
    ) -> Payment | None:
        """The payment changed, if it is as it was seen; else nothing of the transaction happens."""
        seen: Row = {"_id": payment.id, "status": {"$in": [status.value for status in statuses]}}
        if payment.refund is not None:
            seen["refund.number"] = payment.refund.number
        row = self._payments.find_one_and_update(seen, update, return_document=ReturnDocument.AFTER, session=session)
        if row is None:
            session.abort_transaction()
        return _maybe(row)

    def _update(self, criteria: Row, update: Row) -> Payment | None:
        return _maybe(self._payments.find_one_and_update(criteria, update, return_document=ReturnDocument.AFTER))


def _movement(payment: Payment, entry_id: str, kind: EntryKind, actor_id: str, reason: str = "") -> Movement:
    cause = f"payment {payment.id}"
    return Movement(entry_id, payment.wallet_id, kind, actor_id, f"{cause}: {reason}" if reason else cause)


def _this_refund(payment: Payment) -> Row:
    return {"_id": payment.id, "status": PaymentStatus.REFUNDING.value, "refund.number": payment.refund_number}


def _refund_row(refund: Refund) -> Row:
    return _without_none({**asdict(refund), "status": refund.status.value})


def _row(payment: Payment) -> Row:
    """Fields without a value are absent, so that sparse indexes hold only what has one."""
    row = _without_none(asdict(payment))
    row["_id"] = row.pop("id")
    row["provider"] = payment.provider.value
    row["status"] = payment.status.value
    row["unit"] = payment.unit.value
    if payment.refund is not None:
        row["refund"] = _refund_row(payment.refund)
    return row


def _without_none(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None}


def _maybe(row: Row | None) -> Payment | None:
    return None if row is None else to_payment(row)


def to_payment(row: Row) -> Payment:
    values: dict[str, Any] = {name: value for name, value in row.items() if name in _FIELDS}
    values["provider"] = ProviderName(row["provider"])
    values["status"] = PaymentStatus(row["status"])
    values["unit"] = Unit(row["unit"])
    if "receipt" in row:
        values["receipt"] = Receipt(**row["receipt"])
    if "refund" in row:
        values["refund"] = Refund(**{**row["refund"], "status": RefundStatus(row["refund"]["status"])})
    return Payment(id=row["_id"], **values)
