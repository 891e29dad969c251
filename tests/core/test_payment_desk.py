"""What operators do with payments: confirm by hand, cancel, give back; each once, audited, and never half."""

from functools import partial
from typing import Any

import pytest
from pymongo.database import Database

from devstack.yookassa_control import YooKassaControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.errors import (
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    PaymentSpent,
    PaymentState,
    PaymentUnavailable,
)
from service.domain.payments import Payment, PaymentStatus, ProviderName, RefundStatus
from service.usecases.ports import IdempotencyKey, PaymentQuery
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.paying import PRICE, TOKENS, age, notify, now_of, start, sweep
from tests.core.support import ROOT, NewActor, at_once, key, kinds, set_balance, wallet


@pytest.fixture
def actor(db: Database, new_actor: NewActor) -> Actor:
    return new_actor(100)


@pytest.fixture
def by_hand(build: Build) -> Container:
    """Where an admin confirms."""
    return build(payment_provider="manual", top_up_page="https://example.com/how-to-pay")


def paid(shop: Container, yookassa: YooKassaControl, actor: Actor) -> Payment:
    payment = start(shop, actor)
    yookassa.pay(payment.provider_id)
    notify(shop, payment)
    return now_of(shop, actor, payment)


def refund(shop: Container, payment: Payment, named: IdempotencyKey | None = None) -> Payment:
    return shop.paying.desk.refund(ROOT, payment.id, "asked for it", named)


def confirm(shop: Container, payment: Payment, named: IdempotencyKey | None = None) -> Payment:
    return shop.paying.desk.confirm(ROOT, payment.id, "transfer 214", named)


def outcomes(db: Database, action: str) -> list[Any]:
    return [line["outcome"] for line in db.audit.find({"action": action}).sort("created_at", 1)]


def test_a_manual_payment_is_confirmed_by_an_admin_once(by_hand: Container, db: Database, actor: Actor) -> None:
    payment = start(by_hand, actor)
    assert (payment.provider, payment.confirmation_url) == (ProviderName.MANUAL, "https://example.com/how-to-pay")

    results = at_once([partial(confirm, by_hand, payment)] * 5)

    assert kinds(results) == {"Payment": 1, "PaymentState": 4}
    assert wallet(by_hand, actor) == (100 + TOKENS, 0)
    entry = db.ledger.find_one({"_id": f"payment:{payment.id}"})
    assert entry["actor_id"] == ROOT.account_id
    assert sorted(outcomes(db, "payment.confirm")) == ["PAYMENT_STATE"] * 4 + ["done"]
    assert db.audit.find_one({"action": "payment.confirm"})["details"]["reason"] == "transfer 214"
    check_money(db)


def test_a_known_idempotency_key_confirms_and_refunds_once(by_hand: Container, db: Database, actor: Actor) -> None:
    payment, other = start(by_hand, actor), start(by_hand, actor)
    for act, named, left in ((confirm, "confirm", 100 + TOKENS), (refund, "refund", 100)):
        results = at_once([partial(act, by_hand, payment, key(ROOT, named))] * 5)
        assert kinds(results) == {"Payment": 5}
        assert wallet(by_hand, actor) == (left, 0)
        with pytest.raises(IdempotencyMismatch):
            act(by_hand, other, key(ROOT, named, fingerprint="another body"))
    assert now_of(by_hand, actor, payment).status is PaymentStatus.REFUNDED
    check_money(db)


def test_a_manual_payment_waits_a_month(by_hand: Container, db: Database, actor: Actor) -> None:
    payment = start(by_hand, actor)
    assert (payment.next_check_at - payment.created_at).days == 30
    by_hand.paying.sweep()
    assert now_of(by_hand, actor, payment).status is PaymentStatus.PENDING
    age(db, payment, days=31)
    sweep(by_hand, db)
    assert now_of(by_hand, actor, payment).cancel_reason == "expired"
    with pytest.raises(PaymentState):
        confirm(by_hand, payment)
    check_money(db)


def test_a_manual_refund_takes_the_tokens(by_hand: Container, db: Database, actor: Actor) -> None:
    payment = start(by_hand, actor)
    confirm(by_hand, payment)
    assert refund(by_hand, payment).status is PaymentStatus.REFUNDED
    assert wallet(by_hand, actor) == (100, 0)
    check_money(db)


def test_an_admins_word_is_less_than_the_providers(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = start(shop, actor)
    with pytest.raises(PaymentState) as refused:
        confirm(shop, payment)
    assert refused.value.extra == {"status": "pending"}
    yookassa.rule("read", "500", times=1)
    with pytest.raises(PaymentUnavailable):
        confirm(shop, payment)
    yookassa.pay(payment.provider_id)

    assert confirm(shop, payment).status is PaymentStatus.SUCCEEDED

    with pytest.raises(PaymentState):
        confirm(shop, payment)
    assert wallet(shop, actor) == (100 + TOKENS, 0)
    assert outcomes(db, "payment.confirm") == ["PAYMENT_STATE", "PAYMENT_UNAVAILABLE", "done", "PAYMENT_STATE"]
    check_money(db)


def test_a_payment_that_was_never_placed_is_not_confirmed(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    yookassa.rule("create", "500")
    with pytest.raises(PaymentUnavailable) as refused:
        start(shop, actor)
    with pytest.raises(PaymentState):
        shop.paying.desk.confirm(ROOT, refused.value.extra["paymentId"], "they say so", None)
    assert len(yookassa.calls("create")) == 1
    check_money(db)


def test_a_payment_of_a_provider_that_is_gone_can_be_cancelled(
    shop: Container, build: Build, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment, now_by_hand = start(shop, actor), build(payment_provider="manual")
    cancelled = now_by_hand.paying.desk.cancel(ROOT, payment.id, "closed the shop")
    assert cancelled.status is PaymentStatus.CANCELLED
    with pytest.raises(PaymentUnavailable):
        confirm(now_by_hand, payment)


def test_only_a_pending_payment_is_cancelled(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = start(shop, actor)
    cancelled = shop.paying.desk.cancel(ROOT, payment.id, "changed their mind")
    assert (cancelled.status, cancelled.cancel_reason) == (PaymentStatus.CANCELLED, "changed their mind")
    for each in (payment, paid(shop, yookassa, actor)):
        with pytest.raises(PaymentState):
            shop.paying.desk.cancel(ROOT, each.id, "again")
    check_money(db)


def test_a_refund_takes_the_tokens_and_gives_the_money_back(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = paid(shop, yookassa, actor)

    refunded = refund(shop, payment)

    assert (refunded.status, refunded.refund.status) == (PaymentStatus.REFUNDED, RefundStatus.SUCCEEDED)
    assert (refunded.refund.tokens, refunded.refund.requested_by) == (TOKENS, ROOT.account_id)
    (given,) = yookassa.refunds()
    assert (given["payment_id"], given["amount"]["value"]) == (payment.provider_id, PRICE)
    assert wallet(shop, actor) == (100, 0)
    entry = db.ledger.find_one({"_id": f"payment:{payment.id}:refund:1"})
    assert (entry["kind"], entry["amount"]) == ("refund", -TOKENS)
    check_money(db)


def test_parallel_refunds_give_back_once(
    build_shop: Build, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    shops = [build_shop() for _ in range(3)]
    payment = paid(shops[0], yookassa, actor)
    results = at_once([partial(refund, shops[n % 3], payment) for n in range(9)])
    assert set(kinds(results)) <= {"Payment", "PaymentState"}
    with pytest.raises(PaymentState):
        refund(shops[0], payment)
    assert len(yookassa.refunds()) == 1
    assert wallet(shops[0], actor) == (100, 0)
    check_money(db)


def test_spent_tokens_are_not_refunded(shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor) -> None:
    payment = paid(shop, yookassa, actor)
    set_balance(shop, actor, TOKENS - 1)

    with pytest.raises(PaymentSpent) as refused:
        refund(shop, payment)

    assert refused.value.extra == {"required": TOKENS, "currentBalance": TOKENS - 1, "held": 0}
    assert yookassa.refunds() == []
    assert now_of(shop, actor, payment).status is PaymentStatus.SUCCEEDED
    assert wallet(shop, actor) == (TOKENS - 1, 0)
    assert outcomes(db, "payment.refund") == ["PAYMENT_SPENT"]
    check_money(db)


@pytest.mark.parametrize("fault", ["500", "202", "429", "reset", "garbage", "done_500", "done_reset", "done_hang"])
def test_a_refund_without_an_answer_is_finished_later_and_once(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, fault: str
) -> None:
    payment = paid(shop, yookassa, actor)
    yookassa.rule("refund", fault, times=1)

    left = refund(shop, payment)
    assert left.status is PaymentStatus.REFUNDING
    assert wallet(shop, actor) == (100, 0), "nobody spends what is on its way back"
    check_money(db)
    sweep(shop, db)

    assert now_of(shop, actor, payment).status is PaymentStatus.REFUNDED
    assert len(yookassa.refunds()) == 1
    assert {call["key"] for call in yookassa.calls("refund")} == {f"{payment.id}-refund-1"}
    check_money(db)


def test_a_refused_refund_gives_the_tokens_back_and_may_be_tried_again(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = paid(shop, yookassa, actor)
    yookassa.rule("refund", "refuse", times=1)

    failed = refund(shop, payment)

    assert (failed.status, failed.refund.status) == (PaymentStatus.SUCCEEDED, RefundStatus.FAILED)
    assert wallet(shop, actor) == (100 + TOKENS, 0)
    check_money(db)
    assert refund(shop, payment).status is PaymentStatus.REFUNDED
    assert wallet(shop, actor) == (100, 0)
    check_money(db)


def test_a_refund_that_was_done_long_ago_is_not_taken_for_refused(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    """After a day YooKassa has forgotten the key, and says no to what it has done."""
    payment = paid(shop, yookassa, actor)
    yookassa.rule("refund", "done_reset", times=1)
    assert refund(shop, payment).status is PaymentStatus.REFUNDING
    yookassa.rule("refund", "refuse", times=1)
    sweep(shop, db)
    assert now_of(shop, actor, payment).status is PaymentStatus.REFUNDED
    assert len(yookassa.refunds()) == 1
    assert wallet(shop, actor) == (100, 0)
    check_money(db)


@pytest.mark.parametrize(
    ("end", "status", "left"), [("succeeded", "refunded", 100), ("canceled", "succeeded", 1_000_100)]
)
def test_a_refund_that_takes_its_time_is_followed(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, end: str, status: str, left: int
) -> None:
    payment = paid(shop, yookassa, actor)
    yookassa.rule("refund", "pending", times=1)
    assert refund(shop, payment).status is PaymentStatus.REFUNDING
    sweep(shop, db)
    (waiting,) = yookassa.refunds()
    assert now_of(shop, actor, payment).status is PaymentStatus.REFUNDING

    yookassa.end_refund(waiting["id"], end)
    if end == "succeeded":
        notify(shop, payment, refund=True)
    else:
        sweep(shop, db)

    assert now_of(shop, actor, payment).status.value == status
    assert wallet(shop, actor) == (left, 0)
    assert len(yookassa.calls("refund")) == 1
    check_money(db)


@pytest.mark.parametrize(("spent", "shortfall"), [(0, 0), (400_000, 399_900)])
def test_a_refund_in_the_providers_cabinet_takes_what_is_left(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, spent: int, shortfall: int
) -> None:
    payment = paid(shop, yookassa, actor)
    set_balance(shop, actor, 100 + TOKENS - spent)
    yookassa.give_back(payment.provider_id, PRICE)

    for _ in range(3):
        notify(shop, payment, refund=True)

    refunded = now_of(shop, actor, payment)
    assert (refunded.status, refunded.refund.shortfall_tokens) == (PaymentStatus.REFUNDED, shortfall)
    assert wallet(shop, actor) == (0 if spent else 100, 0)
    check_money(db)


def test_a_part_given_back_in_the_cabinet_is_an_operators_case(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = paid(shop, yookassa, actor)
    yookassa.give_back(payment.provider_id, "40.00")
    notify(shop, payment, refund=True)
    flagged = now_of(shop, actor, payment)
    assert (flagged.status, flagged.problem) == (PaymentStatus.SUCCEEDED, "refunded_in_part")
    assert wallet(shop, actor) == (100 + TOKENS, 0)
    check_money(db)


@pytest.mark.parametrize("action", ["confirm", "cancel", "refund"])
def test_only_admins_change_payments(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, new_actor: NewActor, action: str
) -> None:
    payment, named = start(shop, actor), [None] if action != "cancel" else []
    for role in (Role.USER, Role.SUPPORT):
        with pytest.raises(Forbidden):
            getattr(shop.paying.desk, action)(new_actor(0, role), payment.id, "mine", *named)
    with pytest.raises(NotFound):
        getattr(shop.paying.desk, action)(ROOT, "nothing", "?", *named)
    assert outcomes(db, f"payment.{action}") == []


def test_staff_sees_everybodys_payments_in_pages(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, new_actor: NewActor
) -> None:
    support, other = new_actor(0, Role.SUPPORT), new_actor(0)
    payments = [start(shop, who) for who in (actor, other, actor)]
    first = shop.paying.desk.page(support, PaymentQuery(limit=2))
    second = shop.paying.desk.page(support, PaymentQuery(limit=2, cursor=first.next_cursor))
    assert [each.id for each in first.items + second.items] == [each.id for each in reversed(payments)]
    assert second.next_cursor is None
    of_other = shop.paying.desk.page(support, PaymentQuery(account_id=other.account_id))
    assert [each.id for each in of_other.items] == [payments[1].id]
    assert shop.paying.desk.page(support, PaymentQuery(status=PaymentStatus.REFUNDED)).items == []
    with pytest.raises(Forbidden):
        shop.paying.desk.page(actor, PaymentQuery())
