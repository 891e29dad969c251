"""`/api/billing`: what an account has, what it used, and how it gets more."""

from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any

from flask import Response, jsonify

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with, takes_header
from service.api.blueprints.gateway.billing_schemas import (
    Billing,
    Ledger,
    TopUp,
    Usage,
    UsageQuery,
)
from service.api.blueprints.gateway.payments_schemas import Ordered
from service.api.credits import credits_body
from service.api.headers import idempotency_key
from service.api.ledger import CSV, CSV_EXAMPLE, LedgerQuery, as_csv, ledger_body, wants_csv
from service.api.payments import payment_body
from service.api.schemas import NewBalance, OwnerQuery
from service.api.state import locale, services
from service.domain.accounts import Actor
from service.domain.billing import Unit
from service.domain.errors import ValidationFailed
from service.domain.keys import Scope
from service.usecases.payments import Order, Started

blueprint = ApiBlueprint("billing", __name__, url_prefix="/api/billing", description="Balance, ledger and usage")

USAGE_DAYS = 30
MAX_USAGE_DAYS = 366
_ORDERED = Ordered()


@blueprint.route("", methods=["GET"])
@authenticated("owner", Scope.BILLING_READ)
@fails_with(404)
@blueprint.arguments(OwnerQuery, location="query")
@blueprint.response(200, Billing, description="The account's money")
def statement(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Show the balance

    `currentBalance` can be spent; `held` is reserved for questions that are being answered; both are tokens. `credits`
    pay for the answers of assistants whose meter is `credits`.
    """
    found = services().billing.statement(actor, query["user_id"])
    return {
        "user_id": actor.name_of(found.account.id, found.account.external_id),
        "total_tokens": found.wallet.total_tokens,
        "current_balance": found.wallet.available,
        "held": found.wallet.held,
        "plan": found.account.plan,
        "credits": credits_body(found.credits),
    }


@blueprint.route("/ledger", methods=["GET"])
@authenticated("owner", Scope.BILLING_READ)
@blueprint.arguments(LedgerQuery, location="query")
@blueprint.response(200, Ledger, description="A page of entries, newest first; all of them as CSV")
@blueprint.alt_response(200, schema={"type": "string"}, content_type=CSV, example=CSV_EXAMPLE, success=True)
def ledger(query: dict[str, Any], *, actor: Actor) -> dict[str, Any] | Response:
    """List the ledger

    Every movement of the balance, or of the credits, newest first. `Accept: text/csv` gives all entries as one file.
    """
    page = services().billing.ledger(actor, query["user_id"], Unit(query["unit"]))
    return as_csv(page) if wants_csv() else ledger_body(page(query["cursor"], query["limit"]))


@blueprint.route("/usage", methods=["GET"])
@authenticated("owner", Scope.BILLING_READ)
@blueprint.arguments(UsageQuery, location="query")
@blueprint.response(200, Usage, description="Sums of the period")
def usage(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Sum up the usage

    By day or by model, of the days `from` to `to` (UTC, both included); the last 30 by default.
    """
    first, last = _period(query["first_day"], query["last_day"])
    totals = services().billing.usage(actor, query["user_id"], first.isoformat(), last.isoformat(), query["group"])
    return {"first_day": first, "last_day": last, "group": query["group"], "usage": totals}


@blueprint.route("/topup", methods=["POST"])
@authenticated("owner", Scope.BILLING_TOPUP)
@fails_with(404, 409, 429)
@takes_header("Idempotency-Key")
@blueprint.arguments(TopUp)
@blueprint.response(200, NewBalance, description="Credited at once")
@blueprint.alt_response(202, schema=Ordered, description="To be paid: the balance changes when it is", success=True)
def top_up(given: dict[str, Any], *, actor: Actor) -> dict[str, Any] | Response:
    """Top up a balance

    An admin credits anybody at once, and an API key with the scope `billing:topup` its own end users. A person pays:
    202 with the payment's id and the `confirmationUrl` at which to pay; what tokens and credits cost is told by
    `GET /api/billing/topup`. With `unit: credits` they are extra credits, which don't end with the month. Where nobody
    pays by themselves, 403 says whom to ask.
    """
    key, unit = idempotency_key(actor, given), Unit(given["unit"])
    if not services().billing.credits_at_once(actor):
        order = Order(given["amount"], given["email"], given["phone"], unit, locale())
        return _ordered(services().paying.payments.start(actor, given["user_id"], order, key))
    wallet = services().billing.top_up(actor, given["user_id"], given["amount"], key, unit)
    return {"success": True, "current_balance": wallet.available}


def _ordered(started: Started) -> Response:
    balance = {"success": True, "current_balance": started.balance}
    response = jsonify(_ORDERED.dump({**balance, **payment_body(started.payment)}))
    response.status_code = HTTPStatus.ACCEPTED
    response.headers["Location"] = f"/api/billing/payments/{started.payment.id}"
    return response


def _period(first: date | None, last: date | None) -> tuple[date, date]:
    last = last or datetime.now(UTC).date()
    first = first or date.fromordinal(max(1, last.toordinal() - USAGE_DAYS + 1))
    if first > last:
        raise ValidationFailed(details={"to": ["dates_order"]})
    if (last - first).days >= MAX_USAGE_DAYS:
        raise ValidationFailed(details={"from": [f"dates_span:{MAX_USAGE_DAYS}"]})
    return first, last
