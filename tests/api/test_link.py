"""`/api/link` over HTTP: the person gets a code, the bot confirms it, the person removes the link."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.api.conftest import Caller, Program

LINK = "/api/link"


@pytest.fixture
def vera(register: Callable[..., Caller]) -> Caller:
    return register(tokens=20_000)


@pytest.fixture
def bot(program: Program) -> Program:
    program.post("/api/billing/topup", {"userId": "4242", "amount": 1_500})
    return program


def code_of(person: Caller) -> str:
    issued = person.post(f"{LINK}/code")
    assert issued.status_code == 201, issued.text
    assert issued.json["expiresAt"].endswith("Z")
    return str(issued.json["code"])


def test_a_bot_is_linked_listed_and_removed(vera: Caller, bot: Program, admin: Caller) -> None:
    linked = bot.post(f"{LINK}/confirm", {"userId": "4242", "code": code_of(vera)})
    assert linked.json == {"success": True, "movedTokens": 1_500, "currentBalance": 21_500}
    listed = vera.get(LINK).json
    (link,) = listed["links"]
    assert (listed["total"], link["externalId"], link["name"], link["keyId"]) == (
        1,
        "4242",
        "program",
        bot.key["keyId"],
    )
    rows = admin.get("/api/admin/users?role=end_user&limit=100").json["users"]
    assert [row["linkedUserId"] for row in rows if row["keyId"] == bot.key["keyId"]] == [vera.id]
    job_id = bot.post("/api/bot/ask", {"userId": "4242", "message": "ping", "wait": 0}).json["jobId"]
    assert vera.get(f"/api/chat/jobs/{job_id}").json["userId"] == vera.id
    assert bot.get(f"/api/chat/jobs/{job_id}").json["userId"] == "4242"
    assert bot.get("/api/billing?userId=4242").json["userId"] == "4242"
    assert vera.id not in bot.get("/api/billing?userId=4242").text + bot.get(f"/api/chat/jobs/{job_id}").text
    assert vera.call("DELETE", f"{LINK}/{link['linkId']}").json == {"success": True}
    assert vera.call("DELETE", f"{LINK}/{link['linkId']}").status_code == 404
    assert vera.get(LINK).json == {"links": [], "total": 0}


def test_the_flat_form_for_builders(vera: Caller, bot: Program) -> None:
    wrong = bot.post("/api/bot/link", {"userId": 4242, "code": "AAAA-AAAA"}).json
    assert (wrong["ok"], wrong["errorCode"], wrong["balance"]) == (False, "LINK_CODE_INVALID", 1_500)
    done = bot.call("POST", "/api/bot/link", data={"userId": "4242", "code": code_of(vera).lower()}).json
    assert (done["ok"], done["balance"]) == (True, 21_500)
    assert done["text"] == "Готово: чат связан с вашей учётной записью. На балансе 21\u00a0500 токенов."


def test_conflicts_have_codes_of_their_own(vera: Caller, bot: Program, register: Callable[..., Caller]) -> None:
    job_id = bot.post("/api/bot/ask", {"userId": "4242", "message": "ping", "wait": 0}).json["jobId"]
    body = {"userId": "4242", "code": code_of(vera)}
    running = bot.post(f"{LINK}/confirm", body)
    assert (running.status_code, running.json["code"]) == (409, "JOB_RUNNING")
    bot.post(f"/api/chat/jobs/{job_id}/cancel")
    assert bot.post(f"{LINK}/confirm", body).status_code == 200
    assert bot.post(f"{LINK}/confirm", body).json["movedTokens"] == 0
    elsewhere = bot.post(f"{LINK}/confirm", {"userId": "4242", "code": code_of(register())})
    assert (elsewhere.status_code, elsewhere.json["code"]) == (409, "ACCOUNT_LINKED")
    assert (
        bot.post("/api/bot/link", {"userId": "4242", "code": code_of(register())})
        .json["errorText"]
        .startswith("Этот чат уже связан")
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"code": "AAAA-AAAA"}, "userId"),
        ({"userId": "4242"}, "code"),
        ({"userId": "", "code": "AAAA-AAAA"}, "userId"),
        ({"userId": "4242", "code": ""}, "code"),
        ({"userId": "4242", "code": "x" * 33}, "code"),
        ({"userId": "4242", "code": {"$ne": ""}}, "code"),
        ({"userId": ["4242"], "code": "AAAA-AAAA"}, "userId"),
    ],
)
def test_bad_input_names_the_field(bot: Program, body: dict[str, Any], field: str) -> None:
    reply = bot.post(f"{LINK}/confirm", body)
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


def test_who_may_not(vera: Caller, bot: Program, client: FlaskClient, program_for: Callable[..., Program]) -> None:
    assert bot.post(f"{LINK}/code").status_code == bot.get(LINK).status_code == 403
    assert vera.post(f"{LINK}/confirm", {"userId": "4242", "code": "AAAA-AAAA"}).status_code == 403
    assert vera.post(f"{LINK}/confirm", {"userId": vera.id, "code": "AAAA-AAAA"}).status_code == 400
    guest = client.post("/api/auth/guest-login").json["token"]
    assert client.post(f"{LINK}/code", headers={"Authorization": f"Bearer {guest}"}).status_code == 403
    powerless = program_for(vera, ["chat"])
    refused = powerless.post(f"{LINK}/confirm", {"userId": "4242", "code": "AAAA-AAAA"})
    assert (refused.status_code, refused.json["requiredScope"]) == (403, "bot")


def test_guessing_is_throttled(vera: Caller, bot: Program) -> None:
    replies = [bot.post(f"{LINK}/confirm", {"userId": "9", "code": f"AAAA-{n:04}"}) for n in range(7)]
    assert [reply.status_code for reply in replies] == [400] * 5 + [429] * 2
    assert int(replies[-1].headers["Retry-After"]) > 1
