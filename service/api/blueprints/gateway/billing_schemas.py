"""Bodies and parameters of `/api/billing`."""

from marshmallow import fields

from service.api.blueprints.gateway.auth_schemas import check_email
from service.api.credits import CreditsView
from service.api.fields import Choice, Day, Input, Output, Record, Text, Whole
from service.api.ledger import EXAMPLE_ENTRY, LedgerEntry
from service.api.payments import Phone
from service.api.schemas import (
    EXAMPLE_CURSOR,
    EXAMPLE_ID,
    EXAMPLE_USAGE_ROW,
    MAX_TOKENS,
    NextCursor,
    OwnerId,
    OwnerQuery,
    UsageRow,
)
from service.domain.billing import Unit


class Billing(Output):
    EXAMPLE = {
        "userId": EXAMPLE_ID,
        "totalTokens": 1258,
        "currentBalance": 98742,
        "held": 0,
        "plan": "FREE",
        "credits": CreditsView.EXAMPLE,
    }

    user_id = fields.String(required=True)
    total_tokens = fields.Integer(required=True, metadata={"description": "Tokens used so far."})
    current_balance = fields.Integer(required=True, metadata={"description": "Tokens that can be spent now."})
    held = fields.Integer(required=True, metadata={"description": "Tokens reserved for running questions."})
    plan = fields.String(required=True)
    credits = Record(CreditsView, required=True, metadata={"description": "What the plan allows, and extra ones."})


class Ledger(Output):
    EXAMPLE = {"entries": [EXAMPLE_ENTRY], "nextCursor": EXAMPLE_CURSOR}

    entries = fields.List(Record(LedgerEntry), required=True)
    next_cursor = NextCursor()


class UsageQuery(OwnerQuery):
    first_day = Day(load_default=None, data_key="from")
    last_day = Day(load_default=None, data_key="to")
    group = Choice(("day", "model"), load_default="day")


class Usage(Output):
    EXAMPLE = {"from": "2024-01-01", "to": "2024-01-30", "group": "day", "usage": [EXAMPLE_USAGE_ROW]}

    first_day = fields.Date(required=True, data_key="from")
    last_day = fields.Date(required=True, data_key="to")
    group = fields.String(required=True)
    usage = fields.List(Record(UsageRow), required=True)


class TopUp(Input):
    EXAMPLE = {"userId": EXAMPLE_ID, "amount": 1000000}

    user_id = OwnerId()
    amount = Whole(least=1, most=MAX_TOKENS, required=True, metadata={"description": "How much to add."})
    unit = Choice(tuple(Unit), load_default=Unit.TOKENS.value, metadata={"description": "Tokens, or extra credits."})
    email = Text(
        load_default=None,
        max_length=254,
        validate=[check_email],
        metadata={
            "format": "email",
            "description": "Of who pays: where the receipt goes; the account's own by default.",
        },
    )
    phone = Phone(
        load_default=None,
        metadata={"description": "The same for a receipt by SMS, with the country code.", "example": "+79001234567"},
    )
