"""`/api/billing/payments`, `…/redeem` and `…/topup`: how people pay, and what became of it."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with, takes_header
from service.api.blueprints.gateway.payments_schemas import Offer, OwnPayments, Redeem, Redeemed
from service.api.headers import idempotency_key
from service.api.payments import PaymentPage, PaymentView, payment_body
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.billing import Unit, unit_of
from service.domain.payments import CURRENCY, PaymentStatus, as_decimal
from service.usecases.ports import PaymentQuery

blueprint = ApiBlueprint("payments", __name__, url_prefix="/api/billing", description="Paying for tokens")


@blueprint.route("/topup", methods=["GET"])
@authenticated("self")
@blueprint.response(200, Offer, description="What tokens and credits cost")
def offer(*, actor: Actor) -> dict[str, Any]:
    """Show what tokens and credits cost

    And how many may be bought at once.
    """
    policy = services().paying.payments.policy
    tokens, credit = policy.prices[Unit.TOKENS], policy.prices[Unit.CREDITS]
    return {
        "provider": None if policy.provider is None else policy.provider.value,
        "currency": CURRENCY,
        "tokens_per_ruble": tokens.units,
        "min_tokens": tokens.least,
        "max_tokens": tokens.most,
        "credit_price": as_decimal(credit.kopecks),
        "min_credits": credit.least,
        "max_credits": credit.most,
        "receipt_contact_needed": policy.receipts is not None,
    }


@blueprint.route("/payments", methods=["GET"])
@authenticated("owner")
@blueprint.arguments(OwnPayments, location="query")
@blueprint.response(200, PaymentPage, description="A page of payments, newest first")
def list_payments(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List one's own payments"""
    wanted = PaymentQuery(
        status=PaymentStatus(query["status"]) if query["status"] else None,
        cursor=query["cursor"],
        limit=query["limit"],
    )
    page = services().paying.payments.page(actor, query["user_id"], wanted)
    return {"payments": [payment_body(payment) for payment in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/payments/<payment_id>", methods=["GET"])
@authenticated("owner")
@fails_with(404)
@blueprint.response(200, PaymentView, description="The payment as it is now")
def get_payment(*, actor: Actor, payment_id: str) -> dict[str, Any]:
    """Look at a payment

    The balance has changed once its status is `succeeded`.
    """
    return payment_body(services().paying.payments.get(actor, payment_id))


@blueprint.route("/redeem", methods=["POST"])
@authenticated("self")
@fails_with(409, 429)
@takes_header("Idempotency-Key")
@blueprint.arguments(Redeem)
@blueprint.response(200, Redeemed, description="Credited")
def redeem(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Redeem a code

    Credits its tokens, or extra credits, to one's own account, once. Too many wrong codes: 429.
    """
    wallet = services().paying.redeem.redeem(actor, given["code"], idempotency_key(actor, given))
    return {"success": True, "current_balance": wallet.available, "unit": unit_of(wallet.account_id)}
