"""Paying by YooKassa over HTTP: orders, notifications and whom they are taken from, and refunds."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from devstack.yookassa import SECRET_KEY, SHOP_ID
from devstack.yookassa_control import YooKassaControl, YooKassaServer
from service import bootstrap
from service.api.app import create_app
from service.bootstrap import Container
from service.settings import Settings
from tests.api.conftest import Caller
from tests.api.paying import ADMIN, REASON, TOKENS, TOPUP, balance, order

NOTICES = "/api/payments/yookassa/notifications"


@pytest.fixture(scope="session")
def yookassa_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YooKassaServer]:
    with YooKassaServer(tmp_path_factory.mktemp("yookassa")) as server:
        yield server


@pytest.fixture(scope="session")
def shop_settings(settings: Settings, yookassa_server: YooKassaServer) -> Settings:
    changes = {
        "payment_provider": "yookassa",
        "yookassa_shop_id": SHOP_ID,
        "yookassa_secret_key": SecretStr(SECRET_KEY),
        "yookassa_api_url": yookassa_server.api_url,
    }
    return settings.model_copy(update=changes)


@pytest.fixture
def yookassa(yookassa_server: YooKassaServer) -> YooKassaControl:
    control = yookassa_server.control
    control.clear()
    return control


@pytest.fixture
def shop(shop_settings: Settings, container: Container) -> FlaskClient:
    """The same service where people pay by YooKassa."""
    return create_app(bootstrap.build(shop_settings)).test_client()


def in_shop(shop: FlaskClient, caller: Caller) -> Caller:
    return Caller(shop, caller.id, caller.name, caller.token, caller.refresh_token)


def notice(event: str, subject: dict) -> dict:
    return {"type": "notification", "event": event, "object": subject}


def test_a_notification_of_yookassa_credits(shop: FlaskClient, yookassa: YooKassaControl, user: Caller) -> None:
    payment = order(in_shop(shop, user))
    (ordered,) = yookassa.payments()
    assert payment["confirmationUrl"] == ordered["confirmation"]["confirmation_url"]

    early = shop.post(NOTICES, json=notice("payment.succeeded", {**ordered, "status": "succeeded", "paid": True}))
    assert (early.status_code, early.json, balance(user)) == (200, {"success": True}, 100_000)
    told = yookassa.pay(ordered["id"])
    replies = [shop.post(NOTICES, json=notice("payment.succeeded", told)) for _ in range(3)]

    assert {reply.status_code for reply in replies} == {200}
    assert balance(user) == 100_000 + TOKENS


def test_a_provider_that_is_away_is_503_with_the_payments_id(
    shop: FlaskClient, yookassa: YooKassaControl, user: Caller
) -> None:
    yookassa.rule("create", "500", times=1)
    payer, key = in_shop(shop, user), {"Idempotency-Key": "pay-1"}
    reply = payer.post(TOPUP, {"amount": TOKENS}, headers=key)
    assert (reply.status_code, reply.json["code"]) == (503, "PAYMENT_UNAVAILABLE")
    assert int(reply.headers["Retry-After"]) > 0
    again = payer.post(TOPUP, {"amount": TOKENS}, headers=key)
    assert (again.status_code, again.json["paymentId"]) == (202, reply.json["paymentId"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "event"),
        ({"event": "payment.succeeded"}, "object"),
        ({"event": "payment.succeeded", "object": []}, "object"),
        ({"event": "payment.succeeded", "object": {}}, "object"),
        ({"event": "payment.succeeded", "object": {"id": {"$ne": None}}}, "object"),
        ({"event": "payment.succeeded", "object": {"id": "../refunds"}}, "object"),
        ({"event": "payment.succeeded", "object": {"id": "a" * 65}}, "object"),
        ({"event": "refund.succeeded", "object": {"id": "a", "payment_id": "a/b"}}, "object"),
        ({"event": 1, "object": {"id": "a"}}, "event"),
    ],
)
def test_a_bad_notification_is_400_and_asks_nobody(
    shop: FlaskClient, yookassa: YooKassaControl, body: dict[str, object], field: str
) -> None:
    reply = shop.post(NOTICES, json=body)
    assert reply.status_code == 400
    assert field in reply.json["details"]
    assert yookassa.calls("read") == []


@pytest.mark.parametrize(
    ("networks", "status"), [("185.71.76.0/27, 2a02:5180::/32", 403), ("127.0.0.1", 200), ("127.0.0.0/8", 200)]
)
def test_notifications_may_be_taken_from_some_addresses_only(
    shop_settings: Settings, container: Container, yookassa: YooKassaControl, networks: str, status: int
) -> None:
    named = shop_settings.model_copy(update={"yookassa_notification_addresses": networks})
    client = create_app(bootstrap.build(named)).test_client()
    assert client.post(NOTICES, json=notice("payment.succeeded", {"id": "unknown"})).status_code == status


@pytest.mark.parametrize(
    ("address", "status"),
    [("185.71.76.5", 200), ("::ffff:185.71.76.5", 200), ("2a02:5180::1", 200), ("8.8.8.8", 403), ("", 403), ("x", 403)],
)
def test_the_source_is_whoever_is_connected(
    shop_settings: Settings, container: Container, yookassa: YooKassaControl, address: str, status: int
) -> None:
    named = shop_settings.model_copy(update={"yookassa_notification_addresses": "185.71.76.0/27,2a02:5180::/32"})
    client = create_app(bootstrap.build(named)).test_client()
    body = notice("payment.succeeded", {"id": "unknown"})
    reply = client.post(NOTICES, json=body, environ_base={"REMOTE_ADDR": address})
    assert reply.status_code == status


def test_where_yookassa_is_not_connected_there_is_nothing(client: FlaskClient) -> None:
    assert client.post(NOTICES, json=notice("payment.succeeded", {"id": "unknown"})).status_code == 404


def test_a_refund_over_http(shop: FlaskClient, yookassa: YooKassaControl, user: Caller, admin: Caller) -> None:
    payment = order(in_shop(shop, user))
    (ordered,) = yookassa.payments()
    shop.post(NOTICES, json=notice("payment.succeeded", yookassa.pay(ordered["id"])))
    path = f"{ADMIN}/{payment['paymentId']}"
    operator = in_shop(shop, admin)
    assert operator.post(f"{path}/refund", {}).json["details"].keys() == {"reason"}

    key = {"Idempotency-Key": "refund-1"}
    reply, repeated = (operator.post(f"{path}/refund", REASON, headers=key) for _ in range(2))

    assert (reply.status_code, reply.json["status"]) == (200, "refunded")
    assert repeated.json == reply.json
    assert reply.json["refund"]["tokens"] == TOKENS
    assert balance(user) == 100_000
    again = operator.post(f"{path}/refund", REASON)
    assert (again.status_code, again.json["code"], again.json["status"]) == (409, "PAYMENT_STATE", "refunded")
    assert user.get("/api/billing/ledger").json["entries"][0]["kind"] == "refund"
