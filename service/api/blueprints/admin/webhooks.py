"""`/api/admin/webhooks`: deliveries of all accounts."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.state import services
from service.api.webhook_schemas import AdminDeliveries, AdminDelivery, AdminDeliveryFilter
from service.api.webhooks import delivery_body
from service.domain.accounts import Actor
from service.domain.webhooks import DeliveryStatus
from service.usecases.ports import DeliveryQuery

blueprint = ApiBlueprint(
    "admin-webhooks", __name__, url_prefix="/api/admin/webhooks/deliveries", description="Operators: webhook deliveries"
)


@blueprint.route("", methods=["GET"])
@authenticated("support")
@blueprint.arguments(AdminDeliveryFilter, location="query")
@blueprint.response(200, AdminDeliveries, description="A page of deliveries, newest first")
def list_deliveries(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List the webhook deliveries of all accounts"""
    wanted = DeliveryQuery(
        account_id=query["user_id"],
        status=DeliveryStatus(query["status"]) if query["status"] else None,
        cursor=query["cursor"],
        limit=query["limit"],
    )
    page = services().webhooks.all_deliveries(actor, wanted)
    return {"deliveries": [delivery_body(delivery) for delivery in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/<delivery_id>/redeliver", methods=["POST"])
@authenticated("admin")
@fails_with(404)
@blueprint.response(202, AdminDelivery, description="The delivery; one that is still under way stays as it is")
def redeliver(*, actor: Actor, delivery_id: str) -> dict[str, Any]:
    """Send somebody's delivery once more"""
    return delivery_body(services().webhooks.redeliver_any(actor, delivery_id))
