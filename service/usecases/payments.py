"""People pay for tokens and credits: a payment is stored, ordered at its provider, and credited when it is paid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

import structlog

from service.domain.accounts import Actor, Role
from service.domain.billing import Unit
from service.domain.errors import (
    NotFound,
    PaymentUnavailable,
    RateLimited,
    RegistrationRequired,
    TopUpUnavailable,
    ValidationFailed,
)
from service.domain.payments import (
    CURRENCY,
    MANUAL_LIFE,
    UNPAID_STATUSES,
    Payment,
    PaymentStatus,
    Price,
    ProviderName,
    Receipt,
)
from service.domain.texts import DEFAULT_LOCALE, text
from service.usecases import ports
from service.usecases.owners import Owners
from service.usecases.payment_steps import PaymentSteps
from service.usecases.replays import Replays

log = structlog.get_logger(__name__)

HOUR_SECONDS = 3600
STARTS_PER_HOUR = 60
MINUTE_SECONDS = 60
# Each costs a question to the provider: from one address about payments that we don't know, and about one that we do.
UNKNOWN_NOTICES_PER_MINUTE = 60
NOTICES_PER_MINUTE = 30
RETRY_SECONDS = 30
# The provider's receipts are Russian by law.
_RECEIPT_LOCALE = "ru"


@dataclass(frozen=True, slots=True)
class ReceiptPolicy:
    """What every receipt says of itself (54-FZ). Without a policy there are no receipts."""

    vat_code: int
    payment_subject: str
    payment_mode: str
    tax_system_code: int | None


@dataclass(frozen=True, slots=True)
class PaymentPolicy:
    """`provider` takes new payments, none if nobody pays here; `return_url` is where payers come back to."""

    provider: ProviderName | None
    prices: Mapping[Unit, Price]
    return_url: str
    receipts: ReceiptPolicy | None


@dataclass(frozen=True, slots=True)
class Order:
    """So many `tokens`, or credits, as somebody who reads `locale` wants to pay for; `email` and `phone` are for the
    receipt."""

    tokens: int
    email: str | None = None
    phone: str | None = None
    unit: Unit = Unit.TOKENS
    locale: str = DEFAULT_LOCALE


@dataclass(frozen=True, slots=True)
class Started:
    """`balance` is as it was, in the payment's unit: nothing is credited before it is paid."""

    payment: Payment
    balance: int


class PaymentService:
    def __init__(
        self,
        *,
        owners: Owners,
        accounts: ports.Accounts,
        money: ports.Money,
        payments: ports.Payments,
        steps: PaymentSteps,
        replays: Replays,
        rate_limits: ports.RateLimits,
        telemetry: ports.PaymentTelemetry,
        clock: ports.Clock,
        policy: PaymentPolicy,
    ) -> None:
        self._owners = owners
        self._accounts = accounts
        self._money = money
        self._payments = payments
        self._steps = steps
        self._replays = replays
        self._rate_limits = rate_limits
        self._telemetry = telemetry
        self._clock = clock
        self._policy = policy

    @property
    def policy(self) -> PaymentPolicy:
        """What paying costs here, and by whom it is done."""
        return self._policy

    def start(self, actor: Actor, user_id: str | None, order: Order, key: ports.IdempotencyKey | None) -> Started:
        """A pending payment and where it is paid. With a known idempotency key it is the one that the key led to.

        Raises Forbidden for somebody else's account, RegistrationRequired, TopUpUnavailable, ValidationFailed,
        RateLimited, IdempotencyMismatch, and PaymentUnavailable when the provider gives no address to pay at.
        """
        owner_id = self._owners.resolve(actor, user_id, "payment.start")
        if actor.role is Role.GUEST:
            raise RegistrationRequired()
        payment = self._earlier(key)
        if payment is None:
            payment = self._add(actor, owner_id, order, key)
        if payment.status is PaymentStatus.PENDING and payment.confirmation_url is None:
            payment = self._place(payment)
        wallet = self._money.wallet(payment.wallet_id)
        # Wallets of credits are made with what first comes into them.
        return Started(payment, 0 if wallet is None else wallet.available)

    def page(self, actor: Actor, user_id: str | None, query: ports.PaymentQuery) -> ports.Page[Payment]:
        """An account's payments, newest first, whatever account the query names. Raises Forbidden, NotFound."""
        owner_id = self._owners.resolve(actor, user_id, "payments.read")
        return self._payments.page(ports.PaymentQuery(owner_id, query.status, query.cursor, query.limit))

    def get(self, actor: Actor, payment_id: str) -> Payment:
        """Raises NotFound, Forbidden."""
        payment = self._payments.get(payment_id)
        if payment is None:
            raise NotFound("payment")
        self._owners.check(actor, payment.account_id, None, "payment.read", payment_id=payment_id)
        return payment

    def notified(self, provider: ProviderName, provider_id: str, *, refund: bool, address: str) -> None:
        """Somebody says that something happened to a payment: ask the provider whether it did.

        Nothing that is said is believed but which payment to ask about. If the provider is away, or is asked too often,
        the sweep soon asks about a payment that we know. Raises NotFound if nobody pays there, and for a payment that
        we don't know RateLimited, PaymentUnavailable.
        """
        if not self._steps.knows(provider):
            raise NotFound("provider")
        payment = self._payments.by_provider_id(provider, provider_id)
        if payment is None:
            self._stranger(provider, provider_id, address)
        elif self._rate_limits.hit("payment-told", payment.id, NOTICES_PER_MINUTE, MINUTE_SECONDS) is not None:
            self._payments.postpone(payment.id, self._clock.now())
        elif payment.status is PaymentStatus.REFUNDING:
            self._asking(payment, self._steps.push_refund)
        elif payment.status in UNPAID_STATUSES or refund:
            self._asking(payment, self._steps.check)

    def _asking(self, payment: Payment, ask: Callable[[Payment], Payment]) -> None:
        try:
            ask(payment)
        except ports.ProviderUnavailable as error:
            log.warning("notified, but the provider is away", payment_id=payment.id, reason=error.reason)
            self._payments.postpone(payment.id, self._clock.now())

    def _stranger(self, provider: ProviderName, provider_id: str, address: str) -> None:
        """The order is on its way through us still, or died on it: then the provider knows what we call it."""
        wait = self._rate_limits.hit("payment-notice", address, UNKNOWN_NOTICES_PER_MINUTE, MINUTE_SECONDS)
        if wait is not None:
            raise RateLimited(retry_after_seconds=wait, params={"seconds": wait})
        try:
            found = self._steps.read(provider, provider_id)
        except ports.ProviderUnavailable as error:
            raise PaymentUnavailable(error.reason, retry_after_seconds=RETRY_SECONDS) from error
        payment = None if found is None or not found.order_id else self._payments.get(found.order_id)
        if found is None or payment is None or payment.provider is not provider:
            log.warning("notified of a payment that is not ours")
            self._telemetry.payment(provider, "unknown_notice")
            return
        self._steps.hear(payment, found)

    def _earlier(self, key: ports.IdempotencyKey | None) -> Payment | None:
        payment_id = self._replays.earlier(key)
        return None if payment_id is None else self._found(payment_id)

    def _add(self, actor: Actor, owner_id: str, order: Order, key: ports.IdempotencyKey | None) -> Payment:
        policy = self._policy
        if policy.provider is None:
            raise TopUpUnavailable()
        payment = self._new(actor, owner_id, order, policy.provider)
        wait = self._rate_limits.hit("payment", owner_id, STARTS_PER_HOUR, HOUR_SECONDS)
        if wait is not None:
            raise RateLimited(retry_after_seconds=wait, params={"seconds": wait})
        try:
            self._payments.add(payment, key)
        except ports.AlreadyDone as race:
            return self._found(self._replays.same(race.record, key))
        log.info(
            "payment started", payment_id=payment.id, account_id=owner_id, tokens=payment.tokens, unit=payment.unit
        )
        self._telemetry.payment(payment.provider, "started")
        return payment

    def _new(self, actor: Actor, owner_id: str, order: Order, provider: ProviderName) -> Payment:
        now = self._clock.now()
        by_hand = provider is ProviderName.MANUAL
        return Payment(
            id=uuid4().hex,
            account_id=owner_id,
            provider=provider,
            status=PaymentStatus.PENDING,
            tokens=order.tokens,
            amount_minor=self._policy.prices[order.unit].cost(order.tokens),
            currency=CURRENCY,
            description=_description(order, order.locale),
            return_url=self._policy.return_url,
            request_id=actor.request_id,
            created_at=now,
            receipt=self._receipt(owner_id, order),
            unit=order.unit,
            next_check_at=now + MANUAL_LIFE if by_hand else self._steps.next_check(now),
        )

    def _receipt(self, owner_id: str, order: Order) -> Receipt | None:
        policy = self._policy.receipts
        if policy is None:
            return None
        email, phone = order.email, order.phone
        if email is None and phone is None:
            account = self._accounts.get(owner_id)
            email = None if account is None else account.email
        if email is None and phone is None:
            raise ValidationFailed(details={"email": ["receipt_contact"]})
        return Receipt(
            email=email,
            phone=phone,
            description=_description(order, _RECEIPT_LOCALE),
            vat_code=policy.vat_code,
            payment_subject=policy.payment_subject,
            payment_mode=policy.payment_mode,
            tax_system_code=policy.tax_system_code,
        )

    def _place(self, payment: Payment) -> Payment:
        """Nothing is lost if the provider is away: the sweep orders it later, and a repeated request the same one."""
        try:
            return self._steps.place(payment)
        except (ports.ProviderUnavailable, ports.ProviderRefused) as error:
            log.warning("payment not placed", payment_id=payment.id, reason=error.reason)
            self._telemetry.payment(payment.provider, "unplaced")
            raise PaymentUnavailable(
                error.reason, retry_after_seconds=RETRY_SECONDS, extra={"paymentId": payment.id}
            ) from error

    def _found(self, payment_id: str) -> Payment:
        payment = self._payments.get(payment_id)
        if payment is None:
            raise NotFound("payment")
        return payment


def _description(order: Order, locale: str) -> str:
    """What a payer reads."""
    return text(locale, f"payment.{order.unit.value}", count=order.tokens)
