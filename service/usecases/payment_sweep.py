"""What makes payments independent of notifications: whatever is open is asked about again until it is decided.

Runs every few seconds on one worker at a time, apart from upkeep, because it waits for somebody else's server.
"""

import structlog

from service.domain.payments import UNPAID_LIFE, UNPLACED_LIFE, Payment, PaymentStatus
from service.usecases import ports
from service.usecases.payment_steps import PaymentSteps

log = structlog.get_logger(__name__)

BATCH = 50
EXPIRED = "expired"


class PaymentSweep:
    def __init__(
        self,
        *,
        payments: ports.Payments,
        steps: PaymentSteps,
        leases: ports.Leases,
        outages: tuple[type[Exception], ...],
        clock: ports.Clock,
        holder: str,
        lease_seconds: int,
    ) -> None:
        self._payments = payments
        self._steps = steps
        self._leases = leases
        self._outages = outages
        self._clock = clock
        self._holder = holder
        self._lease_seconds = lease_seconds

    def __call__(self) -> bool:
        """One round; False if another worker is at it.

        The lease keeps two from asking the same questions; if it runs out under way, nothing happens twice.
        """
        if self._leases.take("payments", self._holder, self._lease_seconds) is None:
            return False
        for payment in self._payments.due(self._clock.now(), BATCH):
            # Before anything else, so that one which breaks the round isn't the first of the next one.
            self._steps.postpone(payment)
            try:
                self._go_on(payment)
            except ports.ProviderRefused:
                continue
            except ports.ProviderUnavailable as error:
                log.warning("payments left for later", provider=payment.provider, reason=error.reason)
                if error.reason != "not configured":
                    # Each of the others would only wait for it as long.
                    break
            except self._outages:
                raise
            except Exception:
                log.exception("payment can't be looked at", payment_id=payment.id)
        return True

    def _go_on(self, payment: Payment) -> None:
        if payment.status is PaymentStatus.REFUNDING:
            self._steps.push_refund(payment)
        elif payment.status is PaymentStatus.PENDING:
            self._go_on_waiting(payment)
        elif self._clock.now() - payment.created_at > UNPAID_LIFE:
            self._steps.close(payment)
        else:
            # Cancelled by us, and who has the address may pay all the same.
            self._steps.check(payment)

    def _go_on_waiting(self, payment: Payment) -> None:
        age = self._clock.now() - payment.created_at
        if self._steps.provider(payment.provider).confirmed_by_hand():
            # It is due once, when its time is over.
            self._steps.cancel(payment, EXPIRED)
        elif payment.provider_id is not None:
            checked = self._steps.check(payment)
            if checked.status is PaymentStatus.PENDING and age > UNPAID_LIFE:
                self._steps.cancel(checked, EXPIRED)
        elif age > UNPLACED_LIFE:
            # Its payer has never been told where to pay.
            self._steps.cancel(payment, EXPIRED)
        else:
            self._steps.place(payment)
