"""The payment provider is away, slow, or says no; we are, or our settings change: payments go on afterwards."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from pymongo.database import Database

from devstack.yookassa_control import YooKassaControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import (
    PaymentUnavailable,
)
from service.domain.payments import PaymentStatus
from service.usecases.ports import PaymentQuery
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.paying import TOKENS, age, notify, now_of, start, sweep
from tests.core.support import NewActor, key, wallet


@pytest.fixture
def actor(db: Database, new_actor: NewActor) -> Actor:
    return new_actor(100)


FAULTS = ["500", "202", "429", "409", "reset", "hang", "garbage", "done_500", "done_reset", "done_hang"]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_order_without_an_answer_is_placed_later_and_once(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, fault: str
) -> None:
    yookassa.rule("create", fault, times=1)
    with pytest.raises(PaymentUnavailable) as refused:
        start(shop, actor, key(actor))
    payment = shop.paying.payments.get(actor, refused.value.extra["paymentId"])
    assert (payment.status, payment.confirmation_url) == (PaymentStatus.PENDING, None)

    again = start(shop, actor, key(actor))
    sweep(shop, db)

    assert again.id == payment.id
    (ordered,) = yookassa.payments()
    assert again.confirmation_url == ordered["confirmation"]["confirmation_url"]
    assert {call["key"] for call in yookassa.calls("create")} == {payment.id}
    assert len({call["body"] for call in yookassa.calls("create")}) == 1
    check_money(db)


@pytest.mark.parametrize("fault", ["500", "done_reset"])
def test_the_sweep_places_what_was_left(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, fault: str
) -> None:
    yookassa.rule("create", fault, times=1)
    with pytest.raises(PaymentUnavailable):
        start(shop, actor)
    sweep(shop, db)
    (payment,) = shop.paying.payments.page(actor, None, PaymentQuery()).items
    (ordered,) = yookassa.payments()
    assert payment.provider_id == ordered["id"]
    yookassa.pay(ordered["id"])
    notify(shop, payment)
    assert wallet(shop, actor) == (100 + TOKENS, 0)
    check_money(db)


def test_a_notification_that_overtakes_the_answer_is_understood(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    """Our row doesn't know yet what the provider calls it; the provider knows what we call it."""
    yookassa.rule("create", "done_reset", times=1)
    with pytest.raises(PaymentUnavailable):
        start(shop, actor)
    (ordered,) = yookassa.payments()
    yookassa.pay(ordered["id"])

    notify(shop, ordered["id"])

    assert wallet(shop, actor) == (100 + TOKENS, 0)
    check_money(db)


def test_a_refused_order_is_cancelled(shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor) -> None:
    yookassa.rule("create", "refuse")
    with pytest.raises(PaymentUnavailable) as refused:
        start(shop, actor)
    payment = shop.paying.payments.get(actor, refused.value.extra["paymentId"])
    assert payment.status is PaymentStatus.CANCELLED
    assert payment.cancel_reason == "refused: 400 invalid_request receipt.customer"


def test_a_wrong_secret_key_is_told_to_operators_only(
    build_shop: Build, db: Database, actor: Actor, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = build_shop(yookassa_secret_key=SecretStr("live_wrong-one"))
    with pytest.raises(PaymentUnavailable) as refused:
        start(shop, actor)
    logged = capsys.readouterr().out
    assert "401 invalid_credentials" in logged
    assert "live_wrong-one" not in f"{refused.value} {refused.value.extra} {logged}"


@pytest.mark.parametrize("fault", ["500", "429", "reset", "hang", "garbage"])
def test_a_notification_while_the_provider_is_away_is_remembered(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, fault: str
) -> None:
    payment = start(shop, actor)
    yookassa.pay(payment.provider_id)
    yookassa.rule("read", fault, times=1)
    notify(shop, payment)
    assert wallet(shop, actor) == (100, 0)

    # Due at once, whenever it would have been.
    db.leases.delete_many({})
    assert shop.paying.sweep()

    assert wallet(shop, actor) == (100 + TOKENS, 0)
    check_money(db)


def test_the_sweep_stops_asking_a_provider_that_is_away(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    for _ in range(3):
        start(shop, actor)
    yookassa.rule("read", "500")
    sweep(shop, db)
    assert len(yookassa.calls("read")) == 1


def test_one_worker_sweeps_at_a_time(build_shop: Build, db: Database) -> None:
    one, other = build_shop(), build_shop()
    assert one.paying.sweep()
    assert not other.paying.sweep()
    assert one.paying.sweep()


def test_payments_that_nobody_finishes_end(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    unpaid, young = start(shop, actor), start(shop, actor)
    yookassa.rule("create", "500", times=1)
    with pytest.raises(PaymentUnavailable) as refused:
        start(shop, actor)
    unplaced = shop.paying.payments.get(actor, refused.value.extra["paymentId"])
    age(db, unpaid, days=8)
    age(db, unplaced, hours=24)

    sweep(shop, db)

    ended = {payment.id: now_of(shop, actor, payment) for payment in (unpaid, unplaced)}
    assert {payment.cancel_reason for payment in ended.values()} == {"expired"}
    assert now_of(shop, actor, young).status is PaymentStatus.PENDING
    assert len(yookassa.calls("create")) == 3, "a lapsed key would order it anew"
    check_money(db)


def test_a_payment_is_looked_at_ever_less_often(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = start(shop, actor)
    pauses = []
    for days in (0, 0.03, 0.5, 3):
        age(db, payment, days=days)
        sweep(shop, db)
        row = db.payments.find_one({"_id": payment.id})
        pauses.append(round((row["next_check_at"] - datetime.now(UTC)).total_seconds()))
    assert pauses == [1, 4, 30, 120]


def test_a_stranger_while_the_provider_is_away_is_to_come_again(
    shop: Container, db: Database, yookassa: YooKassaControl
) -> None:
    yookassa.rule("read", "500")
    with pytest.raises(PaymentUnavailable):
        notify(shop, "unknown")


def test_a_provider_that_is_gone_from_the_settings_harms_no_other(
    shop: Container, build: Build, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    """Its payments wait until it is configured again."""
    payment = start(shop, actor)
    yookassa.pay(payment.provider_id)
    sweep(build(payment_provider="manual"), db)
    assert now_of(shop, actor, payment).status is PaymentStatus.PENDING
    sweep(shop, db)
    assert now_of(shop, actor, payment).status is PaymentStatus.SUCCEEDED
