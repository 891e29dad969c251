"""The local YooKassa does what YooKassa's documentation says of the real one."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from devstack.yookassa import SECRET_KEY, SHOP_ID
from devstack.yookassa_control import YooKassaControl, YooKassaServer
from tests.core.receivers import receiving

AMOUNT = {"value": "100.00", "currency": "RUB"}
ORDER = {
    "amount": AMOUNT,
    "capture": True,
    "confirmation": {"type": "redirect", "return_url": "https://example.com/"},
    "description": "Order 17",
    "metadata": {"order": "17"},
}
ITEM = {"description": "Tokens", "quantity": "1.00", "amount": AMOUNT, "vat_code": 1}


class Shop:
    """A client of its API."""

    def __init__(self, url: str, password: str = SECRET_KEY) -> None:
        self._url, self._password = url, password

    def post(self, path: str, body: Any, key: str | None) -> requests.Response:
        headers = {} if key is None else {"Idempotence-Key": key}
        auth = (SHOP_ID, self._password)
        return requests.post(f"{self._url}{path}", json=body, headers=headers, auth=auth, timeout=5)

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self._url}{path}", auth=(SHOP_ID, self._password), timeout=5)

    def order(self, key: str = "order", **changes: Any) -> dict[str, Any]:
        reply = self.post("/payments", {**ORDER, **changes}, key)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YooKassaServer]:
    with YooKassaServer(tmp_path_factory.mktemp("yookassa")) as server:
        yield server


@pytest.fixture
def control(server: YooKassaServer) -> YooKassaControl:
    server.control.clear()
    return server.control


@pytest.fixture
def shop(server: YooKassaServer, control: YooKassaControl) -> Shop:
    return Shop(server.api_url)


def test_a_payment_waits_for_its_payer(shop: Shop) -> None:
    payment = shop.order()
    assert (payment["status"], payment["paid"], payment["amount"]) == ("pending", False, AMOUNT)
    assert payment["confirmation"]["confirmation_url"].startswith("https://")
    assert payment["metadata"] == {"order": "17"}
    assert shop.get(f"/payments/{payment['id']}").json() == payment


def test_a_key_leads_to_the_first_answer_and_takes_no_other_body(shop: Shop, control: YooKassaControl) -> None:
    first = shop.order()
    control.pay(first["id"])
    assert shop.order() == first, "as it was, not as it is"
    other = shop.post("/payments", {**ORDER, "description": "Order 18"}, "order")
    assert (other.status_code, other.json()["parameter"]) == (400, "Idempotence-Key")
    assert shop.order("another key")["id"] != first["id"]
    for key in (None, "k" * 65):
        assert shop.post("/payments", ORDER, key).status_code == 400


def test_errors_have_their_shape(shop: Shop, server: YooKassaServer) -> None:
    unknown = shop.get("/payments/nothing")
    assert unknown.status_code == 404
    assert (unknown.json()["type"], unknown.json()["code"]) == ("error", "not_found")
    refused = Shop(server.api_url, "wrong").get("/payments/nothing")
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "receipt",
    [
        {},
        {"customer": {"email": "a@example.com"}, "items": []},
        {"customer": {}, "items": [ITEM]},
        {"customer": {"phone": "+79001234567"}, "items": [ITEM]},
        {"customer": {"email": "a@example.com"}, "items": [ITEM, ITEM]},
        {"customer": {"email": "a@example.com"}, "items": [{**ITEM, "vat_code": 1, "amount": {"value": "1.00"}}]},
    ],
)
def test_a_receipt_that_is_none_is_refused(shop: Shop, receipt: dict[str, Any]) -> None:
    assert shop.post("/payments", {**ORDER, "receipt": receipt}, "order").status_code == 400
    good = {"customer": {"phone": "79001234567"}, "items": [ITEM]}
    assert shop.post("/payments", {**ORDER, "receipt": good}, "good").status_code == 200


def test_refunds_give_back_what_was_paid_and_no_more(shop: Shop, control: YooKassaControl) -> None:
    payment = shop.order()
    body = {"payment_id": payment["id"], "amount": {**AMOUNT, "value": "60.00"}}
    assert shop.post("/refunds", body, "early").status_code == 400
    control.pay(payment["id"])

    refund = shop.post("/refunds", body, "part").json()

    assert refund["status"] == "succeeded"
    assert shop.post("/refunds", body, "part").json() == refund
    assert shop.get(f"/refunds/{refund['id']}").json()["payment_id"] == payment["id"]
    assert shop.get(f"/payments/{payment['id']}").json()["refunded_amount"]["value"] == "60.00"
    assert shop.post("/refunds", body, "too much").status_code == 400


def test_notifications_are_sent_as_often_as_told(shop: Shop, control: YooKassaControl) -> None:
    payment = shop.order()
    with receiving() as receiver:
        control.notify_at(receiver.url)
        control.pay(payment["id"], notify=3)
        assert len(receiver.heard) == 3
    assert control.notices() == [200] * 3


@pytest.mark.parametrize(("fault", "status"), [("500", 500), ("202", 202), ("429", 429), ("refuse", 400)])
def test_a_fault_stands_in_the_place_of_the_answer(
    shop: Shop, control: YooKassaControl, fault: str, status: int
) -> None:
    control.rule("create", fault, times=1)
    assert shop.post("/payments", ORDER, "order").status_code == status
    assert control.payments() == []
    shop.order()


def test_a_lost_answer_had_its_effect(shop: Shop, control: YooKassaControl) -> None:
    control.rule("create", "done_reset", times=1)
    with pytest.raises(requests.ConnectionError):
        shop.post("/payments", ORDER, "order")
    (payment,) = control.payments()
    assert shop.order()["id"] == payment["id"]
