"""What tests of payments say often."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.payments import Payment, ProviderName
from service.usecases.payments import Order
from service.usecases.ports import IdempotencyKey

TOKENS = 1_000_000
PRICE = "100.00"


def start(
    container: Container, actor: Actor, key: IdempotencyKey | None = None, tokens: int = TOKENS, **contact: Any
) -> Payment:
    """A new payment of so many tokens."""
    return container.paying.payments.start(actor, None, Order(tokens, **contact), key).payment


def notify(container: Container, payment: Payment | str | None, *, refund: bool = False) -> None:
    """A notification about a payment of YooKassa's, by its provider's id."""
    provider_id = payment.provider_id if isinstance(payment, Payment) else payment
    container.paying.payments.notified(ProviderName.YOOKASSA, provider_id or "", refund=refund, address="127.0.0.1")


def now_of(container: Container, actor: Actor, payment: Payment) -> Payment:
    return container.paying.payments.get(actor, payment.id)


def sweep(container: Container, db: Database) -> None:
    """A round of the sweep, as if everything open were due and the last round long over."""
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    db.leases.update_many({"_id": "payments"}, {"$set": {"until": long_ago}})
    db.payments.update_many({"next_check_at": {"$exists": True}}, {"$set": {"next_check_at": long_ago}})
    assert container.paying.sweep()


def age(db: Database, payment: Payment, **by: float) -> None:
    """Make a payment older."""
    db.payments.update_one({"_id": payment.id}, {"$set": {"created_at": payment.created_at - timedelta(**by)}})
