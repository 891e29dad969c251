"""Payments outside of any system: the payer is shown a page that says how, and an operator says that it has come."""

from service.domain.payments import Payment, RefundStatus
from service.usecases.ports import ProviderPayment, ProviderRefund, ProviderStatus


class ManualPayments:
    """Nobody can be asked, so a payment is known as what it was ordered as."""

    def __init__(self, page_url: str) -> None:
        self._page_url = page_url

    def confirmed_by_hand(self) -> bool:
        """See `ports.PaymentProvider.confirmed_by_hand`."""
        return True

    def create(self, payment: Payment) -> ProviderPayment:
        """See `ports.PaymentProvider.create`."""
        return ProviderPayment(
            id=payment.id,
            status=ProviderStatus.PENDING,
            order_id=payment.id,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            confirmation_url=self._page_url,
        )

    def read(self, provider_id: str) -> ProviderPayment | None:
        """See `ports.PaymentProvider.read`."""
        return None

    def refund(self, payment: Payment) -> ProviderRefund:
        """See `ports.PaymentProvider.refund`: the operator who asks for it sends the money."""
        return ProviderRefund(payment.refund_key, RefundStatus.SUCCEEDED)

    def read_refund(self, refund_id: str) -> ProviderRefund:
        """See `ports.PaymentProvider.read_refund`."""
        return ProviderRefund(refund_id, RefundStatus.SUCCEEDED)
