"""What the use cases need to take money: payment providers, and the payments and redeem codes as they are stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from service.domain.billing import Wallet
from service.domain.payments import Payment, PaymentStatus, RedeemCode, Refund, RefundStatus
from service.usecases.ports.records import IdempotencyKey, Page


class ProviderStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """A payment as its provider has it now. `order_id` is our payment's id, which the provider was given with it."""

    id: str
    status: ProviderStatus
    order_id: str
    amount_minor: int
    currency: str
    confirmation_url: str | None = None
    refunded_minor: int = 0
    cancel_reason: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderRefund:
    id: str
    status: RefundStatus


class ProviderUnavailable(Exception):
    """It is not known what the provider did, if anything; `reason` is a word or two for logs and metrics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ProviderRefused(Exception):
    """The provider has refused and done nothing; `reason` says why, for operators."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PaymentProvider(Protocol):
    """Each call is one request with a short time limit. Repeating one does nothing twice.

    Raises ProviderUnavailable, and ProviderRefused where something was to be done.
    """

    def confirmed_by_hand(self) -> bool:
        """Whether an operator says that the money has come, because nobody else can be asked."""

    def create(self, payment: Payment) -> ProviderPayment:
        """Place the order, under the payment's id as idempotence key."""

    def read(self, provider_id: str) -> ProviderPayment | None:
        """None if the provider knows no such payment of ours."""

    def refund(self, payment: Payment) -> ProviderRefund:
        """Give the whole amount back, under `payment.refund_key`."""

    def read_refund(self, refund_id: str) -> ProviderRefund: ...


@dataclass(frozen=True, slots=True)
class TestPaymentPage:
    """What the payer of a payment of the development provider sees."""

    id: str
    status: ProviderStatus
    amount_minor: int
    currency: str
    description: str
    return_url: str


class TestPayments(Protocol):
    """The payer's side of the development provider."""

    def page(self, provider_id: str) -> TestPaymentPage | None: ...

    def decide(self, provider_id: str, *, pay: bool) -> TestPaymentPage | None:
        """Pay it or decline it, the first time only; as it is afterwards."""


@dataclass(frozen=True, slots=True)
class PaymentQuery:
    """A filter over payments, newest first."""

    account_id: str | None = None
    status: PaymentStatus | None = None
    cursor: str | None = None
    limit: int = 20


class Payments(Protocol):
    """Payments, and the movements of money that go with their states: each of those is one transaction.

    A change whose condition isn't met any more returns None and has changed nothing.
    """

    def add(self, payment: Payment, idempotency: IdempotencyKey | None) -> None:
        """Raises AlreadyDone."""

    def get(self, payment_id: str) -> Payment | None: ...

    def by_provider_id(self, provider: str, provider_id: str) -> Payment | None: ...

    def page(self, query: PaymentQuery) -> Page[Payment]: ...

    def due(self, now: datetime, limit: int) -> Sequence[Payment]:
        """Open payments whose `next_check_at` has come, longest waiting first."""

    def postpone(self, payment_id: str, until: datetime) -> None:
        """Don't look at an open payment before then."""

    def placed(self, payment_id: str, provider_id: str, confirmation_url: str | None) -> Payment | None:
        """Remember what the provider calls a pending payment and where it is paid."""

    def flag(self, payment_id: str, problem: str) -> Payment | None:
        """Leave it to an operator: it is looked at no more by itself."""

    def cancel(self, payment_id: str, reason: str, now: datetime, *, final: bool) -> Payment | None:
        """pending → cancelled; if that isn't the last word, it is looked at on."""

    def close(self, payment_id: str) -> None:
        """Look at a cancelled payment no more."""

    def succeed(
        self,
        payment: Payment,
        provider_id: str | None,
        actor_id: str,
        statuses: Sequence[PaymentStatus],
        idempotency: IdempotencyKey | None,
    ) -> Payment | None:
        """One of these statuses → succeeded, and the tokens credited. Raises AlreadyDone."""

    def begin_refund(self, payment: Payment, refund: Refund, idempotency: IdempotencyKey | None) -> Payment | None:
        """succeeded → refunding, and the tokens taken back. Raises BalanceTooLow, AlreadyDone."""

    def refund_placed(self, payment: Payment, refund_id: str) -> None:
        """Remember what the provider calls the refund."""

    def finish_refund(self, payment: Payment) -> Payment | None:
        """refunding → refunded."""

    def undo_refund(self, payment: Payment) -> Payment | None:
        """refunding → succeeded, and the tokens given back."""

    def absorb_refund(self, payment: Payment, refund: Refund) -> Payment | None:
        """succeeded → refunded, with as many of the tokens taken as are available."""


@dataclass(frozen=True, slots=True)
class CodeQuery:
    """A page of redeem codes, newest first, of one batch or of all."""

    batch_id: str | None = None
    cursor: str | None = None
    limit: int = 20


class RedeemCodes(Protocol):
    def add(self, codes: Sequence[tuple[RedeemCode, str]]) -> None:
        """Store codes, each with the hash of what it says. All or none."""

    def by_hash(self, code_hash: str) -> RedeemCode | None: ...

    def get(self, code_id: str) -> RedeemCode | None: ...

    def page(self, query: CodeQuery) -> Page[RedeemCode]: ...

    def claim(self, code: RedeemCode, account_id: str, idempotency: IdempotencyKey | None) -> Wallet | None:
        """Make it this account's and credit its tokens, in one transaction; None if somebody was faster.

        Raises AlreadyDone.
        """

    def revoke(self, code_id: str, now: datetime) -> RedeemCode | None:
        """None if it is claimed or revoked already."""


class PaymentTelemetry(Protocol):
    """Labels name providers and outcomes, never people."""

    def payment(self, provider: str, outcome: str) -> None: ...

    def redeemed(self, outcome: str) -> None: ...
