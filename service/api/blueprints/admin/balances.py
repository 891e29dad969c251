"""`/api/admin/user/{userId}/balance`, `…/adjust`, `…/credits` and `…/ledger`: move what an account has and see every
movement."""

from typing import Any

from flask import Response

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with, takes_header
from service.api.blueprints.admin.schemas import AdjustBalance, AdjustCredits, AuditedLedger, CreditsState, SetBalance
from service.api.credits import credits_body
from service.api.headers import idempotency_key
from service.api.ledger import CSV, CSV_EXAMPLE, LedgerPageQuery, as_csv, ledger_body, wants_csv
from service.api.schemas import NewBalance
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.billing import Unit

blueprint = ApiBlueprint("admin-balances", __name__, url_prefix="/api/admin", description="Operators: balances")


@blueprint.route("/user/<user_id>/balance", methods=["POST"])
@authenticated("admin")
@fails_with(404, 409)
@takes_header("Idempotency-Key")
@blueprint.arguments(SetBalance)
@blueprint.response(200, NewBalance, description="The balance is this now")
def set_balance(given: dict[str, Any], *, actor: Actor, user_id: str) -> dict[str, Any]:
    """Set a balance

    To an absolute number of tokens, written to the ledger as a correction. What is held for running questions is not
    touched.
    """
    wallet = services().admin.set_balance(
        actor, user_id, given["amount"], given["reason"], given["expected_balance"], idempotency_key(actor, given)
    )
    return {"success": True, "current_balance": wallet.available}


@blueprint.route("/user/<user_id>/adjust", methods=["POST"])
@authenticated("admin")
@fails_with(404, 409)
@takes_header("Idempotency-Key")
@blueprint.arguments(AdjustBalance)
@blueprint.response(200, NewBalance, description="The balance is this now")
def adjust_balance(given: dict[str, Any], *, actor: Actor, user_id: str) -> dict[str, Any]:
    """Adjust a balance

    Adds tokens or takes them away. A balance never becomes negative: 409 says what is left.
    """
    wallet = services().admin.adjust_balance(
        actor, user_id, given["delta"], given["reason"], idempotency_key(actor, given)
    )
    return {"success": True, "current_balance": wallet.available}


@blueprint.route("/user/<user_id>/credits", methods=["POST"])
@authenticated("admin")
@fails_with(404, 409)
@takes_header("Idempotency-Key")
@blueprint.arguments(AdjustCredits)
@blueprint.response(200, CreditsState, description="The account has these credits now")
def adjust_credits(given: dict[str, Any], *, actor: Actor, user_id: str) -> dict[str, Any]:
    """Adjust the extra credits

    Adds extra credits or takes them away; those of the plan stay as they are. There are never less than none: 409 says
    what is left.
    """
    found = services().admin.adjust_credits(
        actor, user_id, given["delta"], given["reason"], idempotency_key(actor, given)
    )
    return {"success": True, "plan": found.plan, "credits": credits_body(found)}


@blueprint.route("/user/<user_id>/ledger", methods=["GET"])
@authenticated("support")
@fails_with(404)
@blueprint.arguments(LedgerPageQuery, location="query")
@blueprint.response(200, AuditedLedger, description="A page of entries, newest first; all of them as CSV")
@blueprint.alt_response(200, schema={"type": "string"}, content_type=CSV, example=CSV_EXAMPLE, success=True)
def ledger(query: dict[str, Any], *, actor: Actor, user_id: str) -> dict[str, Any] | Response:
    """List the ledger of an account"""
    page = services().admin.ledger(actor, user_id, Unit(query["unit"]))
    return as_csv(page) if wants_csv() else ledger_body(page(query["cursor"], query["limit"]))
