"""`/api/admin/payments`: everybody's payments, and what operators do about them."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with, takes_header
from service.api.blueprints.admin.schemas import REASON_MAX_CHARACTERS
from service.api.fields import Input, Text
from service.api.headers import idempotency_key
from service.api.payments import AdminPaymentPage, AdminPaymentView, PaymentFilter, admin_payment_body
from service.api.schemas import Id
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.payments import PaymentStatus
from service.usecases.ports import PaymentQuery

blueprint = ApiBlueprint(
    "admin-payments", __name__, url_prefix="/api/admin/payments", description="Operators: payments"
)


class PaymentSearch(PaymentFilter):
    user_id = Id(load_default=None, metadata={"description": "Whose payments; everybody's by default."})


class Decision(Input):
    EXAMPLE = {"reason": "Платёжное поручение 214 от 15 января"}

    reason = Text(required=True, min_length=1, max_length=REASON_MAX_CHARACTERS)


@blueprint.route("", methods=["GET"])
@authenticated("support")
@blueprint.arguments(PaymentSearch, location="query")
@blueprint.response(200, AdminPaymentPage, description="A page of payments, newest first")
def list_payments(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List the payments of all accounts"""
    wanted = PaymentQuery(
        account_id=query["user_id"],
        status=PaymentStatus(query["status"]) if query["status"] else None,
        cursor=query["cursor"],
        limit=query["limit"],
    )
    page = services().paying.desk.page(actor, wanted)
    return {"payments": [admin_payment_body(payment) for payment in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/<payment_id>/confirm", methods=["POST"])
@authenticated("admin")
@fails_with(404, 409)
@takes_header("Idempotency-Key")
@blueprint.arguments(Decision)
@blueprint.response(200, AdminPaymentView, description="Credited")
def confirm(given: dict[str, Any], *, actor: Actor, payment_id: str) -> dict[str, Any]:
    """Confirm a payment

    One of the provider `manual` is credited: its money has come. For any other the provider is asked, and it is
    credited if that says that it is paid. 409 says in which state it is instead.
    """
    return admin_payment_body(
        services().paying.desk.confirm(actor, payment_id, given["reason"], idempotency_key(actor, given))
    )


@blueprint.route("/<payment_id>/cancel", methods=["POST"])
@authenticated("admin")
@fails_with(404, 409)
@blueprint.arguments(Decision)
@blueprint.response(200, AdminPaymentView, description="Cancelled")
def cancel(given: dict[str, Any], *, actor: Actor, payment_id: str) -> dict[str, Any]:
    """Cancel a payment that nobody has paid

    If it is paid at its provider later all the same, it is credited.
    """
    return admin_payment_body(services().paying.desk.cancel(actor, payment_id, given["reason"]))


@blueprint.route("/<payment_id>/refund", methods=["POST"])
@authenticated("admin")
@fails_with(404, 409)
@takes_header("Idempotency-Key")
@blueprint.arguments(Decision)
@blueprint.response(200, AdminPaymentView, description="Refunded, or `refunding` until the provider has done it")
def refund(given: dict[str, Any], *, actor: Actor, payment_id: str) -> dict[str, Any]:
    """Refund a payment

    The whole of it: all of its tokens are taken back first, then the provider gives the money back. 409 if some of the
    tokens are spent or held. If the provider refuses, the tokens are given back.
    """
    return admin_payment_body(
        services().paying.desk.refund(actor, payment_id, given["reason"], idempotency_key(actor, given))
    )
