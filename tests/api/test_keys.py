"""`/api/keys` and `/api/admin/keys` over HTTP, and what a program may do with a key."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import Caller, Program

KEYS = "/api/keys"
NewProgram = Callable[..., Program]
TURN = [{"role": "user", "content": "привет"}]


@pytest.fixture
def pong(upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})


def top_up(program: Program, user_id: str, amount: int = 10_000) -> None:
    assert program.post("/api/billing/topup", {"userId": user_id, "amount": amount}).status_code == 200


def test_a_new_key_shows_its_secret_once(user: Caller) -> None:
    created = user.post(KEYS, {"name": "Бот"})
    assert created.status_code == 201
    key = created.json
    assert key["key"].startswith(key["prefix"])
    assert (key["name"], key["userId"], key["scopes"]) == ("Бот", user.id, ["chat", "context", "billing:read", "bot"])
    listed = user.get(KEYS)
    assert listed.json["total"] == 1
    assert listed.json["keys"][0]["keyId"] == key["keyId"]
    assert key["key"] not in listed.text
    assert "namespace" not in created.text
    assert "hash" not in created.text


def test_a_key_has_what_was_asked_for(user: Caller) -> None:
    asked = {
        "name": "1C",
        "scopes": ["bot", "chat"],
        "waitSeconds": 25,
        "requestsPerMinute": 7,
        "assistant": "tutor",
        "callbackHosts": ["Bot.Example.com"],
        "expiresInDays": 30,
    }
    key = user.post(KEYS, {**asked, "userId": "somebody", "namespace": "x", "id": "y", "key": "tm_z"}).json
    assert key == {**key, "name": "1C", "scopes": ["chat", "bot"], "waitSeconds": 25, "requestsPerMinute": 7}
    assert (key["assistant"], key["callbackHosts"], key["userId"]) == ("tutor", ["bot.example.com"], user.id)
    assert key["expiresAt"] > key["createdAt"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", None),
        ("name", "x" * 101),
        ("name", ["x"]),
        ("scopes", "chat"),
        ("scopes", ["root"]),
        ("scopes", [None]),
        ("scopes", {"chat": True}),
        ("waitSeconds", 56),
        ("waitSeconds", -1),
        ("waitSeconds", "25"),
        ("requestsPerMinute", 0),
        ("tokensPerMinute", 0),
        ("tokensPerMinute", "1000"),
        ("maxOpenJobs", 0),
        ("requestsPerMinute", 2**40),
        ("assistant", "nobody"),
        ("assistant", {"$ne": ""}),
        ("callbackHosts", ["http://example.com"]),
        ("callbackHosts", ["127.0.0.1"]),
        ("callbackHosts", ["example.com"] * 21),
        ("partCharacters", 10),
        ("textFormat", "markdown"),
        ("locale", "de"),
        ("expiresInDays", 0),
        ("expiresInDays", 4000),
    ],
)
def test_bad_input_names_the_field(user: Caller, field: str, value: Any) -> None:
    reply = user.post(KEYS, {"name": "program", field: value})
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])
    assert user.get(KEYS).json["total"] == 0


def test_a_key_is_changed_in_place(program: Program, user: Caller) -> None:
    path = f"{KEYS}/{program.key['keyId']}"
    changes = {"name": "Другой", "waitSeconds": 3, "callbackHosts": ["bot.example.com"], "expiresInDays": 5}
    changed = user.call("PATCH", path, json={**changes, "userId": "somebody", "key": "tm_x"}).json
    assert {name: changed[name] for name in ("name", "waitSeconds", "callbackHosts")} == {
        name: changes[name] for name in ("name", "waitSeconds", "callbackHosts")
    }
    assert changed["expiresAt"] is not None
    assert "key" not in changed
    cleared = user.call("PATCH", path, json={"waitSeconds": None, "expiresInDays": None, "callbackHosts": []}).json
    assert (cleared["waitSeconds"], cleared["expiresAt"], cleared["callbackHosts"], cleared["name"]) == (
        None,
        None,
        [],
        "Другой",
    )
    assert user.call("PATCH", path, json={}).json == cleared
    assert program.get("/api/billing").status_code == 200


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", None),
        ("waitSeconds", 56),
        ("requestsPerMinute", 0),
        ("assistant", "nobody"),
        ("callbackHosts", None),
        ("callbackHosts", ["https://example.com"]),
        ("partCharacters", 99),
        ("partCharacters", 4097),
        ("textFormat", "markdown"),
        ("locale", "de"),
        ("expiresInDays", 0),
        ("scopes", ["root"]),
    ],
)
def test_a_bad_change_names_the_field(program: Program, user: Caller, field: str, value: Any) -> None:
    before = user.get(KEYS).json
    reply = user.call("PATCH", f"{KEYS}/{program.key['keyId']}", json={field: value})
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])
    assert user.get(KEYS).json["keys"][0] | {"lastUsedAt": None} == before["keys"][0] | {"lastUsedAt": None}


def test_only_an_admin_grants_topping_up(user: Caller, admin: Caller) -> None:
    assert user.post(KEYS, {"name": "x", "scopes": ["billing:topup"]}).status_code == 403
    assert admin.post(KEYS, {"name": "x", "scopes": ["billing:topup"]}).status_code == 201


def test_a_rotated_key_works_on_for_a_while(program: Program, user: Caller) -> None:
    path = f"{KEYS}/{program.key['keyId']}/rotate"
    renewed = user.post(path)
    assert renewed.status_code == 200
    second = Program(program.client, renewed.json)
    assert [each.get("/api/billing").status_code for each in (program, second)] == [200, 200]
    third = Program(program.client, user.post(path, {"overlapSeconds": 0}).json)
    assert [each.get("/api/billing").status_code for each in (program, second, third)] == [401, 401, 200]
    assert third.key["keyId"] == program.key["keyId"]
    for bad in ({"overlapSeconds": -1}, {"overlapSeconds": 10**9}, {"expiresInDays": "1"}):
        assert user.post(path, bad).status_code == 400


def test_a_revoked_key_is_401(program: Program, user: Caller) -> None:
    assert user.call("DELETE", f"{KEYS}/{program.key['keyId']}").json["revokedAt"] is not None
    reply = program.get("/api/billing")
    assert (reply.status_code, reply.json["code"]) == (401, "UNAUTHORIZED")
    assert user.call("DELETE", f"{KEYS}/{program.key['keyId']}").status_code == 404


def test_somebody_elses_key_is_403_also_to_an_admin(program: Program, admin: Caller, support: Caller) -> None:
    for caller in (admin, support):
        assert caller.call("DELETE", f"{KEYS}/{program.key['keyId']}").status_code == 403
        assert caller.post(f"{KEYS}/{program.key['keyId']}/rotate").status_code == 403
    assert program.get("/api/billing").status_code == 200


def test_staff_oversees_keys(program: Program, user: Caller, admin: Caller, support: Caller) -> None:
    listed = support.get(f"/api/admin/keys?userId={user.id}")
    (key,) = listed.json["keys"]
    assert (key["keyId"], key["userId"], listed.json["nextCursor"]) == (program.key["keyId"], user.id, None)
    assert program.key["key"] not in listed.text
    path = f"/api/admin/keys/{key['keyId']}"
    assert user.get("/api/admin/keys").status_code == 403
    assert support.call("DELETE", path).status_code == support.post(f"{path}/scopes", {"scopes": []}).status_code == 403
    assert admin.post(f"{path}/scopes", {"scopes": ["chat"]}).json["scopes"] == ["chat"]
    assert program.get("/api/billing").status_code == 403
    assert admin.call("DELETE", path).status_code == 200
    assert program.get("/api/chat/jobs").status_code == 401
    assert admin.call("DELETE", path).status_code == 404
    actions = [line["action"] for line in admin.get(f"/api/admin/audit?subjectId={user.id}").json["audit"]]
    assert actions[:2] == ["key.revoke", "key.scopes"]


@pytest.mark.parametrize(
    ("scope", "method", "path", "body"),
    [
        ("chat", "POST", "/api/chat", {"message": "ping"}),
        ("chat", "GET", "/api/chat/jobs", None),
        ("chat", "GET", "/api/chat/jobs/unknown", None),
        ("chat", "POST", "/api/chat/jobs/unknown/cancel", None),
        ("chat", "GET", "/api/chat/jobs/unknown/events", None),
        ("context", "POST", "/api/context", {"context": []}),
        ("context", "GET", "/api/context", None),
        ("context", "POST", "/api/context/reset", {}),
        ("billing:read", "GET", "/api/billing", None),
        ("billing:read", "GET", "/api/billing/ledger", None),
        ("billing:read", "GET", "/api/billing/usage", None),
        ("billing:topup", "POST", "/api/billing/topup", {"userId": "4242", "amount": 5}),
    ],
)
def test_a_key_needs_the_scope_of_the_route(
    program_for: NewProgram, user: Caller, scope: str, method: str, path: str, body: Any
) -> None:
    every = ["chat", "context", "billing:read", "billing:topup", "bot"]
    without = program_for(user, [each for each in every if each != scope])
    refused = without.call(method, path, json=body)
    assert (refused.status_code, refused.json["code"], refused.json["requiredScope"]) == (403, "FORBIDDEN", scope)
    allowed = program_for(user, [scope]).call(method, path, json=body)
    assert allowed.status_code in (200, 202) or allowed.json["code"] in ("NOT_FOUND", "CONTEXT_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", KEYS),
        ("POST", KEYS),
        ("GET", "/api/auth/me"),
        ("PATCH", "/api/auth/me"),
        ("POST", "/api/auth/password"),
        ("GET", "/api/admin/users"),
        ("GET", "/api/admin/keys"),
    ],
)
def test_a_key_is_not_for_people_s_routes(program_for: NewProgram, admin: Caller, method: str, path: str) -> None:
    """Not even an admin's key."""
    reply = program_for(admin).call(method, path, json={"name": "x"} if method == "POST" else None)
    assert (reply.status_code, reply.json["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("secret", ["", " ", "x", "tm_", "tm_" + "x" * 43, "tm_" + "x" * 5000, "é" * 46, "Bearer x"])
def test_a_bad_key_is_401(client: FlaskClient, secret: str) -> None:
    for headers in ({"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}):
        reply = client.get("/api/billing", headers=headers)
        assert (reply.status_code, reply.json["code"]) == (401, "UNAUTHORIZED")
        assert reply.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_may_come_as_a_bearer_token(program: Program, user: Caller, client: FlaskClient) -> None:
    reply = client.get("/api/billing", headers={"Authorization": f"Bearer {program.key['key']}"})
    assert reply.json["userId"] == user.id


def test_of_two_credentials_the_token_counts(program: Program, admin: Caller) -> None:
    assert admin.get("/api/billing", headers={"X-API-Key": program.key["key"]}).json["userId"] == admin.id
    assert admin.get("/api/billing", headers={"X-API-Key": "nonsense"}).status_code == 200
    assert program.get("/api/billing", headers={"Authorization": "Bearer x"}).status_code == 401


def test_an_end_user_is_known_by_the_programs_name(
    program: Program, user: Caller, container: Container, pong: None
) -> None:
    top_up(program, "4242")
    accepted = program.post("/api/chat", {"userId": "4242", "message": "ping"})
    assert accepted.status_code == 202
    container.run(accepted.json["jobId"])
    job = program.get(accepted.json["pollUrl"]).json
    assert (job["userId"], job["message"], job["currentBalance"]) == ("4242", "pong", 10_000 - 38)
    assert program.get("/api/billing?userId=4242").json["userId"] == "4242"
    assert [each["userId"] for each in program.get("/api/chat/jobs?userId=4242").json["jobs"]] == ["4242"]
    assert program.get("/api/context?userId=4242").json["context"][0]["content"] == "ping"
    assert program.get(accepted.json["eventsUrl"]).text.count("event: done") == 1
    assert user.get("/api/billing").json["currentBalance"] == 100_000
    assert user.get(accepted.json["pollUrl"]).status_code == 403


def test_another_key_reaches_nothing(program: Program, program_for: NewProgram, user: Caller) -> None:
    other = program_for(user)
    top_up(program, "4242")
    program.post("/api/context", {"userId": "4242", "context": TURN})
    job_id = program.post("/api/chat", {"userId": "4242", "message": "ping"}).json["jobId"]
    for path in ("", "/events"):
        assert other.get(f"/api/chat/jobs/{job_id}{path}").status_code == 403
    assert other.post(f"/api/chat/jobs/{job_id}/cancel").status_code == 403
    assert other.get("/api/context?userId=4242").status_code == 404
    assert other.get("/api/billing?userId=4242").json["currentBalance"] == 0
    assert other.get("/api/billing/ledger?userId=4242").json["entries"] == []


def test_an_admin_sees_an_end_user_by_both_names(program: Program, admin: Caller) -> None:
    top_up(program, "4242")
    rows = admin.get("/api/admin/users?role=end_user&limit=100").json["users"]
    (row,) = [each for each in rows if each["keyId"] == program.key["keyId"]]
    assert (row["externalId"], row["username"], row["currentBalance"]) == ("4242", None, 10_000)
    assert admin.get(f"/api/billing?userId={row['userId']}").json["currentBalance"] == 10_000


def test_a_top_up_names_an_end_user(program: Program, user: Caller) -> None:
    for body in ({"amount": 5}, {"amount": 5, "userId": user.id}):
        reply = program.post("/api/billing/topup", body)
        assert (reply.status_code, list(reply.json["details"])) == (400, ["userId"])


def test_a_repeated_top_up_with_a_key_adds_once_for_each_end_user(program: Program) -> None:
    headers = {"Idempotency-Key": "order-17"}
    for user_id in ("one", "two", "one"):
        body = {"userId": user_id, "amount": 5}
        assert program.post("/api/billing/topup", body, headers=headers).json["currentBalance"] == 5


def test_an_idempotency_key_is_of_one_program_and_one_end_user(program_for: NewProgram, user: Caller) -> None:
    one, other = program_for(user), program_for(user)
    headers, ids = {"Idempotency-Key": "update-1"}, []
    for program in (one, one, other):
        top_up(program, "4242")
        ids.append(program.post("/api/chat", {"userId": "4242", "message": "ping"}, headers=headers).json["jobId"])
    assert ids[0] == ids[1] != ids[2]


def test_a_key_waits_as_long_as_it_says(
    program_for: NewProgram, user: Caller, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    wait = type(container.jobs).wait

    def record(service: Any, actor: Any, job_id: str, seconds: float) -> Any:
        waited.append(seconds)
        container.run(job_id)
        return wait(service, actor, job_id, 0)

    monkeypatch.setattr(type(container.jobs), "wait", record)
    patient = program_for(user, waitSeconds=7)
    assert "message" in patient.post("/api/chat", {"message": "ping"}).json
    assert patient.post("/api/chat", {"message": "ping"}, headers={"Prefer": "respond-async"}).status_code == 202
    assert program_for(user).post("/api/chat", {"message": "ping"}).status_code == 202
    assert waited == [7]


def test_forms_do_for_programs_without_json(program: Program) -> None:
    top_up(program, "4242")
    assert program.call("POST", "/api/chat", data={"userId": "4242", "message": "ping"}).status_code == 202


@pytest.mark.parametrize("user_id", [4242, ["4242"], {"$ne": "x"}, "", "x" * 129, "a\u0000b"])
def test_a_bad_name_of_an_end_user_is_400(program: Program, user_id: Any) -> None:
    assert program.post("/api/chat", {"userId": user_id, "message": "ping"}).status_code == 400


def test_a_blocked_owner_is_403(program: Program, user: Caller, admin: Caller) -> None:
    admin.post(f"/api/admin/user/{user.id}/block")
    reply = program.get("/api/billing")
    assert (reply.status_code, reply.json["code"]) == (403, "ACCOUNT_BLOCKED")


def test_a_secret_is_in_no_log(
    program: Program, user: Caller, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    program.post("/api/chat", {"message": "ping"})
    program.get("/api/auth/me")
    renewed = user.post(f"{KEYS}/{program.key['keyId']}/rotate").json["key"]
    logged = caplog.text + "".join(capsys.readouterr())
    assert program.key["keyId"] in logged
    for secret in (program.key["key"], renewed):
        assert secret not in logged


def test_answers_say_what_is_left_of_the_limit(program_for: NewProgram, user: Caller) -> None:
    bot = program_for(user, requestsPerMinute=2)
    for left in ("1", "0"):
        headers = bot.post("/api/chat", {"message": "ping"}).headers
        assert (headers["RateLimit-Limit"], headers["RateLimit-Remaining"]) == ("2", left)
        assert 1 <= int(headers["RateLimit-Reset"]) <= 60
    refused = bot.post("/api/chat", {"message": "ping"})
    assert (refused.status_code, refused.json["code"]) == (429, "RATE_LIMITED")
    assert (refused.headers["RateLimit-Limit"], refused.headers["RateLimit-Remaining"]) == ("2", "0")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    bad = user.post("/api/chat", {"message": ""})
    assert (bad.status_code, bad.headers["RateLimit-Limit"]) == (400, "100000")


def test_somebody_elses_limit_is_not_told(user: Caller, admin: Caller) -> None:
    reply = user.post("/api/chat", {"message": "ping", "userId": admin.id})
    assert reply.status_code == 403
    assert "RateLimit-Limit" not in reply.headers
