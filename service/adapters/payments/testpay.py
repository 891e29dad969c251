"""Development only: a payment provider within this service, whose payer decides on a page of ours.

It keeps its payments apart from ours and is asked about them like any other, so that a payment in development takes
the same way as a real one: created, decided on a page, notified, read again, credited.
"""

from datetime import UTC, datetime
from typing import cast

from pymongo import ReturnDocument

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import TestPaymentDocument
from service.domain.payments import Payment, RefundStatus
from service.usecases.ports import (
    ProviderPayment,
    ProviderRefund,
    ProviderRefused,
    ProviderStatus,
    TestPaymentPage,
)


class TestPay:
    """`page_root` is the address before `/pay/test/<id>`."""

    def __init__(self, page_root: str) -> None:
        self._page_root = page_root.rstrip("/")
        self._payments = collection(TestPaymentDocument)

    def confirmed_by_hand(self) -> bool:
        """See `ports.PaymentProvider.confirmed_by_hand`."""
        return False

    def create(self, payment: Payment) -> ProviderPayment:
        """See `ports.PaymentProvider.create`. The id follows from ours, so a repeated order is the same one."""
        provider_id = f"test-{payment.id}"
        row = self._payments.find_one_and_update(
            {"_id": provider_id},
            {
                "$setOnInsert": {
                    "order_id": payment.id,
                    "status": ProviderStatus.PENDING.value,
                    "amount_minor": payment.amount_minor,
                    "currency": payment.currency,
                    "confirmation_url": f"{self._page_root}/pay/test/{provider_id}",
                    "return_url": payment.return_url,
                    "description": payment.description,
                    "refunded_minor": 0,
                    "created_at": datetime.now(UTC),
                }
            },
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
        return _payment(cast(Row, row))

    def read(self, provider_id: str) -> ProviderPayment | None:
        """See `ports.PaymentProvider.read`."""
        row = self._payments.find_one({"_id": provider_id})
        return None if row is None else _payment(row)

    def refund(self, payment: Payment) -> ProviderRefund:
        """See `ports.PaymentProvider.refund`."""
        paid = {"_id": payment.provider_id, "status": ProviderStatus.SUCCEEDED.value}
        found = self._payments.update_one(paid, {"$set": {"refunded_minor": payment.amount_minor}})
        if not found.matched_count:
            raise ProviderRefused("not paid")
        return ProviderRefund(payment.refund_key, RefundStatus.SUCCEEDED)

    def read_refund(self, refund_id: str) -> ProviderRefund:
        """See `ports.PaymentProvider.read_refund`: refunds here succeed at once."""
        return ProviderRefund(refund_id, RefundStatus.SUCCEEDED)

    def page(self, provider_id: str) -> TestPaymentPage | None:
        """See `ports.TestPayments.page`."""
        row = self._payments.find_one({"_id": provider_id})
        return None if row is None else _page(row)

    def decide(self, provider_id: str, *, pay: bool) -> TestPaymentPage | None:
        """See `ports.TestPayments.decide`."""
        status = ProviderStatus.SUCCEEDED if pay else ProviderStatus.CANCELLED
        undecided = {"_id": provider_id, "status": ProviderStatus.PENDING.value}
        self._payments.update_one(undecided, {"$set": {"status": status.value}})
        return self.page(provider_id)


def _payment(row: Row) -> ProviderPayment:
    status = ProviderStatus(row["status"])
    return ProviderPayment(
        id=row["_id"],
        status=status,
        order_id=row["order_id"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        confirmation_url=row["confirmation_url"],
        refunded_minor=row["refunded_minor"],
        cancel_reason="declined" if status is ProviderStatus.CANCELLED else None,
    )


def _page(row: Row) -> TestPaymentPage:
    return TestPaymentPage(
        id=row["_id"],
        status=ProviderStatus(row["status"]),
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        description=row["description"],
        return_url=row["return_url"],
    )
