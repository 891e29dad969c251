"""What tests of payments over HTTP say often."""

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.api.conftest import Caller

TOPUP = "/api/billing/topup"
PAYMENTS = "/api/billing/payments"
ADMIN = "/api/admin/payments"
TOKENS = 1_000_000
REASON = {"reason": "asked for it"}


def balance(caller: Caller) -> int:
    return int(caller.get("/api/billing").json["currentBalance"])


def order(caller: Caller, **fields: object) -> dict:
    reply = caller.post(TOPUP, {"amount": TOKENS, **fields})
    assert reply.status_code == 202, reply.text
    return dict(reply.json)


def decide(client: FlaskClient, payment: dict, decision: str) -> TestResponse:
    return client.post(path_of(payment), data={"decision": decision})


def path_of(payment: dict) -> str:
    return str(payment["confirmationUrl"].removeprefix("http://localhost:8000"))
