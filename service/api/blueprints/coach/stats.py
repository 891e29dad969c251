"""`/api/user/stats`: how much somebody has talked, and how much they still may."""

from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint
from service.api.dialogs import speaks_french
from service.api.fields import Moment, Output, Record
from service.api.schemas import EXAMPLE_TIME, OwnerQuery
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope
from service.domain.plans import Plan

blueprint = ApiBlueprint("stats", __name__, url_prefix="/api/user/stats", description="The coach")
speaks_french(blueprint)

STATUSES = ("ACTIVE", "BLOCKED")


class StatsView(Output):
    total_chats = fields.Integer(required=True)
    total_messages = fields.Integer(required=True)
    remaining_credits = fields.Integer(
        required=True, allow_none=True, metadata={"description": "`null` for a plan without a limit."}
    )
    unlimited = fields.Boolean(required=True)
    plan = fields.String(required=True, metadata={"enum": list(Plan)})
    period_ends_at = Moment(required=True, metadata={"description": "When the next month's credits come."})
    status = fields.String(required=True, metadata={"enum": list(STATUSES)})


class Stats(Output):
    EXAMPLE = {
        "stats": {
            "totalChats": 5,
            "totalMessages": 47,
            "remainingCredits": 3,
            "unlimited": False,
            "plan": "BASIC",
            "periodEndsAt": EXAMPLE_TIME,
            "status": "ACTIVE",
        }
    }

    stats = Record(StatsView, required=True)


@blueprint.route("", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(OwnerQuery, location="query")
@blueprint.response(200, Stats, description="Sessions, messages, credits and plan")
def stats(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Show the statistics of a user"""
    found = services().billing.statement(actor, query["user_id"])
    chats, messages = services().dialogs.totals(actor, query["user_id"])
    return {
        "stats": {
            "total_chats": chats,
            "total_messages": messages,
            "remaining_credits": found.credits.remaining,
            "unlimited": found.credits.unlimited,
            "plan": found.credits.plan,
            "period_ends_at": found.credits.period_ends_at,
            "status": "BLOCKED" if found.account.blocked else "ACTIVE",
        }
    }
