"""Webhooks and deliveries as the API shows them: without the secrets that URLs hold."""

from typing import Any

from service.domain.webhooks import Delivery, DeliveryStatus, Endpoint, masked


def webhook_body(endpoint: Endpoint, *, with_secret: bool = False) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": endpoint.id,
        "url": masked(endpoint.url, endpoint.format),
        "events": list(endpoint.events),
        "format": endpoint.format.value,
        "template": endpoint.template,
        "part_characters": endpoint.part_characters,
        "enabled": endpoint.enabled,
        "disabled_reason": endpoint.disabled_reason,
        "old_secret_until": endpoint.old_secret_until,
        "created_at": endpoint.created_at,
    }
    return {**body, "secret": endpoint.secret} if with_secret else body


def delivery_body(delivery: Delivery) -> dict[str, Any]:
    return {
        "id": delivery.id,
        "user_id": delivery.account_id,
        "event": delivery.event.value,
        "job_id": delivery.job_id,
        "webhook_id": delivery.endpoint_id,
        "origin": delivery.origin,
        "status": delivery.status.value,
        "tries": delivery.tries,
        "last_status": delivery.last_status,
        "last_error": delivery.last_error,
        "next_attempt_at": delivery.next_at if delivery.status is DeliveryStatus.PENDING else None,
        "created_at": delivery.created_at,
        "finished_at": delivery.finished_at,
    }
