"""An account's credits as it and operators see them."""

from typing import Any

from marshmallow import fields

from service.api.fields import Moment, Output
from service.api.schemas import EXAMPLE_TIME
from service.domain.plans import Credits


class CreditsView(Output):
    EXAMPLE = {"remaining": 7, "extra": 3, "held": 0, "unlimited": False, "periodEndsAt": EXAMPLE_TIME}

    remaining = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Answers that are left, of the month and extra ones; null without a limit."},
    )
    extra = fields.Integer(
        required=True, metadata={"description": "Of them paid for: they don't end, and are spent after the month's."}
    )
    held = fields.Integer(required=True, metadata={"description": "Reserved for running questions."})
    unlimited = fields.Boolean(required=True)
    period_ends_at = Moment(required=True, metadata={"description": "When the plan's next credits come."})


def credits_body(found: Credits) -> dict[str, Any]:
    return {
        "remaining": found.remaining,
        "extra": found.extra,
        "held": found.held,
        "unlimited": found.unlimited,
        "period_ends_at": found.period_ends_at,
    }
