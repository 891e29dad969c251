"""Payments as payers and operators see them, and the fields of their requests."""

import re
from typing import Any

from marshmallow import ValidationError, fields

from service.api.fields import Choice, Moment, Output, Record, Text
from service.api.schemas import EXAMPLE_CURSOR, EXAMPLE_ID, EXAMPLE_PAYMENT_ID, EXAMPLE_TIME, Cursor, NextCursor
from service.domain.billing import Unit
from service.domain.payments import (
    Payment,
    PaymentStatus,
    ProviderName,
    RefundStatus,
    as_decimal,
)

CONFIRMATION_URL = "https://yoomoney.ru/checkout/payments/v2/contract?orderId=22d6d597-000f-5000-9000-145f6df21d6f"
_PHONE = re.compile(r"\+?[0-9]{10,15}")


class Phone(Text):
    """A telephone number; comes out as digits with the country code."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=32, **options)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> str:
        plain = re.sub(r"[\s()-]", "", super()._deserialize(value, *args, **options))
        if not plain.isascii() or not _PHONE.fullmatch(plain):
            raise ValidationError("not_phone")
        return plain.removeprefix("+")


class PaymentFilter(Cursor):
    status = Choice(tuple(PaymentStatus), load_default=None)


class Money(Output):
    EXAMPLE = {"amount": "100.00", "currency": "RUB"}

    amount = fields.String(required=True, metadata={"description": "Decimal, with a point."})
    currency = fields.String(required=True)


class PaymentView(Output):
    EXAMPLE = {
        "paymentId": EXAMPLE_PAYMENT_ID,
        "userId": EXAMPLE_ID,
        "provider": "yookassa",
        "status": "pending",
        "tokens": 1000000,
        "credits": 0,
        "unit": "tokens",
        "price": Money.EXAMPLE,
        "confirmationUrl": CONFIRMATION_URL,
        "cancelReason": None,
        "createdAt": EXAMPLE_TIME,
        "finishedAt": None,
    }

    payment_id = fields.String(required=True)
    user_id = fields.String(required=True)
    provider = fields.String(required=True, metadata={"enum": list(ProviderName)})
    status = fields.String(
        required=True,
        metadata={
            "enum": list(PaymentStatus),
            "description": "Credited once it has `succeeded`; `refunding` until the provider has given the money back.",
        },
    )
    tokens = fields.Integer(required=True, metadata={"description": "Ordered tokens; 0 of a payment for credits."})
    credits = fields.Integer(required=True, metadata={"description": "Ordered extra credits; 0 of one for tokens."})
    unit = fields.String(required=True, metadata={"enum": list(Unit), "description": "What was ordered."})
    price = Record(Money, required=True)
    confirmation_url = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Where it is paid; null before the provider has said so, and once it is decided."},
    )
    cancel_reason = fields.String(required=True, allow_none=True)
    created_at = Moment(required=True)
    finished_at = Moment(required=True, allow_none=True)


class PaymentPage(Output):
    EXAMPLE = {"payments": [PaymentView.EXAMPLE], "nextCursor": EXAMPLE_CURSOR}

    payments = fields.List(Record(PaymentView), required=True)
    next_cursor = NextCursor()


class RefundView(Output):
    status = fields.String(required=True, metadata={"enum": list(RefundStatus)})
    tokens = fields.Integer(required=True, metadata={"description": "Taken from the balance, in the payment's unit."})
    shortfall_tokens = fields.Integer(
        required=True, metadata={"description": "Spent already when the money was given back at the provider."}
    )
    reason = fields.String(required=True)
    requested_by = fields.String(required=True)
    requested_at = Moment(required=True)
    finished_at = Moment(required=True, allow_none=True)


class AdminPaymentView(PaymentView):
    """A payment with what only operators see."""

    EXAMPLE = {
        **PaymentView.EXAMPLE,
        "providerId": "22d6d597-000f-5000-9000-145f6df21d6f",
        "confirmedBy": None,
        "problem": None,
        "refund": None,
    }

    provider_id = fields.String(required=True, allow_none=True, metadata={"description": "The provider's own id."})
    confirmed_by = fields.String(required=True, allow_none=True)
    problem = fields.String(
        required=True,
        allow_none=True,
        metadata={
            "description": "Why an operator has to look at it: `another_amount`, `another_order`, "
            "`unknown_to_provider` or `refunded_in_part`."
        },
    )
    refund = Record(RefundView, required=True, allow_none=True, metadata={"description": "The last one tried."})


class AdminPaymentPage(Output):
    EXAMPLE = {"payments": [AdminPaymentView.EXAMPLE], "nextCursor": EXAMPLE_CURSOR}

    payments = fields.List(Record(AdminPaymentView), required=True)
    next_cursor = NextCursor()


def money_body(amount_minor: int, currency: str) -> dict[str, str]:
    return {"amount": as_decimal(amount_minor), "currency": currency}


def payment_body(payment: Payment) -> dict[str, Any]:
    pending = payment.status is PaymentStatus.PENDING
    return {
        "payment_id": payment.id,
        "user_id": payment.account_id,
        "provider": payment.provider.value,
        "status": payment.status.value,
        "tokens": payment.tokens if payment.unit is Unit.TOKENS else 0,
        "credits": payment.tokens if payment.unit is Unit.CREDITS else 0,
        "unit": payment.unit.value,
        "price": money_body(payment.amount_minor, payment.currency),
        "confirmation_url": payment.confirmation_url if pending else None,
        "cancel_reason": payment.cancel_reason,
        "created_at": payment.created_at,
        "finished_at": payment.finished_at,
    }


def admin_payment_body(payment: Payment) -> dict[str, Any]:
    return {
        **payment_body(payment),
        "provider_id": payment.provider_id,
        "confirmed_by": payment.confirmed_by,
        "problem": payment.problem,
        "refund": payment.refund,
    }
