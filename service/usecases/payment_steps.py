"""What a provider's word does to a payment: the one place where payers, notifications, operators and the sweep meet.

Nothing but the provider's own answer is believed, and every step may be repeated or happen twice at once: the stored
state decides, and ledger entries are unique per payment. No provider is asked within a transaction.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import structlog

from service.domain.billing import SYSTEM_ACTOR_ID
from service.domain.payments import (
    UNPAID_STATUSES,
    Payment,
    PaymentStatus,
    ProviderName,
    Refund,
    RefundStatus,
    next_check,
)
from service.usecases import ports

log = structlog.get_logger(__name__)

Providers = Mapping[ProviderName, ports.PaymentProvider]


class PaymentSteps:
    def __init__(
        self,
        *,
        payments: ports.Payments,
        providers: Providers,
        telemetry: ports.PaymentTelemetry,
        clock: ports.Clock,
        pause: timedelta,
    ) -> None:
        self._payments = payments
        self._providers = providers
        self._telemetry = telemetry
        self._clock = clock
        self._pause = pause

    def knows(self, name: ProviderName) -> bool:
        """Whether this installation has anything to do with a provider."""
        return name in self._providers

    def provider(self, name: ProviderName) -> ports.PaymentProvider:
        """Raises ProviderUnavailable if this installation doesn't know it, or no longer."""
        found = self._providers.get(name)
        if found is None:
            raise ports.ProviderUnavailable("not configured")
        return found

    def read(self, name: ProviderName, provider_id: str) -> ports.ProviderPayment | None:
        """What a provider knows under an id of its own. Raises ProviderUnavailable."""
        return self.provider(name).read(provider_id)

    def place(self, payment: Payment) -> Payment:
        """Order a pending payment at its provider, again if that may have happened; the payment as it is then.

        Raises ProviderUnavailable, and ProviderRefused, by which the payment is cancelled.
        """
        try:
            found = self.provider(payment.provider).create(payment)
        except ports.ProviderRefused as refusal:
            log.error("payment refused by its provider", payment_id=payment.id, reason=refusal.reason)
            self.cancel(payment, f"refused: {refusal.reason}")
            raise
        return self.hear(payment, found)

    def check(self, payment: Payment) -> Payment:
        """Ask the provider how a payment that it knows is doing. Raises ProviderUnavailable."""
        if payment.provider_id is None:
            raise ValueError("nothing to ask about")
        found = self.provider(payment.provider).read(payment.provider_id)
        if found is None:
            return self._flag(payment, "unknown_to_provider")
        return self.hear(payment, found)

    def hear(self, payment: Payment, found: ports.ProviderPayment) -> Payment:
        """Do what follows from what the provider has just said; the payment as it is then."""
        problem = _mismatch(payment, found)
        if problem is not None:
            return self._flag(payment, problem)
        if found.status is ports.ProviderStatus.SUCCEEDED:
            changed = self._paid(payment, found)
        elif found.status is ports.ProviderStatus.CANCELLED:
            changed = self.cancel(payment, found.cancel_reason or "by provider")
            if changed is None:
                self.close(payment)
        else:
            changed = self._payments.placed(payment.id, found.id, found.confirmation_url)
        return changed or self._now(payment)

    def cancel(self, payment: Payment, reason: str, *, final: bool = True) -> Payment | None:
        """None if it isn't pending any more. If it may be paid all the same, not `final`: the sweep asks on."""
        cancelled = self._payments.cancel(payment.id, reason, self._clock.now(), final=final)
        if cancelled is not None:
            log.info("payment cancelled", payment_id=payment.id, reason=reason)
            self._telemetry.payment(payment.provider, "cancelled")
        return cancelled

    def credit_by_hand(self, payment: Payment, actor_id: str, key: ports.IdempotencyKey | None) -> Payment | None:
        """Credit a pending payment, once; None if it isn't pending any more. Raises AlreadyDone."""
        return self._credited(self._payments.succeed(payment, None, actor_id, (PaymentStatus.PENDING,), key))

    def close(self, payment: Payment) -> None:
        """Nobody can pay it any more: look at it no more if it is cancelled."""
        self._payments.close(payment.id)

    def push_refund(self, payment: Payment) -> Payment:
        """Bring a refund that has begun to its end, or as far as the provider has got. Raises ProviderUnavailable."""
        provider, refund = self.provider(payment.provider), payment.refund
        if refund is None:
            raise ValueError("no refund has begun")
        try:
            given = provider.refund(payment) if refund.provider_id is None else provider.read_refund(refund.provider_id)
        except ports.ProviderRefused as refusal:
            return self._refund_refused(payment, refusal)
        if given.status is RefundStatus.PENDING:
            self._payments.refund_placed(payment, given.id)
            return self._now(payment)
        return self._end_refund(payment, done=given.status is RefundStatus.SUCCEEDED)

    def postpone(self, payment: Payment) -> None:
        """Look at it again later, the later the older it is."""
        self._payments.postpone(payment.id, self.next_check(payment.created_at))

    def next_check(self, created_at: datetime) -> datetime:
        """When a payment that was made then is looked at again."""
        return next_check(created_at, self._clock.now(), self._pause)

    def _paid(self, payment: Payment, found: ports.ProviderPayment) -> Payment | None:
        current = payment
        if payment.status in UNPAID_STATUSES:
            credited = self._credited(self._payments.succeed(payment, found.id, SYSTEM_ACTOR_ID, UNPAID_STATUSES, None))
            if credited is None:
                return None
            current = credited
        if current.status is PaymentStatus.SUCCEEDED and found.refunded_minor:
            return self._refunded_elsewhere(current, found.refunded_minor)
        return current

    def _credited(self, credited: Payment | None) -> Payment | None:
        if credited is not None:
            whose = {"payment_id": credited.id, "account_id": credited.account_id}
            log.info("payment credited", **whose, tokens=credited.tokens, unit=credited.unit)
            self._telemetry.payment(credited.provider, "succeeded")
        return credited

    def _refunded_elsewhere(self, payment: Payment, refunded_minor: int) -> Payment | None:
        """The operator gave money back in the provider's own cabinet: take the tokens, as far as there are any."""
        if refunded_minor < payment.amount_minor:
            return self._flag(payment, "refunded_in_part")
        refund = Refund(
            number=payment.refund_number + 1,
            status=RefundStatus.SUCCEEDED,
            tokens=payment.tokens,
            reason="at the provider",
            requested_by=SYSTEM_ACTOR_ID,
            requested_at=self._clock.now(),
            finished_at=self._clock.now(),
        )
        absorbed = self._payments.absorb_refund(payment, refund)
        if absorbed is not None and absorbed.refund is not None:
            shortfall = absorbed.refund.shortfall_tokens
            log.warning("payment refunded at its provider", payment_id=payment.id, shortfall_tokens=shortfall)
            self._telemetry.payment(payment.provider, "refunded")
        return absorbed

    def _refund_refused(self, payment: Payment, refusal: ports.ProviderRefused) -> Payment:
        """Refused because it is done already, long ago and without our hearing it? Only the payment itself knows."""
        provider_id = payment.provider_id or ""
        found = self.provider(payment.provider).read(provider_id)
        done = found is not None and found.refunded_minor >= payment.amount_minor
        if not done:
            log.error("refund refused by the provider", payment_id=payment.id, reason=refusal.reason)
        return self._end_refund(payment, done=done)

    def _end_refund(self, payment: Payment, *, done: bool) -> Payment:
        ended = self._payments.finish_refund(payment) if done else self._payments.undo_refund(payment)
        if ended is not None:
            outcome = "refunded" if done else "refund_failed"
            log.info("refund ended", payment_id=payment.id, outcome=outcome)
            self._telemetry.payment(payment.provider, outcome)
        return ended or self._now(payment)

    def _flag(self, payment: Payment, problem: str) -> Payment:
        if payment.problem != problem:
            log.error("payment needs an operator", payment_id=payment.id, problem=problem)
            self._telemetry.payment(payment.provider, problem)
        return self._payments.flag(payment.id, problem) or payment

    def _now(self, payment: Payment) -> Payment:
        return self._payments.get(payment.id) or payment


def _mismatch(payment: Payment, found: ports.ProviderPayment) -> str | None:
    """What the provider tells of isn't what was ordered: an operator's case, never a credit."""
    if found.order_id != payment.id or payment.provider_id not in (None, found.id):
        return "another_order"
    if (found.amount_minor, found.currency) != (payment.amount_minor, payment.currency):
        return "another_amount"
    return None
