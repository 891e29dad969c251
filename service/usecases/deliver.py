"""Tells receivers what happened: one destination's due deliveries in turn, each in a claim of its own.

A destination has a few slots. Whoever has none goes away at once, so a receiver that hangs holds up its own deliveries
and as many runners as it has slots, and nobody else's. What a runner leaves behind when it dies is a claim and a slot
whose leases run out; upkeep gives the delivery back and rings again.
"""

import random
from uuid import uuid4

import structlog

from service.domain.webhooks import (
    Delivery,
    DeliveryStatus,
    Endpoint,
    WebhookFormat,
    callback_profile_id,
    retry_delay,
)
from service.usecases import ports
from service.usecases.webhook_messages import Undeliverable, event, messages

log = structlog.get_logger(__name__)

SLOTS = 4
# How many deliveries one runner makes before it lets others have its greenlet.
BATCH = 50
GONE = 410


class DeliverService:
    def __init__(
        self,
        *,
        deliveries: ports.Deliveries,
        endpoints: ports.Endpoints,
        jobs: ports.Jobs,
        sender: ports.WebhookSender,
        bell: ports.DeliveryBell,
        telemetry: ports.Telemetry,
        clock: ports.Clock,
        outages: tuple[type[Exception], ...],
        worker_id: str,
        lease_seconds: int,
    ) -> None:
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._jobs = jobs
        self._sender = sender
        self._bell = bell
        self._telemetry = telemetry
        self._clock = clock
        self._outages = outages
        self._worker_id = worker_id
        self._lease_seconds = lease_seconds

    def __call__(self, destination: str) -> int:
        """Make what is due for a destination; how many tries that were."""
        holder = f"{self._worker_id}:{uuid4().hex[:8]}"
        if not self._deliveries.take_slot(destination, holder, SLOTS, self._lease_seconds):
            return 0
        try:
            for tries in range(BATCH):
                delivery = self._deliveries.claim(destination, self._lease_seconds)
                if delivery is None:
                    return tries
                self._try(delivery, holder)
                self._deliveries.take_slot(destination, holder, SLOTS, self._lease_seconds)
        finally:
            self._deliveries.leave_slot(destination, holder)
        self._bell.ring([destination])
        return BATCH

    def _try(self, delivery: Delivery, holder: str) -> None:
        about = {"delivery_id": delivery.id, "job_id": delivery.job_id, "request_id": delivery.request_id}
        with structlog.contextvars.bound_contextvars(**about):
            try:
                self._send(delivery, holder, *self._target(delivery))
            except Undeliverable as reason:
                self._end(delivery, DeliveryStatus.DEAD, None, None, reason.reason)
            except ports.SendFailed as failed:
                self._retry(delivery, None, failed.reason, None)
            except self._outages:
                raise
            except Exception:
                # A defect of ours counts as a failed try: claimed again and again, it would stand in others' way.
                log.exception("delivery broke")
                self._retry(delivery, None, "internal_error", None)

    def _target(self, delivery: Delivery) -> tuple[Endpoint, list[ports.WebhookRequest]]:
        job = None if delivery.job_id is None else self._jobs.get(delivery.job_id)
        if delivery.job_id is not None and job is None:
            raise Undeliverable("job_gone")
        if job is not None and job.erased_at is not None:
            raise Undeliverable("job_erased")
        endpoint = self._endpoints.get(delivery.endpoint_id or callback_profile_id(delivery.account_id))
        if delivery.endpoint_id is None:
            endpoint = self._callback(delivery, endpoint, job.callback_url if job else None)
        if endpoint is None:
            raise Undeliverable("endpoint_gone")
        if not endpoint.enabled:
            raise Undeliverable("endpoint_disabled")
        return endpoint, messages(endpoint, event(delivery, job), self._clock.now())

    def _callback(self, delivery: Delivery, profile: Endpoint | None, url: str | None) -> Endpoint | None:
        """The job's own callback URL as an endpoint, signed if the account has a secret for callbacks."""
        if url is None:
            return None
        return Endpoint(
            id=callback_profile_id(delivery.account_id),
            account_id=delivery.account_id,
            url=url,
            events=(),
            format=WebhookFormat.NATIVE,
            secret=profile.secret if profile else "",
            old_secret=profile.old_secret if profile else None,
            old_secret_until=profile.old_secret_until if profile else None,
            created_at=delivery.created_at,
        )

    def _send(self, delivery: Delivery, holder: str, endpoint: Endpoint, requests: list[ports.WebhookRequest]) -> None:
        status: int | None = None
        for number, request in enumerate(requests[delivery.parts_sent :], start=delivery.parts_sent + 1):
            reply = self._sender.send(request)
            status = reply.status
            if not 200 <= status < 300:
                self._refused(delivery, endpoint, reply)
                return
            # Remembered part by part, so that a later try doesn't repeat what has arrived.
            if number < len(requests):
                if not self._deliveries.progress(delivery, number, self._lease_seconds):
                    log.warning("delivery lost its claim")
                    return
                self._deliveries.take_slot(delivery.destination, holder, SLOTS, self._lease_seconds)
        self._end(delivery, DeliveryStatus.DELIVERED, endpoint.format, status, None)

    def _refused(self, delivery: Delivery, endpoint: Endpoint, reply: ports.WebhookReply) -> None:
        if reply.status == GONE:
            if delivery.endpoint_id is not None:
                self._endpoints.disable(delivery.endpoint_id, "gone")
            self._end(delivery, DeliveryStatus.DEAD, endpoint.format, reply.status, "gone")
            return
        self._retry(delivery, reply.status, "http_status", reply.retry_after_seconds)

    def _retry(
        self,
        delivery: Delivery,
        status: int | None,
        error: str,
        retry_after_seconds: int | None,
    ) -> None:
        delay = retry_delay(delivery.tries + 1, retry_after_seconds, random.random())
        if delay is None:
            self._end(delivery, DeliveryStatus.DEAD, None, status, error)
            return
        self._deliveries.postpone(delivery, delay, status, error)
        self._telemetry.webhook_delivery("retry")
        log.info("delivery postponed", status=status, reason=error, seconds=int(delay), tries=delivery.tries + 1)

    def _end(
        self,
        delivery: Delivery,
        outcome: DeliveryStatus,
        kind: WebhookFormat | None,
        status: int | None,
        error: str | None,
    ) -> None:
        if not self._deliveries.finish(delivery, outcome, status, error):
            log.warning("delivery lost its claim", outcome=outcome.value)
            return
        self._telemetry.webhook_delivery(outcome.value)
        if outcome is DeliveryStatus.DELIVERED:
            self._telemetry.webhook_lag((self._clock.now() - delivery.created_at).total_seconds())
        log.info("delivery ended", outcome=outcome.value, status=status, reason=error, format=kind and kind.value)
