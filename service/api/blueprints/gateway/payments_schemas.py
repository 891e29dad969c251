"""Bodies and parameters of what people do to pay."""

from marshmallow import fields, validate

from service.api.fields import Input, Output, Record, Text
from service.api.payments import PaymentFilter, PaymentView
from service.api.schemas import NewBalance, OwnerQuery
from service.domain.billing import Unit

CODE_MAX_CHARACTERS = 64
# As providers write theirs; nothing else may get into the path of a question to one.
PROVIDER_ID = r"^[A-Za-z0-9-]{1,64}$"


class Offer(Output):
    EXAMPLE = {
        "provider": "yookassa",
        "currency": "RUB",
        "tokensPerRuble": 10000,
        "minTokens": 100000,
        "maxTokens": 500000000,
        "creditPrice": "5.00",
        "minCredits": 2,
        "maxCredits": 10000,
        "receiptContactNeeded": True,
    }

    provider = fields.String(
        required=True, allow_none=True, metadata={"description": "null where nobody pays by themselves."}
    )
    currency = fields.String(required=True)
    tokens_per_ruble = fields.Integer(required=True)
    min_tokens = fields.Integer(required=True, metadata={"description": "The least that may be bought at once."})
    max_tokens = fields.Integer(required=True)
    credit_price = fields.String(required=True, metadata={"description": "Of one extra credit; decimal, with a point."})
    min_credits = fields.Integer(required=True)
    max_credits = fields.Integer(required=True)
    receipt_contact_needed = fields.Boolean(
        required=True, metadata={"description": "Whether a payer without an e-mail has to name one, or a telephone."}
    )


class Ordered(PaymentView, NewBalance):
    """A payment that is to be made, and the balance, which it hasn't changed yet."""

    EXAMPLE = {"success": True, "currentBalance": 1200, **PaymentView.EXAMPLE}


class OwnPayments(PaymentFilter, OwnerQuery):
    """A page of an account's payments."""


class Redeem(Input):
    EXAMPLE = {"code": "7F3K-9QXN-2M4P-VT8W"}

    code = Text(
        required=True,
        min_length=1,
        max_length=CODE_MAX_CHARACTERS,
        metadata={"description": "Spaces, dashes and case don't matter."},
    )


class Redeemed(NewBalance):
    EXAMPLE = {"success": True, "currentBalance": 101200, "unit": "tokens"}

    unit = fields.String(
        required=True, metadata={"enum": list(Unit), "description": "What the code was worth, and the balance is of."}
    )


class NoticeObject(Input):
    id = Text(required=True, validate=[validate.Regexp(PROVIDER_ID, error="not_payment_id")])
    payment_id = Text(
        load_default=None,
        validate=[validate.Regexp(PROVIDER_ID, error="not_payment_id")],
        metadata={"description": "Of a refund: the payment that is given back."},
    )


class Notice(Input):
    """A notification as YooKassa sends it. Of all it says we only take which payment to ask YooKassa about."""

    EXAMPLE = {
        "type": "notification",
        "event": "payment.succeeded",
        "object": {"id": "22d6d597-000f-5000-9000-145f6df21d6f", "status": "succeeded"},
    }

    event = Text(required=True, max_length=64)
    object = Record(NoticeObject, required=True)
