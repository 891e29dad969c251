"""Codes worth tokens or credits over HTTP: made and revoked by operators, redeemed by people."""

import pytest

from service.domain.accounts import Role
from tests.api.conftest import Caller, NewCaller

CODES = "/api/admin/redeem-codes"


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
