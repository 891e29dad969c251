"""`/api/webhooks`: where an account wants to be told of its jobs' ends, and what became of telling it."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.state import services
from service.api.webhook_schemas import (
    CallbackSecret,
    Deliveries,
    Delivery,
    DeliveryFilter,
    NewWebhook,
    SecretRotation,
    TestEvent,
    Webhook,
    WebhookChanges,
    Webhooks,
    WebhookWithSecret,
)
from service.api.webhooks import delivery_body, webhook_body
from service.domain.accounts import Actor
from service.domain.webhooks import DeliveryStatus, Endpoint, Template, WebhookFormat
from service.usecases.ports import DeliveryQuery

blueprint = ApiBlueprint("webhooks", __name__, url_prefix="/api/webhooks", description="Callbacks about jobs")


@blueprint.route("", methods=["POST"])
@authenticated("self")
@blueprint.arguments(NewWebhook)
@blueprint.response(201, WebhookWithSecret, description="The endpoint with its secret, which is shown this once")
def create(body: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Register a webhook endpoint

    It is told once of every job of the account that ends: `native` as JSON signed by Standard Webhooks, `botboom` as
    form posts to botboom.ru, `template` in the words of another receiver. At most 20 per account.
    """
    return webhook_body(services().webhooks.create(actor, {**body, **_template(body)}), with_secret=True)


@blueprint.route("", methods=["GET"])
@authenticated("self")
@blueprint.response(200, Webhooks, description="All of one's own, oldest first")
def list_webhooks(*, actor: Actor) -> dict[str, Any]:
    """List one's own webhook endpoints"""
    return {"webhooks": [webhook_body(endpoint) for endpoint in services().webhooks.list(actor)]}


@blueprint.route("/callback-secret", methods=["POST"])
@authenticated("self")
@blueprint.arguments(SecretRotation)
@blueprint.response(200, CallbackSecret, description="The new secret, which is shown this once")
def callback_secret(body: dict[str, Any], *, actor: Actor) -> Endpoint:
    """Make or change the secret that signs callbacks to `callbackUrl`

    Until there is one they are sent without a signature.
    """
    return services().webhooks.callback_secret(actor, body["overlap_hours"])


@blueprint.route("/<webhook_id>", methods=["GET"])
@authenticated("owner")
@fails_with(404)
@blueprint.response(200, Webhook, description="The endpoint, without its secret")
def get(*, actor: Actor, webhook_id: str) -> dict[str, Any]:
    """Look at a webhook endpoint"""
    return webhook_body(services().webhooks.get(actor, webhook_id))


@blueprint.route("/<webhook_id>", methods=["PATCH"])
@authenticated("owner")
@fails_with(404)
@blueprint.arguments(WebhookChanges)
@blueprint.response(200, Webhook, description="The endpoint as it is now")
def change(body: dict[str, Any], *, actor: Actor, webhook_id: str) -> dict[str, Any]:
    """Change a webhook endpoint

    Only what is named changes. One that was turned off because its receiver answered 410 is turned on again here.
    """
    changes = {**body, **_template(body)}
    if "events" in body:
        changes["events"] = tuple(body["events"])
    if "format" in body:
        changes["format"] = WebhookFormat(body["format"])
    return webhook_body(services().webhooks.update(actor, webhook_id, changes))


@blueprint.route("/<webhook_id>", methods=["DELETE"])
@authenticated("owner")
@fails_with(404)
@blueprint.response(204, description="Gone; what was still due for it will be dead")
def delete(*, actor: Actor, webhook_id: str) -> None:
    """Delete a webhook endpoint"""
    services().webhooks.delete(actor, webhook_id)


@blueprint.route("/<webhook_id>/secret", methods=["POST"])
@authenticated("owner")
@fails_with(404)
@blueprint.arguments(SecretRotation)
@blueprint.response(200, WebhookWithSecret, description="The endpoint with its new secret, which is shown this once")
def rotate(body: dict[str, Any], *, actor: Actor, webhook_id: str) -> dict[str, Any]:
    """Change an endpoint's secret

    For `overlapHours` each message has a signature by the old secret too.
    """
    return webhook_body(services().webhooks.rotate(actor, webhook_id, body["overlap_hours"]), with_secret=True)


@blueprint.route("/<webhook_id>/test", methods=["POST"])
@authenticated("owner")
@fails_with(404)
@blueprint.arguments(TestEvent)
@blueprint.response(202, Delivery, description="The delivery, which will be tried at once")
def test(body: dict[str, Any], *, actor: Actor, webhook_id: str) -> dict[str, Any]:
    """Send a test event to an endpoint"""
    return delivery_body(services().webhooks.test(actor, webhook_id, body["metadata"]))


@blueprint.route("/<webhook_id>/deliveries", methods=["GET"])
@authenticated("owner")
@fails_with(404)
@blueprint.arguments(DeliveryFilter, location="query")
@blueprint.response(200, Deliveries, description="A page of deliveries, newest first; kept for 30 days")
def list_deliveries(query: dict[str, Any], *, actor: Actor, webhook_id: str) -> dict[str, Any]:
    """List an endpoint's deliveries"""
    wanted = DeliveryQuery(
        status=DeliveryStatus(query["status"]) if query["status"] else None,
        cursor=query["cursor"],
        limit=query["limit"],
    )
    page = services().webhooks.deliveries(actor, webhook_id, wanted)
    return {"deliveries": [delivery_body(delivery) for delivery in page.items], "next_cursor": page.next_cursor}


@blueprint.route("/deliveries/<delivery_id>/redeliver", methods=["POST"])
@authenticated("owner")
@fails_with(404)
@blueprint.response(202, Delivery, description="The delivery; one that is still under way stays as it is")
def redeliver(*, actor: Actor, delivery_id: str) -> dict[str, Any]:
    """Send a delivery once more

    The receiver gets the same event under the same id.
    """
    return delivery_body(services().webhooks.redeliver(actor, delivery_id))


def _template(body: dict[str, Any]) -> dict[str, Any]:
    given = body.get("template")
    if given is None:
        return {}
    return {"template": Template(method=given["method"], body=given["body"], fields=given["field_map"])}
