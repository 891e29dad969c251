"""Payments on the real stack: whoever dies between an order and its credit, what was paid is credited once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from requests import ConnectionError as Disconnected

from devstack.yookassa import SECRET_KEY
from tests.core.checker import check_money
from tests.stack.stack import Person, StackUnderTest, eventually

TOKENS = 1_000_000
ALLOWANCE = 100_000
ORDER = {"amount": TOKENS}
NOTICES = "/api/payments/yookassa/notifications"
# Of the web process that takes the order.
ORDER_POINTS = [
    "transaction.commit:before",
    "payments.add:after",
    "payment_provider.create:before",
    "payment_provider.create:after",
    "payments.placed:before",
    "payments.placed:after",
]
NOTHING_STORED = {"transaction.commit:before"}
# Of whoever hears that it is paid, web process or worker.
CREDIT_POINTS = [
    "payment_provider.read:before",
    "payment_provider.read:after",
    "payments.succeed:before",
    "transaction.commit:before",
    "payments.succeed:after",
]
REDEEM_POINTS = ["redeem_codes.claim:before", "transaction.commit:before", "redeem_codes.claim:after"]
REFUND_POINTS = [
    "payments.begin_refund:before",
    "transaction.commit:before",
    "payments.begin_refund:after",
    "payment_provider.refund:before",
    "payment_provider.refund:after",
    "payments.finish_refund:before",
    "payments.finish_refund:after",
]
NOTHING_BEGUN = {"payments.begin_refund:before", "transaction.commit:before"}


@pytest.fixture
def mortal(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """The stack, made whole again after one of its processes died."""
    stack.yookassa.clear()
    yield stack
    stack.crash_file.unlink(missing_ok=True)
    for worker in stack.workers:
        worker.start()


@pytest.fixture
def admin(mortal: StackUnderTest) -> Person:
    admin = mortal.register()
    mortal.db.accounts.update_one({"_id": admin.account_id}, {"$set": {"role": "admin"}})
    return admin


def order(person: Person, key: str = "order-1") -> dict[str, Any]:
    reply = person.call("POST", "/api/billing/topup", json=ORDER, headers={"Idempotency-Key": key})
    assert reply.status_code == 202, reply.text
    return dict(reply.json())


def payment_of(person: Person, payment_id: str) -> dict[str, Any]:
    return dict(person.call("GET", f"/api/billing/payments/{payment_id}").json())


def becomes(person: Person, payment_id: str, status: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        payment = payment_of(person, payment_id)
        return payment if payment["status"] == status else None

    return eventually(look) or {}


def their_id(stack: StackUnderTest, payment_id: str) -> str:
    """What YooKassa calls our payment."""
    (found,) = (each for each in stack.yookassa.payments() if each["metadata"]["payment_id"] == payment_id)
    return str(found["id"])


def balance(person: Person) -> int:
    return int(person.billing()["currentBalance"])


@pytest.mark.parametrize("point", ORDER_POINTS)
def test_who_takes_the_order_dies_at(mortal: StackUnderTest, point: str) -> None:
    """The sweep orders what was left, under the same key: it can be paid without another request."""
    person = mortal.register()
    mortal.crash_file.write_text(point)
    with pytest.raises(Disconnected):
        order(person)
    assert not mortal.crash_file.exists()
    if point in NOTHING_STORED:
        assert mortal.db.payments.count_documents({"account_id": person.account_id}) == 0
        order(person)

    def placed() -> dict[str, Any] | None:
        (payment,) = person.call("GET", "/api/billing/payments").json()["payments"]
        return payment if payment["confirmationUrl"] else None

    payment = eventually(placed) or {}
    assert order(person)["paymentId"] == payment["paymentId"]
    mortal.yookassa.pay(their_id(mortal, payment["paymentId"]), notify=1)

    becomes(person, payment["paymentId"], "succeeded")
    assert balance(person) == ALLOWANCE + TOKENS
    assert len(mortal.yookassa.payments()) == 1
    check_money(mortal.db)


@pytest.mark.parametrize("point", CREDIT_POINTS)
def test_who_credits_dies_at(mortal: StackUnderTest, point: str) -> None:
    person = mortal.register()
    payment = order(person)
    mortal.crash_file.write_text(point)

    mortal.yookassa.pay(their_id(mortal, payment["paymentId"]), notify=1)

    eventually(lambda: not mortal.crash_file.exists())
    for worker in mortal.workers:
        worker.start()
    person = Person(mortal.web.url, person.account_id, person.token)
    becomes(person, payment["paymentId"], "succeeded")
    assert balance(person) == ALLOWANCE + TOKENS
    check_money(mortal.db)


def test_ten_notifications_at_once_credit_once(mortal: StackUnderTest) -> None:
    person = mortal.register()
    payment = order(person)
    mortal.yookassa.pay(their_id(mortal, payment["paymentId"]), notify=10)
    assert mortal.yookassa.notices() == [200] * 10
    assert payment_of(person, payment["paymentId"])["status"] == "succeeded"
    assert balance(person) == ALLOWANCE + TOKENS
    assert mortal.db.ledger.count_documents({"account_id": person.account_id, "kind": "topup"}) == 1
    check_money(mortal.db)


def test_a_lost_notification_is_made_up_for_by_the_workers(mortal: StackUnderTest) -> None:
    person = mortal.register()
    payment = order(person)
    mortal.yookassa.pay(their_id(mortal, payment["paymentId"]))
    becomes(person, payment["paymentId"], "succeeded")
    assert balance(person) == ALLOWANCE + TOKENS
    check_money(mortal.db)


def test_forged_notifications_credit_nothing(mortal: StackUnderTest) -> None:
    """Of an unpaid payment, of none, and of one that somebody else has paid."""
    forger, payer = mortal.register(), mortal.register()
    unpaid, paid = order(forger), order(payer)
    mortal.yookassa.pay(their_id(mortal, paid["paymentId"]), notify=1)
    subjects = [
        {"id": their_id(mortal, unpaid["paymentId"]), "status": "succeeded", "paid": True},
        {"id": "22d6d597-000f-5000-9000-145f6df21d6f", "metadata": {"payment_id": unpaid["paymentId"]}},
        {"id": their_id(mortal, paid["paymentId"]), "metadata": {"payment_id": unpaid["paymentId"]}},
    ]
    for subject in subjects * 3:
        body = {"type": "notification", "event": "payment.succeeded", "object": subject}
        assert requests.post(f"{mortal.web.url}{NOTICES}", json=body, timeout=10).status_code == 200
    assert payment_of(forger, unpaid["paymentId"])["status"] == "pending"
    assert balance(forger) == ALLOWANCE
    assert balance(payer) == ALLOWANCE + TOKENS
    check_money(mortal.db)


@pytest.mark.parametrize("point", REFUND_POINTS)
def test_who_refunds_dies_at(mortal: StackUnderTest, admin: Person, point: str) -> None:
    person = mortal.register()
    payment = order(person)
    mortal.yookassa.pay(their_id(mortal, payment["paymentId"]), notify=1)
    becomes(person, payment["paymentId"], "succeeded")
    path = f"/api/admin/payments/{payment['paymentId']}/refund"
    mortal.crash_file.write_text(point)
    with pytest.raises(Disconnected):
        admin.call("POST", path, json={"reason": "asked for it"})
    assert not mortal.crash_file.exists()
    # On a connection of its own: the old one ends with the process that died, sooner or later.
    person = Person(mortal.web.url, person.account_id, person.token)
    if point in NOTHING_BEGUN:
        assert payment_of(person, payment["paymentId"])["status"] == "succeeded"
        assert admin.call("POST", path, json={"reason": "asked for it"}).status_code == 200

    becomes(person, payment["paymentId"], "refunded")

    assert admin.call("POST", path, json={"reason": "again"}).status_code == 409
    assert len(mortal.yookassa.refunds()) == 1
    assert balance(person) == ALLOWANCE
    check_money(mortal.db)


def test_parallel_refunds_give_back_once(mortal: StackUnderTest, admin: Person) -> None:
    person = mortal.register()
    payment = order(person)
    mortal.yookassa.pay(their_id(mortal, payment["paymentId"]), notify=1)
    path = f"/api/admin/payments/{payment['paymentId']}/refund"

    def refund(_: int) -> int:
        headers = {"Authorization": f"Bearer {admin.token}"}
        reply = requests.post(f"{mortal.web.url}{path}", json={"reason": "x"}, headers=headers, timeout=30)
        return reply.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(refund, range(8)))
    assert statuses <= {200, 409}
    becomes(person, payment["paymentId"], "refunded")
    assert len(mortal.yookassa.refunds()) == 1
    assert balance(person) == ALLOWANCE
    check_money(mortal.db)


def test_twenty_at_once_redeem_a_code_once(mortal: StackUnderTest, admin: Person) -> None:
    (code,) = admin.call("POST", "/api/admin/redeem-codes", json={"tokens": TOKENS}).json()["codes"]
    people = [mortal.register() for _ in range(20)]

    def redeem(person: Person) -> int:
        return person.call("POST", "/api/billing/redeem", json={"code": code["code"]}).status_code

    with ThreadPoolExecutor(len(people)) as pool:
        statuses = sorted(pool.map(redeem, people))
    assert statuses == [200] + [409] * 19
    assert sum(balance(person) for person in people) == 20 * ALLOWANCE + TOKENS
    check_money(mortal.db)


@pytest.mark.parametrize("point", REDEEM_POINTS)
def test_who_redeems_dies_at(mortal: StackUnderTest, admin: Person, point: str) -> None:
    (code,) = admin.call("POST", "/api/admin/redeem-codes", json={"tokens": TOKENS}).json()["codes"]
    person = mortal.register()
    body, headers = {"code": code["code"]}, {"Idempotency-Key": "redeem-1"}
    mortal.crash_file.write_text(point)
    with pytest.raises(Disconnected):
        person.call("POST", "/api/billing/redeem", json=body, headers=headers)
    assert not mortal.crash_file.exists()

    reply = person.call("POST", "/api/billing/redeem", json=body, headers=headers)

    assert (reply.status_code, reply.json()["currentBalance"]) == (200, ALLOWANCE + TOKENS)
    check_money(mortal.db)


def test_a_provider_that_was_away_is_asked_again(mortal: StackUnderTest) -> None:
    person = mortal.register()
    mortal.yookassa.rule("create", "done_hang", times=1)
    reply = person.call("POST", "/api/billing/topup", json=ORDER)
    assert (reply.status_code, reply.json()["code"]) == (503, "PAYMENT_UNAVAILABLE")
    payment_id = reply.json()["paymentId"]
    eventually(lambda: payment_of(person, payment_id)["confirmationUrl"])
    mortal.yookassa.rule("read", "500", times=3)
    mortal.yookassa.pay(their_id(mortal, payment_id), notify=2)
    becomes(person, payment_id, "succeeded")
    assert balance(person) == ALLOWANCE + TOKENS
    assert len(mortal.yookassa.payments()) == 1
    check_money(mortal.db)


def test_nothing_secret_is_logged(mortal: StackUnderTest) -> None:
    person = mortal.register()
    payment = order(person)
    mortal.yookassa.pay(their_id(mortal, payment["paymentId"]), notify=1)
    for part in (mortal.web, *mortal.workers):
        assert SECRET_KEY not in part.log()
        assert payment["confirmationUrl"] not in part.log()
