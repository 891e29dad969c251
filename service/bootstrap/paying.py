"""The part of the object graph that takes money."""

from dataclasses import dataclass
from datetime import timedelta

from service.adapters.mongo.leases import MongoLeases
from service.adapters.outages import OUTAGES
from service.bootstrap.outside import Outside
from service.domain.payments import ProviderName
from service.settings import Settings
from service.usecases import ports
from service.usecases.audit import Auditor
from service.usecases.owners import Owners
from service.usecases.payment_desk import PaymentDesk
from service.usecases.payment_steps import PaymentSteps
from service.usecases.payment_sweep import PaymentSweep
from service.usecases.payments import PaymentPolicy, PaymentService, ReceiptPolicy
from service.usecases.redeem import RedeemService
from service.usecases.replays import Replays

# Another worker follows one that died after so long; a round that takes longer has company, and nothing happens twice.
SWEEP_LEASE_SECONDS = 10


@dataclass(frozen=True)
class Paying:
    """`test_payments` is there in development only."""

    payments: PaymentService
    desk: PaymentDesk
    redeem: RedeemService
    sweep: PaymentSweep
    test_payments: ports.TestPayments | None


def connect_payments(
    settings: Settings, outside: Outside, *, owners: Owners, replays: Replays, auditor: Auditor
) -> Paying:
    """Wire what people, providers, operators and workers do about payments."""
    steps = PaymentSteps(
        payments=outside.payments,
        providers=outside.payment_providers,
        telemetry=outside.metrics,
        clock=outside.clock,
        pause=timedelta(seconds=settings.payment_recheck_seconds),
    )
    return Paying(
        payments=PaymentService(
            owners=owners,
            accounts=outside.accounts,
            money=outside.money,
            payments=outside.payments,
            steps=steps,
            replays=replays,
            rate_limits=outside.rate_limits,
            telemetry=outside.metrics,
            clock=outside.clock,
            policy=_policy(settings),
        ),
        desk=PaymentDesk(payments=outside.payments, steps=steps, replays=replays, auditor=auditor, clock=outside.clock),
        redeem=RedeemService(
            codes=outside.redeem_codes,
            money=outside.money,
            replays=replays,
            auditor=auditor,
            rate_limits=outside.rate_limits,
            telemetry=outside.metrics,
            clock=outside.clock,
        ),
        sweep=PaymentSweep(
            payments=outside.payments,
            steps=steps,
            leases=MongoLeases(),
            outages=OUTAGES,
            clock=outside.clock,
            holder=outside.worker_id,
            lease_seconds=SWEEP_LEASE_SECONDS,
        ),
        test_payments=outside.test_payments,
    )


def _policy(settings: Settings) -> PaymentPolicy:
    named = settings.payment_provider
    provider = None if named is None or named == "off" else ProviderName(named)
    receipts = ReceiptPolicy(
        vat_code=settings.receipt_vat_code,
        payment_subject=settings.receipt_payment_subject,
        payment_mode=settings.receipt_payment_mode,
        tax_system_code=settings.receipt_tax_system_code or None,
    )
    return PaymentPolicy(
        provider=provider,
        prices=settings.prices,
        return_url=settings.return_url,
        receipts=receipts if settings.receipt_vat_code and provider is ProviderName.YOOKASSA else None,
    )
