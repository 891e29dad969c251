"""`/api/payments/yookassa/notifications`: where YooKassa says that something happened to a payment."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from service.api.auth import client_address, public
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.gateway.payments_schemas import Notice
from service.api.schemas import Success
from service.api.state import services
from service.domain.errors import Forbidden
from service.domain.payments import ProviderName

blueprint = ApiBlueprint("payment-notices", __name__, url_prefix="/api/payments", description="For payment providers")

REFUND_EVENTS = "refund."


@blueprint.route("/yookassa/notifications", methods=["POST"])
@public
@fails_with(403, 404, 429)
@blueprint.arguments(Notice)
@blueprint.response(200, Success, description="Heard")
def yookassa(notice: dict[str, Any]) -> dict[str, Any]:
    """Hear of a payment from YooKassa

    To be registered there for `payment.succeeded`, `payment.canceled` and `refund.succeeded`. Notifications aren't
    signed, so nothing in them is believed: YooKassa is asked about the payment that they name, and what it answers
    counts. A forged, repeated or lost one changes nothing.
    """
    _check_source()
    refund = notice["event"].startswith(REFUND_EVENTS)
    named = notice["object"]["payment_id"] if refund else notice["object"]["id"]
    if named is not None:
        services().paying.payments.notified(ProviderName.YOOKASSA, named, refund=refund, address=client_address())
    return {"success": True}


def _check_source() -> None:
    networks = services().settings.notification_networks
    if networks and not any(_source() in network for network in networks):
        raise Forbidden("not an address of the payment provider")


def _source() -> IPv4Address | IPv6Address:
    try:
        address = ip_address(client_address())
    except ValueError as error:
        # Whatever a proxy made of it.
        raise Forbidden("no address") from error
    return getattr(address, "ipv4_mapped", None) or address
