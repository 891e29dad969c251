"""People pay by YooKassa: whatever is lost, repeated, forged or killed, what was paid is credited once."""

import json
from functools import partial

import pytest
from pymongo.database import Database

from devstack.yookassa_control import YooKassaControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.billing import Unit
from service.domain.errors import (
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    PaymentSpent,
    RateLimited,
    RegistrationRequired,
    TopUpUnavailable,
    ValidationFailed,
)
from service.domain.payments import PaymentStatus, ProviderName
from service.usecases.payments import NOTICES_PER_MINUTE, STARTS_PER_HOUR, UNKNOWN_NOTICES_PER_MINUTE, Order
from service.usecases.ports import PaymentQuery
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.paying import PRICE, TOKENS, age, notify, now_of, start, sweep
from tests.core.support import ROOT, NewActor, ask, at_once, key, wallet

NOTICES = 10


@pytest.fixture
def actor(db: Database, new_actor: NewActor) -> Actor:
    return new_actor(100)


def test_a_payment_is_ordered_and_credits_nothing_yet(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    started = shop.paying.payments.start(actor, None, Order(TOKENS), None)

    (ordered,) = yookassa.payments()
    payment = started.payment
    assert (payment.status, payment.provider, payment.tokens) == (PaymentStatus.PENDING, ProviderName.YOOKASSA, TOKENS)
    assert payment.provider_id == ordered["id"]
    assert payment.confirmation_url == ordered["confirmation"]["confirmation_url"]
    assert ordered["amount"] == {"value": PRICE, "currency": "RUB"}
    assert ordered["metadata"] == {"payment_id": payment.id}
    assert started.balance == 100
    assert wallet(shop, actor) == (100, 0)
    (call,) = yookassa.calls("create")
    assert call["key"] == payment.id
    assert "receipt" not in call["body"]
    check_money(db)


def test_a_notification_credits_what_yookassa_confirms(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = start(shop, actor)
    yookassa.pay(payment.provider_id)

    notify(shop, payment)

    credited = now_of(shop, actor, payment)
    assert (credited.status, credited.confirmed_by) == (PaymentStatus.SUCCEEDED, "system")
    assert wallet(shop, actor) == (100 + TOKENS, 0)
    entry = db.ledger.find_one({"_id": f"payment:{payment.id}"})
    assert (entry["kind"], entry["amount"], entry["actor_id"]) == ("topup", TOKENS, "system")
    check_money(db)


def test_ten_notifications_at_once_and_a_sweep_credit_once(
    build_shop: Build, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    shops = [build_shop() for _ in range(3)]
    payment = start(shops[0], actor)
    yookassa.pay(payment.provider_id)

    results = at_once([partial(notify, shops[n % 3], payment) for n in range(NOTICES)])
    sweep(shops[1], db)
    notify(shops[2], payment)

    assert results == [None] * NOTICES
    assert wallet(shops[0], actor) == (100 + TOKENS, 0)
    assert db.ledger.count_documents({"kind": "topup"}) == 1
    check_money(db)


def test_a_lost_notification_is_made_up_for(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = start(shop, actor)
    yookassa.pay(payment.provider_id)
    sweep(shop, db)
    assert wallet(shop, actor) == (100 + TOKENS, 0)
    assert "next_check_at" not in db.payments.find_one({"_id": payment.id})
    check_money(db)


def test_a_forged_notification_credits_nothing(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, new_actor: NewActor
) -> None:
    """For a payment that is unpaid, for none, and for one of somebody else that is paid."""
    unpaid, paid = start(shop, actor), start(shop, new_actor(0))
    yookassa.pay(paid.provider_id)

    notify(shop, unpaid)
    notify(shop, "22d6d597-000f-5000-9000-145f6df21d6f")
    notify(shop, paid)

    assert now_of(shop, actor, unpaid).status is PaymentStatus.PENDING
    assert wallet(shop, actor) == (100, 0)
    assert db.ledger.count_documents({"kind": "topup"}) == 1
    check_money(db)


def test_a_payment_of_the_shop_that_is_not_ours_credits_nothing(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    """The shop may sell other things too: without our id in its metadata a payment means nothing here."""
    payment = start(shop, actor)
    db.payments.delete_one({"_id": payment.id})
    yookassa.pay(payment.provider_id)
    notify(shop, payment)
    assert wallet(shop, actor) == (100, 0)


@pytest.mark.parametrize("amount", [{"value": "1.00"}, {"value": "1000.00"}, {"currency": "USD"}])
def test_another_amount_is_an_operators_case(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, amount: dict[str, str]
) -> None:
    payment = start(shop, actor)
    yookassa.pay(payment.provider_id, amount=amount)

    notify(shop, payment)
    sweep(shop, db)

    flagged = now_of(shop, actor, payment)
    assert (flagged.status, flagged.problem) == (PaymentStatus.PENDING, "another_amount")
    assert flagged.next_check_at is None
    assert wallet(shop, actor) == (100, 0)
    assert shop.paying.desk.cancel(ROOT, payment.id, "paid back").status is PaymentStatus.CANCELLED
    check_money(db)


def test_a_payment_that_the_provider_gave_up_is_cancelled(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    by_notice, by_sweep = start(shop, actor), start(shop, actor)
    for payment in (by_notice, by_sweep):
        yookassa.let_expire(payment.provider_id)
    notify(shop, by_notice)
    sweep(shop, db)
    for payment in (by_notice, by_sweep):
        ended = now_of(shop, actor, payment)
        assert (ended.status, ended.cancel_reason) == (PaymentStatus.CANCELLED, "expired_on_confirmation")
    assert wallet(shop, actor) == (100, 0)
    check_money(db)


def test_money_that_comes_after_we_stopped_waiting_is_credited(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = start(shop, actor)
    shop.paying.desk.cancel(ROOT, payment.id, "changed their mind")
    yookassa.pay(payment.provider_id)
    notify(shop, payment)
    assert now_of(shop, actor, payment).status is PaymentStatus.SUCCEEDED
    assert wallet(shop, actor) == (100 + TOKENS, 0)
    check_money(db)


def test_it_is_credited_even_if_nobody_tells(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    """Who has the address of a payment that we cancelled may pay it as long as the provider lets them."""
    paid, expired = start(shop, actor), start(shop, actor)
    for payment in (paid, expired):
        shop.paying.desk.cancel(ROOT, payment.id, "changed their mind")
    sweep(shop, db)
    assert now_of(shop, actor, paid).next_check_at is not None
    yookassa.pay(paid.provider_id)
    yookassa.let_expire(expired.provider_id)

    sweep(shop, db)

    assert now_of(shop, actor, paid).status is PaymentStatus.SUCCEEDED
    ended = now_of(shop, actor, expired)
    assert (ended.status, ended.cancel_reason) == (PaymentStatus.CANCELLED, "changed their mind")
    assert db.payments.count_documents({"next_check_at": {"$exists": True}}) == 0
    assert wallet(shop, actor) == (100 + TOKENS, 0)
    check_money(db)


def test_a_cancelled_payment_is_not_asked_about_for_ever(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = start(shop, actor)
    shop.paying.desk.cancel(ROOT, payment.id, "changed their mind")
    age(db, payment, days=8)
    sweep(shop, db)
    assert now_of(shop, actor, payment).next_check_at is None
    assert yookassa.calls("read") == []


def test_a_known_idempotency_key_leads_to_the_same_payment(
    build_shop: Build, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    shops = [build_shop() for _ in range(3)]
    results = at_once([partial(start, shops[n % 3], actor, key(actor)) for n in range(9)])
    assert {payment.id for payment in results} == {results[0].id}
    assert len(yookassa.payments()) == 1
    with pytest.raises(IdempotencyMismatch):
        start(shops[0], actor, key(actor, fingerprint="another body"))
    assert start(shops[0], actor, key(actor, "another key")).id != results[0].id


@pytest.mark.parametrize("tokens", [1, 99_999, 500_000_001])
def test_an_amount_beyond_the_limits_is_refused(shop: Container, db: Database, actor: Actor, tokens: int) -> None:
    with pytest.raises(ValidationFailed) as refused:
        start(shop, actor, tokens=tokens)
    assert refused.value.details == {"amount": ["range:100000:500000000"]}
    assert db.payments.count_documents({}) == 0


def test_receipts_are_passed_through(build_shop: Build, db: Database, yookassa: YooKassaControl, actor: Actor) -> None:
    shop = build_shop(receipt_vat_code=4, receipt_tax_system_code=2)
    with pytest.raises(ValidationFailed) as refused:
        start(shop, actor)
    assert refused.value.details == {"email": ["receipt_contact"]}

    start(shop, actor, phone="79001234567", locale="fr")
    db.accounts.update_one({"_id": actor.account_id}, {"$set": {"email": "anna@example.com"}})
    start(shop, actor, locale="fr")

    bodies = [json.loads(call["body"]) for call in yookassa.calls("create")]
    # The payer reads it in their language, the tax office in its own.
    assert [body["description"] for body in bodies] == ["Rechargement : 1\u00a0000\u00a0000 jetons"] * 2
    first, second = (body["receipt"] for body in bodies)
    assert first["customer"] == {"phone": "79001234567"}
    assert second["customer"] == {"email": "anna@example.com"}
    assert first["tax_system_code"] == 2
    assert first["items"] == [
        {
            "description": "Пополнение баланса: 1\u00a0000\u00a0000 токенов",
            "quantity": "1.00",
            "amount": {"value": PRICE, "currency": "RUB"},
            "vat_code": 4,
            "payment_subject": "service",
            "payment_mode": "full_prepayment",
        }
    ]


def test_credits_are_bought_and_given_back_like_tokens(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    started = shop.paying.payments.start(actor, None, Order(12, unit=Unit.CREDITS), None)
    payment = started.payment
    (ordered,) = yookassa.payments()
    assert (ordered["amount"]["value"], ordered["description"]) == ("60.00", "Пополнение баланса: 12 кредитов")
    assert started.balance == 0
    yookassa.pay(payment.provider_id)

    at_once([partial(notify, shop, payment)] * 5)

    credited = shop.billing.statement(actor, None)
    assert (credited.credits.remaining, credited.credits.extra, credited.wallet.available) == (17, 12, 100)
    for _ in range(6):
        ask(shop, actor, assistant="coach")
    with pytest.raises(PaymentSpent) as refused:
        shop.paying.desk.refund(ROOT, payment.id, "asked for it", None)
    assert (refused.value.extra["required"], refused.value.extra["currentBalance"]) == (12, 11)
    shop.admin.adjust_credits(ROOT, actor.account_id, 1, "for the one that was used", None)
    refunded = shop.paying.desk.refund(ROOT, payment.id, "asked for it", None)
    assert refunded.status is PaymentStatus.REFUNDED
    assert shop.billing.credits(actor, None).remaining == 0
    check_money(db)


def test_credits_given_back_at_the_provider_are_taken_as_far_as_they_go(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = shop.paying.payments.start(actor, None, Order(12, unit=Unit.CREDITS), None).payment
    yookassa.pay(payment.provider_id)
    notify(shop, payment)
    shop.admin.adjust_credits(ROOT, actor.account_id, -5, "spent", None)
    yookassa.give_back(payment.provider_id, "60.00")
    notify(shop, payment, refund=True)
    seen = now_of(shop, actor, payment)
    assert seen.refund is not None
    assert (seen.status, seen.refund.tokens, seen.refund.shortfall_tokens) == (PaymentStatus.REFUNDED, 7, 5)
    assert shop.billing.credits(actor, None).extra == 0
    check_money(db)


@pytest.mark.parametrize("number", [0, 1, 10_001])
def test_a_number_of_credits_beyond_the_limits_is_refused(
    shop: Container, db: Database, actor: Actor, number: int
) -> None:
    with pytest.raises(ValidationFailed) as refused:
        shop.paying.payments.start(actor, None, Order(number, unit=Unit.CREDITS), None)
    assert refused.value.details == {"amount": ["range:2:10000"]}


def test_guests_register_first(shop: Container, db: Database, new_actor: NewActor) -> None:
    with pytest.raises(RegistrationRequired):
        start(shop, new_actor(0, Role.GUEST))


def test_where_nobody_pays_it_says_whom_to_ask(build: Build, db: Database, actor: Actor) -> None:
    with pytest.raises(TopUpUnavailable):
        start(build(payment_provider="off"), actor)
    with pytest.raises(NotFound):
        notify(build(payment_provider="off"), "22d6d597-000f-5000-9000-145f6df21d6f")


def test_payments_are_their_payers_alone(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor, new_actor: NewActor
) -> None:
    payment, stranger = start(shop, actor), new_actor()
    with pytest.raises(Forbidden):
        shop.paying.payments.get(stranger, payment.id)
    with pytest.raises(Forbidden):
        shop.paying.payments.page(stranger, actor.account_id, PaymentQuery())
    with pytest.raises(NotFound):
        shop.paying.payments.get(actor, "nothing")
    assert shop.paying.payments.page(stranger, None, PaymentQuery(account_id=actor.account_id)).items == []
    assert shop.paying.payments.get(ROOT, payment.id).id == payment.id
    assert db.audit.find_one({"action": "payment.read"})["subject_id"] == actor.account_id


def test_guessed_notifications_are_throttled(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    """Each would cost a question to the provider; those about payments that we know are heard all the same."""
    payment = start(shop, actor)
    yookassa.pay(payment.provider_id)
    for number in range(UNKNOWN_NOTICES_PER_MINUTE):
        notify(shop, f"unknown-{number}")
    with pytest.raises(RateLimited):
        notify(shop, "unknown-again")
    notify(shop, payment)
    assert wallet(shop, actor) == (100 + TOKENS, 0)


def test_notifications_without_end_are_left_to_the_sweep(
    shop: Container, db: Database, yookassa: YooKassaControl, actor: Actor
) -> None:
    payment = start(shop, actor)
    for _ in range(NOTICES_PER_MINUTE + 5):
        notify(shop, payment)
    assert len(yookassa.calls("read")) == NOTICES_PER_MINUTE
    yookassa.pay(payment.provider_id)
    notify(shop, payment)
    assert wallet(shop, actor) == (100, 0)

    assert shop.paying.sweep()

    assert wallet(shop, actor) == (100 + TOKENS, 0)
    check_money(db)


def test_nobody_starts_payments_without_end(shop: Container, db: Database, actor: Actor) -> None:
    for _ in range(STARTS_PER_HOUR):
        start(shop, actor)
    with pytest.raises(RateLimited):
        start(shop, actor)
