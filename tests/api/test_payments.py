"""Paying over HTTP: a top-up of a person, its page in development, and what operators see and do."""

import pytest
from flask.testing import FlaskClient

from service import bootstrap
from service.api.app import create_app
from service.settings import AppEnv, Settings
from tests.api.conftest import Caller, Program
from tests.api.paying import ADMIN, PAYMENTS, REASON, TOKENS, TOPUP, balance, decide, order, path_of


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
    page = client.get(path_of(payment), headers={"Accept-Language": "en"})
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert "100.00 RUB" in page.text
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text

    replies = [decide(client, payment, decision) for _ in range(2)]
    replies.append(decide(client, payment, "pay"))

    assert [reply.status_code for reply in replies] == [303] * 3
    assert "<form" not in client.get(path_of(payment)).text
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
    refused = admin.post(f"{path}/confirm", REASON).json
    assert (refused["code"], refused["status"]) == ("PAYMENT_STATE", "pending")
    assert "«pending»" in refused["message"]
    assert admin.post(f"{path}/cancel", REASON).json["status"] == "cancelled"


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


def test_what_became_of_payments_is_counted(client: FlaskClient, user: Caller) -> None:
    def count() -> float:
        line = 'payments_total{outcome="succeeded",provider="test"}'
        found = [text for text in client.get("/metrics").text.splitlines() if text.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0

    before = count()
    decide(client, order(user), "pay")
    assert count() == before + 1
