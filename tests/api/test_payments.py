"""Paying over HTTP: a top-up of a person, its page in development, notifications, and what operators do."""

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr
from werkzeug.test import TestResponse

from devstack.yookassa import SECRET_KEY, SHOP_ID
from devstack.yookassa_control import YooKassaControl, YooKassaServer
from service import bootstrap
from service.api.app import create_app
from service.bootstrap import Container
from service.domain.accounts import Role
from service.settings import AppEnv, Settings
from tests.api.conftest import Caller, NewCaller, Program

TOPUP = "/api/billing/topup"
PAYMENTS = "/api/billing/payments"
ADMIN = "/api/admin/payments"
NOTICES = "/api/payments/yookassa/notifications"
CODES = "/api/admin/redeem-codes"
TOKENS = 1_000_000
REASON = {"reason": "asked for it"}


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


def balance(caller: Caller) -> int:
    return int(caller.get("/api/billing").json["currentBalance"])


def order(caller: Caller, **fields: object) -> dict:
    reply = caller.post(TOPUP, {"amount": TOKENS, **fields})
    assert reply.status_code == 202, reply.text
    return dict(reply.json)


def decide(client: FlaskClient, payment: dict, decision: str) -> TestResponse:
    return client.post(_path(payment), data={"decision": decision})


def _path(payment: dict) -> str:
    return str(payment["confirmationUrl"].removeprefix("http://localhost:8000"))


def notice(event: str, subject: dict) -> dict:
    return {"type": "notification", "event": event, "object": subject}


def test_a_person_gets_a_payment_and_an_address_to_pay_at(user: Caller) -> None:
    reply = user.post(TOPUP, {"userId": user.id, "amount": TOKENS})
    assert reply.status_code == 202
    payment = reply.json
    assert (payment["success"], payment["currentBalance"], payment["status"]) == (True, 100_000, "pending")
    assert payment["price"] == {"amount": "100.00", "currency": "RUB"}
    assert payment["confirmationUrl"].startswith("http://localhost:8000/pay/test/")
    assert reply.headers["Location"] == f"{PAYMENTS}/{payment['paymentId']}"
    shown = user.get(reply.headers["Location"]).json
    assert {name: payment[name] for name in shown} == shown
    assert user.get(PAYMENTS).json == {"payments": [shown], "nextCursor": None}
    assert balance(user) == 100_000


def test_the_offer_says_what_tokens_cost(user: Caller) -> None:
    assert user.get(TOPUP).json == {
        "provider": "test",
        "currency": "RUB",
        "tokensPerRuble": 10_000,
        "minTokens": 100_000,
        "maxTokens": 500_000_000,
        "creditPrice": "5.00",
        "minCredits": 2,
        "maxCredits": 10_000,
        "receiptContactNeeded": False,
    }


@pytest.mark.parametrize(
    ("decision", "status", "credited"), [("pay", "succeeded", TOKENS), ("decline", "cancelled", 0)]
)
def test_the_payer_decides_on_the_page(
    client: FlaskClient, user: Caller, decision: str, status: str, credited: int
) -> None:
    payment = order(user)
    page = client.get(_path(payment), headers={"Accept-Language": "en"})
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert "100.00 RUB" in page.text
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text

    replies = [decide(client, payment, decision) for _ in range(2)]
    replies.append(decide(client, payment, "pay"))

    assert [reply.status_code for reply in replies] == [303] * 3
    assert "<form" not in client.get(_path(payment)).text
    shown = user.get(f"{PAYMENTS}/{payment['paymentId']}").json
    assert (shown["status"], shown["confirmationUrl"]) == (status, None)
    assert balance(user) == 100_000 + credited


def test_an_unknown_page_is_404(client: FlaskClient) -> None:
    assert client.get("/pay/test/nothing").status_code == 404
    assert client.post("/pay/test/nothing", data={"decision": "pay"}).status_code == 404


def test_the_page_is_not_there_in_production(settings: Settings) -> None:
    production = settings.model_copy(update={"app_env": AppEnv.PRODUCTION, "payment_provider": "manual"})
    app = create_app(bootstrap.build(production))
    assert not [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/pay")]


def test_an_idempotency_key_leads_to_the_same_payment(user: Caller) -> None:
    key = {"Idempotency-Key": "pay-1"}
    replies = [user.post(TOPUP, {"amount": TOKENS}, headers=key) for _ in range(3)]
    assert {reply.json["paymentId"] for reply in replies} == {replies[0].json["paymentId"]}
    changed = user.post(TOPUP, {"amount": 2 * TOKENS}, headers=key)
    assert (changed.status_code, changed.json["code"]) == (409, "IDEMPOTENCY_MISMATCH")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": 99_999}, "amount"),
        ({"amount": 10**12 + 1}, "amount"),
        ({"amount": "1000000"}, "amount"),
        ({"amount": 1.5}, "amount"),
        ({"amount": {"$gt": 0}}, "amount"),
        ({"amount": TOKENS, "email": "nobody"}, "email"),
        ({"amount": TOKENS, "email": ["a@example.com"]}, "email"),
        ({"amount": TOKENS, "phone": "12"}, "phone"),
        ({"amount": TOKENS, "phone": "+7900123456x"}, "phone"),
        ({"amount": TOKENS, "phone": "٧٩٠٠١٢٣٤٥٦٧"}, "phone"),
    ],
)
def test_a_bad_order_names_the_field(user: Caller, body: dict[str, object], field: str) -> None:
    reply = user.post(TOPUP, body)
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


def test_a_form_orders_too(user: Caller) -> None:
    reply = user.call("POST", TOPUP, data={"amount": str(TOKENS), "phone": "+7 (900) 123-45-67"})
    assert reply.status_code == 202


def test_guests_are_told_to_register(client: FlaskClient) -> None:
    guest = client.post("/api/auth/guest-login").json
    reply = client.post(TOPUP, json={"amount": TOKENS}, headers={"Authorization": f"Bearer {guest['token']}"})
    assert (reply.status_code, reply.json["code"]) == (403, "REGISTRATION_REQUIRED")


def test_keys_see_no_payments(program: Program) -> None:
    for path in (TOPUP, PAYMENTS, f"{PAYMENTS}/x"):
        assert program.get(path).status_code == 403


def test_payments_are_listed_by_status_and_page(user: Caller, client: FlaskClient) -> None:
    orders = [order(user) for _ in range(3)]
    decide(client, orders[1], "pay")
    paid = user.get(f"{PAYMENTS}?status=succeeded").json["payments"]
    assert [payment["paymentId"] for payment in paid] == [orders[1]["paymentId"]]
    seen, cursor = [], ""
    while cursor is not None:
        page = user.get(f"{PAYMENTS}?limit=2{cursor and f'&cursor={cursor}'}").json
        seen += [payment["paymentId"] for payment in page["payments"]]
        cursor = page["nextCursor"]
    assert seen == [payment["paymentId"] for payment in reversed(orders)]
    assert user.get(f"{PAYMENTS}?status=lost").status_code == 400
    assert user.get(f"{PAYMENTS}?cursor=x").status_code == 400


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


def test_spent_tokens_are_told(client: FlaskClient, user: Caller, admin: Caller) -> None:
    payment = order(user)
    decide(client, payment, "pay")
    admin.post(f"/api/admin/user/{user.id}/balance", {"amount": 5})
    reply = admin.post(f"{ADMIN}/{payment['paymentId']}/refund", REASON, headers={"Accept-Language": "en"})
    assert (reply.status_code, reply.json["code"]) == (409, "PAYMENT_SPENT")
    assert (reply.json["required"], reply.json["currentBalance"], reply.json["held"]) == (TOKENS, 5, 0)


def test_operators_see_and_support_only_sees(client: FlaskClient, user: Caller, admin: Caller, support: Caller) -> None:
    payment = order(user)
    path = f"{ADMIN}/{payment['paymentId']}"
    (shown,) = support.get(f"{ADMIN}?userId={user.id}").json["payments"]
    assert (shown["paymentId"], shown["providerId"]) == (payment["paymentId"], f"test-{payment['paymentId']}")
    assert user.get(ADMIN).status_code == 403
    for action in ("confirm", "cancel", "refund"):
        assert support.post(f"{path}/{action}", REASON).status_code == 403
        assert admin.post(f"{ADMIN}/nothing/{action}", REASON).status_code == 404
    assert admin.post(f"{path}/confirm", REASON).json["code"] == "PAYMENT_STATE"
    assert admin.post(f"{path}/cancel", REASON).json["status"] == "cancelled"


def test_codes_are_made_redeemed_and_revoked(user: Caller, admin: Caller, support: Caller) -> None:
    reply = admin.post(CODES, {"tokens": 500, "count": 3, "expiresInDays": 30, "note": "fair"})
    assert reply.status_code == 201
    used, revoked, _left = reply.json["codes"]
    assert admin.call("DELETE", f"{CODES}/{revoked['codeId']}").json["revokedAt"]

    first = user.post("/api/billing/redeem", {"code": used["code"]})

    assert first.json == {"success": True, "currentBalance": 100_500, "unit": "tokens"}
    second = user.post("/api/billing/redeem", {"code": used["code"]})
    assert (second.status_code, second.json["code"]) == (409, "CODE_USED")
    bad = user.post("/api/billing/redeem", {"code": revoked["code"]})
    assert (bad.status_code, bad.json["code"]) == (400, "INVALID_CODE")
    assert admin.call("DELETE", f"{CODES}/{used['codeId']}").json["code"] == "CODE_USED"
    listed = support.get(f"{CODES}?batchId={used['batchId']}").json["codes"]
    assert {code["codeId"]: code["claimedBy"] for code in listed}[used["codeId"]] == user.id
    assert all("code" not in code for code in listed)
    assert user.get("/api/billing/ledger").json["entries"][0]["kind"] == "code"


def test_redeeming_with_a_key_is_answered_again(user: Caller, admin: Caller) -> None:
    (code,) = admin.post(CODES, {"tokens": 500}).json["codes"]
    key = {"Idempotency-Key": "redeem-1"}
    replies = [user.post("/api/billing/redeem", {"code": code["code"]}, headers=key) for _ in range(2)]
    assert [reply.json["currentBalance"] for reply in replies] == [100_500] * 2


def test_a_code_may_be_worth_credits(user: Caller, admin: Caller) -> None:
    (code,) = admin.post(CODES, {"tokens": 5, "unit": "credits"}).json["codes"]
    assert (code["tokens"], code["unit"]) == (5, "credits")
    key = {"Idempotency-Key": "redeem-1"}
    replies = [user.post("/api/billing/redeem", {"code": code["code"]}, headers=key) for _ in range(2)]
    assert [reply.json for reply in replies] == [{"success": True, "currentBalance": 5, "unit": "credits"}] * 2
    billing = user.get("/api/billing").json
    assert (billing["currentBalance"], billing["credits"]["remaining"], billing["credits"]["extra"]) == (100_000, 10, 5)


def test_credits_are_ordered_like_tokens(user: Caller) -> None:
    payment = order(user, amount=20, unit="credits")
    assert (payment["unit"], payment["credits"], payment["tokens"], payment["currentBalance"]) == ("credits", 20, 0, 0)
    assert payment["price"] == {"amount": "100.00", "currency": "RUB"}
    decide(user.client, payment, "pay")
    credited = user.get("/api/billing").json
    assert (credited["currentBalance"], credited["credits"]["extra"]) == (100_000, 20)
    assert user.get(PAYMENTS).json["payments"][0]["status"] == "succeeded"
    refused = user.post(TOPUP, {"amount": 1, "unit": "credits"})
    assert (refused.status_code, list(refused.json["details"])) == (400, ["amount"])


def test_guessing_codes_ends_in_429(register: NewCaller) -> None:
    guesser = register(Role.USER)
    replies = [guesser.post("/api/billing/redeem", {"code": "0000-0000-0000-0000"}) for _ in range(11)]
    assert {reply.json["code"] for reply in replies[:10]} == {"INVALID_CODE"}
    assert (replies[10].status_code, replies[10].json["code"]) == (429, "TOO_MANY_ATTEMPTS")
    assert int(replies[10].headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "tokens"),
        ({"tokens": 0}, "tokens"),
        ({"tokens": 5, "count": 0}, "count"),
        ({"tokens": 5, "count": 1001}, "count"),
        ({"tokens": 5, "expiresInDays": 0}, "expiresInDays"),
        ({"tokens": 5, "note": 5}, "note"),
        ({"tokens": 5, "unit": "roubles"}, "unit"),
    ],
)
def test_a_bad_batch_names_the_field(admin: Caller, body: dict[str, object], field: str) -> None:
    reply = admin.post(CODES, body)
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


@pytest.mark.parametrize("body", [{}, {"code": ""}, {"code": 5}, {"code": "x" * 65}, {"code": {"$ne": ""}}])
def test_a_bad_code_names_the_field(user: Caller, body: dict[str, object]) -> None:
    reply = user.post("/api/billing/redeem", body)
    assert (reply.status_code, list(reply.json["details"])) == (400, ["code"])


def test_what_became_of_payments_is_counted(client: FlaskClient, user: Caller) -> None:
    def count() -> float:
        line = 'payments_total{outcome="succeeded",provider="test"}'
        found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    before = count()
    decide(client, order(user), "pay")
    assert count() == before + 1
