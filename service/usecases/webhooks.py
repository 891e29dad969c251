"""What owners do with their webhooks: endpoints, secrets, deliveries; and what operators see of all of them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from service.domain.accounts import Actor
from service.domain.callback_urls import CallbackPolicy
from service.domain.errors import Forbidden, NotFound, ValidationFailed
from service.domain.parts import PART_CHARACTERS
from service.domain.webhooks import (
    JOB_EVENTS,
    Delivery,
    Endpoint,
    EventType,
    Template,
    WebhookFormat,
    callback_profile_id,
    new_secret,
    origin,
)
from service.usecases import ports
from service.usecases.audit import Auditor
from service.usecases.owners import Owners
from service.usecases.webhook_messages import unknown_placeholders

MAX_ENDPOINTS = 20
MASK = "***"


class WebhookService:
    def __init__(
        self,
        *,
        owners: Owners,
        auditor: Auditor,
        endpoints: ports.Endpoints,
        deliveries: ports.Deliveries,
        bell: ports.DeliveryBell,
        policy: CallbackPolicy,
        clock: ports.Clock,
    ) -> None:
        self._owners = owners
        self._auditor = auditor
        self._endpoints = endpoints
        self._deliveries = deliveries
        self._bell = bell
        self._policy = policy
        self._clock = clock

    def create(self, actor: Actor, fields: Mapping[str, Any]) -> Endpoint:
        """A new endpoint, with its secret. Raises UnsafeCallbackUrl, ValidationFailed."""
        if len(self._endpoints.of_account(actor.account_id)) >= MAX_ENDPOINTS:
            raise ValidationFailed(details={"url": [f"too_many_webhooks:{MAX_ENDPOINTS}"]})
        endpoint = Endpoint(
            id=uuid4().hex,
            account_id=actor.account_id,
            url=fields["url"],
            events=tuple(fields.get("events") or JOB_EVENTS),
            format=WebhookFormat(fields.get("format") or WebhookFormat.NATIVE),
            secret=new_secret(),
            created_at=self._clock.now(),
            template=fields.get("template"),
            part_characters=fields.get("part_characters") or PART_CHARACTERS,
        )
        self._check(endpoint)
        self._endpoints.add(endpoint)
        return endpoint

    def list(self, actor: Actor) -> list[Endpoint]:
        """One's own, oldest first."""
        return self._endpoints.of_account(actor.account_id)

    def get(self, actor: Actor, endpoint_id: str) -> Endpoint:
        return self._owned(actor, endpoint_id, "webhook.read")

    def update(self, actor: Actor, endpoint_id: str, changes: Mapping[str, Any]) -> Endpoint:
        """Change what is named. Raises UnsafeCallbackUrl, ValidationFailed."""
        endpoint = self._owned(actor, endpoint_id, "webhook.change")
        changed = replace(endpoint, **changes)
        if changed.enabled:
            changed = replace(changed, disabled_reason=None)
        elif endpoint.enabled:
            changed = replace(changed, disabled_reason="owner")
        self._check(changed)
        self._endpoints.save(changed)
        return changed

    def delete(self, actor: Actor, endpoint_id: str) -> None:
        """Its deliveries that are still due will be dead."""
        self._owned(actor, endpoint_id, "webhook.delete")
        self._endpoints.delete(endpoint_id)

    def rotate(self, actor: Actor, endpoint_id: str, overlap_hours: int) -> Endpoint:
        """A new secret; the old one signs too for so long."""
        endpoint = self._owned(actor, endpoint_id, "webhook.rotate")
        return self._rotated(endpoint, overlap_hours)

    def callback_secret(self, actor: Actor, overlap_hours: int) -> Endpoint:
        """A new secret for the account's per-job callbacks, which are unsigned until there is one."""
        profile = self._endpoints.get(callback_profile_id(actor.account_id))
        if profile is not None:
            return self._rotated(profile, overlap_hours)
        profile = Endpoint(
            id=callback_profile_id(actor.account_id),
            account_id=actor.account_id,
            url="",
            events=(),
            format=WebhookFormat.NATIVE,
            secret=new_secret(),
            created_at=self._clock.now(),
        )
        self._endpoints.add(profile)
        return profile

    def test(self, actor: Actor, endpoint_id: str, metadata: Mapping[str, Any]) -> Delivery:
        """Send a test event there, whatever events it wants."""
        endpoint = self._owned(actor, endpoint_id, "webhook.test")
        now = self._clock.now()
        delivery = Delivery(
            id=uuid4().hex,
            account_id=endpoint.account_id,
            event=EventType.TEST,
            destination=endpoint.id,
            origin=origin(endpoint.url),
            created_at=now,
            next_at=now,
            endpoint_id=endpoint.id,
            request_id=actor.request_id,
            subject={"message": "Test", "webhookId": endpoint.id, **({"metadata": metadata} if metadata else {})},
        )
        self._deliveries.add(delivery)
        self._bell.ring([delivery.destination])
        return delivery

    def deliveries(self, actor: Actor, endpoint_id: str, query: ports.DeliveryQuery) -> ports.Page[Delivery]:
        """Of one endpoint, newest first."""
        endpoint = self._owned(actor, endpoint_id, "webhook.deliveries")
        return self._deliveries.page(replace(query, endpoint_id=endpoint.id))

    def redeliver(self, actor: Actor, delivery_id: str) -> Delivery:
        """Send a delivery that ended once more, all of it. One that is under way stays as it is."""
        delivery = self._deliveries.get(delivery_id)
        if delivery is None:
            raise NotFound("delivery")
        self._owners.check(actor, delivery.account_id, None, "webhook.redeliver", delivery_id=delivery_id)
        self._deliveries.restart(delivery.id)
        self._bell.ring([delivery.destination])
        return self._deliveries.get(delivery.id) or delivery

    def all_deliveries(self, actor: Actor, query: ports.DeliveryQuery) -> ports.Page[Delivery]:
        """Of all accounts, for operators."""
        if not actor.is_staff:
            raise Forbidden("staff only")
        return self._deliveries.page(query)

    def redeliver_any(self, actor: Actor, delivery_id: str) -> Delivery:
        """`redeliver` for operators, on the record."""
        if not actor.is_admin:
            raise Forbidden("admins only")
        return self.redeliver(actor, delivery_id)

    def _rotated(self, endpoint: Endpoint, overlap_hours: int) -> Endpoint:
        until = self._clock.now() + timedelta(hours=overlap_hours)
        rotated = replace(endpoint, secret=new_secret(), old_secret=endpoint.secret, old_secret_until=until)
        self._endpoints.save(rotated)
        return rotated

    def _owned(self, actor: Actor, endpoint_id: str, action: str) -> Endpoint:
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None or not endpoint.url:
            raise NotFound("webhook")
        self._owners.check(actor, endpoint.account_id, None, action, webhook_id=endpoint_id)
        return endpoint

    def _check(self, endpoint: Endpoint) -> None:
        if MASK in endpoint.url:
            raise ValidationFailed(details={"url": ["url_masked"]})
        self._policy.check(endpoint.url)
        if endpoint.format is not WebhookFormat.TEMPLATE:
            return
        if endpoint.template is None:
            raise ValidationFailed(details={"template": ["required"]})
        _check_template(endpoint.template)


def _check_template(template: Template) -> None:
    for text in template.fields.values():
        unknown = unknown_placeholders(text)
        if unknown:
            raise ValidationFailed(details={"template": [f"unknown_placeholder:{unknown[0]}"]})
