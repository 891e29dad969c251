"""`/api/billing` and what operators do with balances, over HTTP."""

import csv
import io
from collections.abc import Callable
from unittest.mock import ANY

import pytest

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import Caller

BILLING = "/api/billing"
CSV = {"Accept": "text/csv"}
Spend = Callable[[], None]


@pytest.fixture
def spend(user: Caller, container: Container, upstream: UpstreamControl) -> Spend:
    """The user asks something that costs 38 tokens."""
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18, "total_tokens": 38})
    return lambda: container.run(user.post("/api/chat", {"message": "ping"}).json["jobId"])


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_balance_has_the_documented_fields(user: Caller, spend: Spend) -> None:
    spend()
    assert user.get(BILLING).json == {
        "userId": user.id,
        "totalTokens": 38,
        "currentBalance": 100_000 - 38,
        "held": 0,
        "plan": "FREE",
        "credits": {"remaining": 5, "extra": 0, "held": 0, "unlimited": False, "periodEndsAt": ANY},
    }


def test_a_hold_shows_while_a_question_is_open(user: Caller) -> None:
    user.post("/api/chat", {"message": "ping"})
    billing = user.get(BILLING).json
    assert billing["held"] > 0
    assert billing["held"] + billing["currentBalance"] == 100_000


@pytest.mark.parametrize("path", ["", "/ledger", "/usage"])
def test_somebody_elses_money_is_403(user: Caller, admin: Caller, path: str) -> None:
    assert user.get(f"{BILLING}{path}?userId={admin.id}").status_code == 403
    assert user.get(f"{BILLING}{path}?user_id={admin.id}").status_code == 403
    assert admin.get(f"{BILLING}{path}?userId={user.id}").status_code == 200


def test_the_amounts_of_a_ledger_add_up(user: Caller, spend: Spend) -> None:
    spend()
    entries = user.get(f"{BILLING}/ledger").json["entries"]
    assert [entry["kind"] for entry in entries[:2]] == ["final", "hold"]
    assert sum(entry["amount"] for entry in entries) == user.get(BILLING).json["currentBalance"]
    assert "actorId" not in entries[0]


def test_a_ledger_comes_in_pages(user: Caller, spend: Spend) -> None:
    spend()
    spend()
    seen, cursor = [], ""
    while cursor is not None:
        page = user.get(f"{BILLING}/ledger?limit=2{cursor and f'&cursor={cursor}'}").json
        seen += [entry["seq"] for entry in page["entries"]]
        cursor = page["nextCursor"]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 6


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJ4Il0", "WzFlMzAwXQ", "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMF0"])
def test_a_bad_ledger_cursor_is_400(user: Caller, cursor: str) -> None:
    assert user.get(f"{BILLING}/ledger?cursor={cursor}").json["details"].keys() == {"cursor"}


def test_a_ledger_as_csv_has_every_page(user: Caller, admin: Caller) -> None:
    for number in range(120):
        admin.post(f"/api/admin/user/{user.id}/adjust", {"delta": 1, "reason": f"number {number}"})
    reply = user.get(f"{BILLING}/ledger?limit=1", headers=CSV)
    assert reply.content_type == "text/csv; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="ledger.csv"'
    lines = rows(reply.text)
    assert len(lines) == 122
    assert [line["reason"] for line in lines[:120]] == [f"number {number}" for number in range(120)][::-1]
    assert sum(int(line["amount"]) for line in lines) == 100_120

    seen = rows(admin.get(f"/api/admin/user/{user.id}/ledger", headers=CSV).text)
    assert [line["id"] for line in seen] == [line["id"] for line in lines]
    trail = admin.get(f"/api/admin/audit?subjectId={user.id}").json["audit"]
    # The file is one look, however many pages it has.
    assert [line["action"] for line in trail[:2]] == ["ledger.read", "balance.adjust"]


@pytest.mark.parametrize(
    "reason",
    ['=HYPERLINK("http://evil.example","x")', "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", 'a,"b"\nc', "обычная причина"],
)
def test_a_csv_has_no_formulas(user: Caller, admin: Caller, reason: str) -> None:
    admin.post(f"/api/admin/user/{user.id}/adjust", {"delta": -5, "reason": reason})
    line = rows(user.get(f"{BILLING}/ledger", headers=CSV).text)[0]
    assert line["reason"].lstrip("'").replace("\r\n", "\n") == reason.replace("\r\n", "\n")
    assert line["reason"][0] not in "=+-@\t\r"
    assert line["amount"] == "-5"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("text/csv", "text/csv; charset=utf-8"),
        ("text/csv, application/json;q=0.5", "text/csv; charset=utf-8"),
        ("text/*", "text/csv; charset=utf-8"),
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
        ("", "application/json; charset=utf-8"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json; charset=utf-8"),
    ],
)
def test_the_format_is_what_the_client_accepts(user: Caller, accept: str, content_type: str) -> None:
    assert user.get(f"{BILLING}/ledger", headers={"Accept": accept}).content_type == content_type


def test_another_format_is_406(user: Caller) -> None:
    reply = user.get(f"{BILLING}/ledger", headers={"Accept": "application/pdf"})
    assert (reply.status_code, reply.json["code"]) == (406, "NOT_ACCEPTABLE")


def test_a_csv_of_somebody_elses_is_403_and_not_a_file(user: Caller, admin: Caller) -> None:
    reply = user.get(f"{BILLING}/ledger?userId={admin.id}", headers=CSV)
    assert (reply.status_code, reply.json["code"]) == (403, "FORBIDDEN")


def test_usage_by_day_and_by_model(user: Caller, spend: Spend) -> None:
    spend()
    by_day = user.get(f"{BILLING}/usage").json
    assert by_day["group"] == "day"
    assert len(by_day["usage"]) == 1
    row = by_day["usage"][0]
    assert row["key"] == by_day["to"]
    assert (row["jobs"], row["failed"], row["totalTokens"], row["charged"]) == (1, 0, 38, 38)
    by_model = user.get(f"{BILLING}/usage?group=model&from={by_day['to']}&to={by_day['to']}").json
    assert by_model["usage"][0]["promptTokens"] == 20
    assert user.get(f"{BILLING}/usage?from=2020-01-01&to=2020-12-31").json["usage"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("to=2024-13-01", "to"),
        ("to=2024-01-15T10:00:00Z", "to"),
        ("from=2024-02-02&to=2024-02-01", "to"),
        ("from=2020-01-01&to=2021-01-01", "from"),
        ("from=0001-01-01", "from"),
        ("group=year", "group"),
    ],
)
def test_a_bad_period_names_the_field(user: Caller, query: str, field: str) -> None:
    reply = user.get(f"{BILLING}/usage?{query}")
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_ends_of_time_are_dates_too(user: Caller, day: str) -> None:
    assert user.get(f"{BILLING}/usage?to={day}").status_code == 200


def test_an_admin_credits_at_once(user: Caller, admin: Caller) -> None:
    reply = admin.post(f"{BILLING}/topup", {"userId": user.id, "amount": 500})
    assert reply.json == {"success": True, "currentBalance": 100_500}
    assert user.get(f"{BILLING}/ledger").json["entries"][0]["kind"] == "topup"


def test_nobody_pays_for_somebody_else(user: Caller, admin: Caller, support: Caller) -> None:
    for caller in (user, support):
        reply = caller.post(f"{BILLING}/topup", {"userId": admin.id, "amount": 1_000_000})
        assert (reply.status_code, reply.json["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("path", [f"{BILLING}/topup", "/api/admin/user/{user}/adjust"])
def test_money_moves_once_per_key(user: Caller, admin: Caller, path: str) -> None:
    path = path.format(user=user.id)
    body = {"userId": user.id, "amount": 500} if path.startswith(BILLING) else {"delta": 500, "reason": "gift"}
    key = {"Idempotency-Key": "pay-1"}
    assert [admin.post(path, body, headers=key).json["currentBalance"] for _ in range(3)] == [100_500] * 3
    changed = {**body, **({"amount": 501} if "amount" in body else {"delta": 501})}
    reply = admin.post(path, changed, headers=key)
    assert (reply.status_code, reply.json["code"]) == (409, "IDEMPOTENCY_MISMATCH")
    assert admin.post(path, body, headers={"Idempotency-Key": "pay-2"}).json["currentBalance"] == 101_000


def test_a_key_belongs_to_one_path(user: Caller, admin: Caller, support: Caller) -> None:
    key, body = {"Idempotency-Key": "pay-1"}, {"delta": 5, "reason": "gift"}
    assert admin.post(f"/api/admin/user/{user.id}/adjust", body, headers=key).status_code == 200
    assert admin.post(f"/api/admin/user/{support.id}/adjust", body, headers=key).status_code == 409


def test_an_absolute_balance_is_a_correction(user: Caller, admin: Caller) -> None:
    path = f"/api/admin/user/{user.id}/balance"
    assert admin.post(path, {"amount": 7}).json == {"success": True, "currentBalance": 7}
    assert user.get(BILLING).json["currentBalance"] == 7
    entry = user.get(f"{BILLING}/ledger").json["entries"][0]
    assert (entry["kind"], entry["amount"], entry["balanceAfter"]) == ("set", 7 - 100_000, 7)
    assert admin.post(path, {"amount": 0, "reason": "Закрыт"}).status_code == 200


def test_a_balance_that_was_not_seen_is_not_overwritten(user: Caller, admin: Caller) -> None:
    path = f"/api/admin/user/{user.id}/balance"
    reply = admin.post(path, {"amount": 7, "expectedBalance": 99})
    assert (reply.status_code, reply.json["code"], reply.json["currentBalance"]) == (409, "BALANCE_CHANGED", 100_000)
    assert admin.post(path, {"amount": 7, "expected_balance": 100_000}).status_code == 200


def test_a_balance_never_becomes_negative(user: Caller, admin: Caller) -> None:
    path = f"/api/admin/user/{user.id}/adjust"
    reply = admin.post(path, {"delta": -100_001, "reason": "too much"})
    assert (reply.status_code, reply.json["code"], reply.json["currentBalance"]) == (409, "BALANCE_TOO_LOW", 100_000)
    assert admin.post(path, {"delta": -100_000, "reason": "all"}).json["currentBalance"] == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x"}, "delta"),
        ({"delta": 0, "reason": "x"}, "delta"),
        ({"delta": 1.5, "reason": "x"}, "delta"),
        ({"delta": "5", "reason": "x"}, "delta"),
        ({"delta": 10**12 + 1, "reason": "x"}, "delta"),
        ({"delta": 5}, "reason"),
        ({"delta": 5, "reason": ""}, "reason"),
        ({"delta": 5, "reason": "x" * 501}, "reason"),
    ],
)
def test_a_bad_adjustment_names_the_field(admin: Caller, user: Caller, body: dict[str, object], field: str) -> None:
    reply = admin.post(f"/api/admin/user/{user.id}/adjust", body)
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": "7"}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": 7, "expectedBalance": "7"}, "expectedBalance"),
        ({"amount": 7, "reason": {"$ne": 1}}, "reason"),
    ],
)
def test_a_bad_balance_names_the_field(admin: Caller, user: Caller, body: dict[str, object], field: str) -> None:
    reply = admin.post(f"/api/admin/user/{user.id}/balance", body)
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


@pytest.mark.parametrize("action", ["balance", "adjust"])
def test_nobody_has_no_balance(admin: Caller, action: str) -> None:
    body = {"amount": 7} if action == "balance" else {"delta": 7, "reason": "x"}
    assert admin.post(f"/api/admin/user/nobody/{action}", body).json["code"] == "NOT_FOUND"
    assert admin.post(f"{BILLING}/topup", {"userId": "nobody", "amount": 7}).json["code"] == "NOT_FOUND"


def test_extra_credits_are_given_once_and_taken_away(user: Caller, admin: Caller, support: Caller) -> None:
    path, key = f"/api/admin/user/{user.id}/credits", {"Idempotency-Key": "gift-1"}
    for _ in range(2):
        given = admin.post(path, {"delta": 3, "reason": "gift"}, headers=key)
        assert (given.status_code, given.json["plan"]) == (200, "FREE")
        assert (given.json["credits"]["remaining"], given.json["credits"]["extra"]) == (8, 3)
    assert user.get(BILLING).json["credits"] == given.json["credits"]
    assert user.get(BILLING).json["currentBalance"] == 100_000
    too_much = admin.post(path, {"delta": -4, "reason": "back"})
    assert (too_much.status_code, too_much.json["code"], too_much.json["currentBalance"]) == (409, "BALANCE_TOO_LOW", 3)
    assert admin.post(path, {"delta": -3, "reason": "back"}).json["credits"]["extra"] == 0
    for caller in (user, support):
        assert caller.post(path, {"delta": 3, "reason": "gift"}).status_code == 403
    audited = admin.get(f"/api/admin/audit?subjectId={user.id}").json["audit"]
    assert [line["action"] for line in audited].count("credits.adjust") == 4


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x"}, "delta"),
        ({"delta": 0, "reason": "x"}, "delta"),
        ({"delta": "5", "reason": "x"}, "delta"),
        ({"delta": 10**6 + 1, "reason": "x"}, "delta"),
        ({"delta": 5}, "reason"),
    ],
)
def test_a_bad_number_of_credits_names_the_field(
    admin: Caller, user: Caller, body: dict[str, object], field: str
) -> None:
    reply = admin.post(f"/api/admin/user/{user.id}/credits", body)
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


@pytest.mark.parametrize("name", ["{user}:credits", "{user}:extra", "nobody"])
@pytest.mark.parametrize("action", ["credits", "adjust"])
def test_a_wallets_name_is_nobodys_id(user: Caller, admin: Caller, name: str, action: str) -> None:
    admin.post(f"/api/admin/user/{user.id}/credits", {"delta": 3, "reason": "gift"})
    reply = admin.post(f"/api/admin/user/{name.format(user=user.id)}/{action}", {"delta": 3, "reason": "gift"})
    assert reply.status_code == 404
    assert user.get(BILLING).json["credits"]["remaining"] == 8


def test_a_ledger_of_credits_is_of_both_wallets(
    user: Caller, admin: Caller, container: Container, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    admin.post(f"/api/admin/user/{user.id}/credits", {"delta": 2, "reason": "gift"})
    for _ in range(6):
        container.run(user.post("/api/chat", {"message": "ping", "assistant": "coach"}).json["jobId"])
    whole = user.get(f"{BILLING}/ledger?unit=credits&limit=100").json
    kinds = [(entry["wallet"], entry["kind"]) for entry in whole["entries"]]
    assert kinds[:-2] == [("extra", "final"), ("extra", "hold"), *[("monthly", "final"), ("monthly", "hold")] * 5]
    # Both of one transaction, which may take less than the millisecond by which the database tells them apart.
    assert set(kinds[-2:]) == {("extra", "adjust"), ("monthly", "grant")}
    assert whole["nextCursor"] is None
    paged, cursor = [], ""
    while cursor is not None:
        page = user.get(f"{BILLING}/ledger?unit=credits&limit=3{cursor and '&cursor=' + cursor}").json
        paged += page["entries"]
        cursor = page["nextCursor"]
    assert paged == whole["entries"]
    assert [line["wallet"] for line in rows(user.get(f"{BILLING}/ledger?unit=credits", headers=CSV).text)] == [
        entry["wallet"] for entry in paged
    ]
    of_admin = admin.get(f"/api/admin/user/{user.id}/ledger?unit=credits&limit=1").json["entries"]
    assert of_admin[0]["actorId"] == "system"
    assert {entry["wallet"] for entry in user.get(f"{BILLING}/ledger").json["entries"]} == {"tokens"}
    assert user.get(f"{BILLING}/ledger?unit=roubles").status_code == 400


def test_a_job_says_in_what_it_was_paid(user: Caller, container: Container, upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    job_id = user.post("/api/chat", {"message": "ping", "assistant": "coach"}).json["jobId"]
    container.run(job_id)
    job = user.get(f"/api/chat/jobs/{job_id}").json
    assert (job["meter"], job["charged"], job["currentBalance"], job["tokensUsed"]) == ("credits", 1, 4, 38)


def test_whoever_has_no_credits_is_refused_in_their_language(user: Caller) -> None:
    ask = {"message": "ping", "assistant": "coach"}
    for _ in range(5):
        assert user.post("/api/chat", ask).status_code == 202
    refused = user.post("/api/chat", ask, headers={"Accept-Language": "fr"})
    assert (refused.status_code, refused.json["code"], refused.json["error"]) == (
        402,
        "NO_CREDITS",
        "Crédits insuffisants",
    )
    assert (refused.json["required"], refused.json["available"], refused.json["held"]) == (1, 0, 5)


def test_an_admin_adds_extra_credits_at_once(user: Caller, admin: Caller) -> None:
    reply = admin.post(f"{BILLING}/topup", {"userId": user.id, "amount": 4, "unit": "credits"})
    assert reply.json == {"success": True, "currentBalance": 4}
    assert user.get(BILLING).json["credits"]["remaining"] == 9
    assert admin.post(f"{BILLING}/topup", {"userId": user.id, "amount": 4, "unit": "gold"}).status_code == 400


def test_an_operator_sees_who_moved_the_money(user: Caller, admin: Caller, support: Caller) -> None:
    admin.post(f"/api/admin/user/{user.id}/adjust", {"delta": 5, "reason": "gift"})
    entry = support.get(f"/api/admin/user/{user.id}/ledger").json["entries"][0]
    assert (entry["actorId"], entry["reason"], entry["amount"]) == (admin.id, "gift", 5)
    assert rows(support.get(f"/api/admin/user/{user.id}/ledger", headers=CSV).text)[0]["reason"] == "gift"
    assert support.get("/api/admin/user/nobody/ledger").status_code == 404
