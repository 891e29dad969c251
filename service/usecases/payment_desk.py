"""What operators do with payments: look, confirm what came by hand, cancel, give back. Every change is audited."""

from collections.abc import Callable
from functools import partial

import structlog

from service.domain.accounts import Actor
from service.domain.errors import BalanceTooLow, Forbidden, NotFound, PaymentSpent, PaymentState, PaymentUnavailable
from service.domain.payments import UNPAID_STATUSES, Payment, PaymentStatus, Refund, RefundStatus
from service.usecases import ports
from service.usecases.audit import Auditor
from service.usecases.payment_steps import PaymentSteps
from service.usecases.replays import Replays

log = structlog.get_logger(__name__)


class PaymentDesk:
    def __init__(
        self,
        *,
        payments: ports.Payments,
        steps: PaymentSteps,
        replays: Replays,
        auditor: Auditor,
        clock: ports.Clock,
    ) -> None:
        self._replays = replays
        self._payments = payments
        self._steps = steps
        self._auditor = auditor
        self._clock = clock

    def page(self, actor: Actor, query: ports.PaymentQuery) -> ports.Page[Payment]:
        """Everybody's, newest first, for staff."""
        if not actor.is_staff:
            raise Forbidden("staff only")
        return self._payments.page(query)

    def confirm(self, actor: Actor, payment_id: str, reason: str, key: ports.IdempotencyKey | None) -> Payment:
        """Credit a payment by hand, or one of a provider if that says now that it is paid: its word goes before ours.

        With an idempotency key that has credited by hand it is the payment as it is now. Raises NotFound, PaymentState
        for one that isn't paid, or is credited already, PaymentUnavailable, IdempotencyMismatch.
        """
        payment = self._found(actor, payment_id)
        if self._replays.earlier(key) is not None:
            return payment
        with self._auditor.change(actor, "payment.confirm", payment.account_id, payment_id=payment_id, reason=reason):
            if self._by_hand(payment):
                credit = partial(self._steps.credit_by_hand, payment, actor.record_id, key)
                return self._once(credit, payment, key) or self._refuse(payment_id)
            if payment.status not in UNPAID_STATUSES or payment.provider_id is None:
                # One that was never placed can't have been paid.
                self._refuse(payment_id)
            checked = self._asked(payment)
            return checked if checked.status is PaymentStatus.SUCCEEDED else self._refuse(payment_id)

    def cancel(self, actor: Actor, payment_id: str, reason: str) -> Payment:
        """Stop waiting for a pending payment. Money that comes for it later all the same is still credited.

        Raises NotFound, PaymentState.
        """
        payment = self._found(actor, payment_id)
        with self._auditor.change(actor, "payment.cancel", payment.account_id, payment_id=payment_id, reason=reason):
            return self._steps.cancel(payment, reason, final=not self._payable(payment)) or self._refuse(payment_id)

    def refund(self, actor: Actor, payment_id: str, reason: str, key: ports.IdempotencyKey | None) -> Payment:
        """Give the whole of a payment back, and take all of its tokens: refused if some are spent or held.

        The tokens are taken first. If the provider doesn't answer, the payment stays `refunding` and the sweep goes on
        with it; if it refuses, the tokens are given back. Asking again goes on with what has begun; with an idempotency
        key that has begun a refund it is the payment as it is now.

        Raises NotFound, PaymentState, PaymentSpent, IdempotencyMismatch.
        """
        payment = self._found(actor, payment_id)
        if self._replays.earlier(key) is not None:
            return payment
        with self._auditor.change(actor, "payment.refund", payment.account_id, payment_id=payment_id, reason=reason):
            if payment.status is PaymentStatus.SUCCEEDED:
                payment = self._begin_refund(actor, payment, reason, key)
            elif payment.status is not PaymentStatus.REFUNDING:
                self._refuse(payment_id)
            if payment.status is not PaymentStatus.REFUNDING:
                # A twin of this request was faster, and has finished it.
                return payment
            try:
                return self._steps.push_refund(payment)
            except ports.ProviderUnavailable as error:
                log.warning("refund left to the sweep", payment_id=payment_id, reason=error.reason)
                return payment

    def _begin_refund(self, actor: Actor, payment: Payment, reason: str, key: ports.IdempotencyKey | None) -> Payment:
        refund = Refund(
            number=payment.refund_number + 1,
            status=RefundStatus.PENDING,
            tokens=payment.tokens,
            reason=reason,
            requested_by=actor.record_id,
            requested_at=self._clock.now(),
        )
        try:
            begin = partial(self._payments.begin_refund, payment, refund, key)
            return self._once(begin, payment, key) or self._refuse(payment.id)
        except BalanceTooLow as low:
            if self._found(actor, payment.id).status is not PaymentStatus.SUCCEEDED:
                # They are not spent but taken, by a refund that came first.
                self._refuse(payment.id)
            available, held = low.extra["currentBalance"], low.extra["held"]
            raise PaymentSpent(required=payment.tokens, available=available, held=held) from low

    def _once(
        self, change: Callable[[], Payment | None], payment: Payment, key: ports.IdempotencyKey | None
    ) -> Payment | None:
        """The changed payment; if a twin with the same key was faster, what that made of it."""
        try:
            return change()
        except ports.AlreadyDone as race:
            self._replays.same(race.record, key)
            return self._payments.get(payment.id)

    def _asked(self, payment: Payment) -> Payment:
        try:
            return self._steps.check(payment)
        except ports.ProviderUnavailable as error:
            raise PaymentUnavailable(error.reason) from error

    def _payable(self, payment: Payment) -> bool:
        """Whether somebody may have an address at which it can be paid, whatever we think of it."""
        try:
            return payment.provider_id is not None and not self._by_hand(payment)
        except PaymentUnavailable:
            # Its provider isn't configured now, and may be again.
            return True

    def _by_hand(self, payment: Payment) -> bool:
        try:
            return self._steps.provider(payment.provider).confirmed_by_hand()
        except ports.ProviderUnavailable as error:
            raise PaymentUnavailable(error.reason) from error

    def _found(self, actor: Actor, payment_id: str) -> Payment:
        if not actor.is_admin:
            raise Forbidden("admins only")
        payment = self._payments.get(payment_id)
        if payment is None:
            raise NotFound("payment")
        return payment

    def _refuse(self, payment_id: str) -> Payment:
        """Say in which state the payment is, which is none in which this can be done."""
        payment = self._payments.get(payment_id)
        if payment is None:
            raise NotFound("payment")
        raise PaymentState(status=payment.status.value)
