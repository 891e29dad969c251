"""`/api/admin` over HTTP, without the money (see `test_money.py`)."""

from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Role
from tests.api.conftest import PASSWORD, Caller, NewCaller

ADMIN = "/api/admin"


@pytest.fixture
def failed_job(user: Caller, container: Container, upstream: UpstreamControl) -> str:
    upstream.rule(times=1, status=400, error={"type": "invalid_request_error", "code": "bad", "message": "no"})
    job_id = str(user.post("/api/chat", {"message": "private question"}).json["jobId"])
    container.run(job_id)
    return job_id


def test_a_list_of_users_has_what_an_operator_looks_for(user: Caller, support: Caller) -> None:
    listed = support.get(f"{ADMIN}/users?q={user.name}").json
    assert (listed["total"], listed["page"], listed["limit"]) == (1, 1, 20)
    row = listed["users"][0]
    assert row["userId"] == user.id
    assert (row["username"], row["role"], row["plan"], row["blocked"]) == (user.name, "user", "FREE", False)
    assert (row["currentBalance"], row["held"], row["totalTokens"]) == (100_000, 0, 0)
    assert "password" not in str(row).lower()
    card = support.get(f"{ADMIN}/user/{user.id}").json
    left = card.pop("credits")
    assert card == row
    assert left.pop("periodEndsAt") > user.get("/api/auth/me").json["createdAt"]
    assert left == {"remaining": 5, "extra": 0, "held": 0, "unlimited": False}


def test_users_are_sorted_and_come_in_pages(client: FlaskClient, support: Caller) -> None:
    prefix = f"page-{uuid4().hex[:8]}"
    for letter in "cab":
        client.post("/api/auth/register", json={"username": f"{prefix}-{letter}", "password": PASSWORD})

    def names(query: str) -> list[str]:
        return [row["username"][-1] for row in support.get(f"{ADMIN}/users?q={prefix}&{query}").json["users"]]

    assert names("sort=username") == ["a", "b", "c"]
    assert names("sort=-username") == ["c", "b", "a"]
    assert names("sort=createdAt") == ["c", "a", "b"]
    assert names("") == ["b", "a", "c"]
    assert names("sort=username&limit=2&page=2") == ["c"]
    assert names("sort=username&limit=2&page=3") == []
    assert len(names("sort=-balance")) == len(names("sort=lastSeenAt")) == 3


def test_users_are_filtered_by_plan_and_by_being_blocked(admin: Caller, register: NewCaller) -> None:
    blocked, paying = register(), register()
    admin.post(f"{ADMIN}/user/{blocked.id}/block")
    admin.post(f"{ADMIN}/user/{paying.id}/plan", {"plan": "PREMIUM"})

    def found(query: str) -> dict[str, dict[str, object]]:
        body = admin.get(f"{ADMIN}/users?limit=100&{query}").json
        assert body["total"] >= len(body["users"])
        return {row["userId"]: row for row in body["users"]}

    assert {row["blocked"] for row in found("blocked=true").values()} == {True}
    assert blocked.id in found("blocked=true")
    assert paying.id in found("blocked=false")
    assert blocked.id not in found("blocked=false&sort=balance")
    assert {row["plan"] for row in found("plan=PREMIUM&sort=-balance").values()} == {"PREMIUM"}
    assert paying.id in found("plan=PREMIUM&blocked=false&role=user")
    assert not found("plan=PREMIUM&blocked=true")
    assert admin.get(f"{ADMIN}/user/{paying.id}").json["credits"]["unlimited"] is True
    for nonsense in ("blocked=1", "blocked=", "plan=GOLD"):
        assert admin.get(f"{ADMIN}/users?{nonsense}").status_code == 400


def test_a_failed_job_says_why(failed_job: str, support: Caller) -> None:
    (row,) = [row for row in support.get(f"{ADMIN}/jobs?status=failed").json["jobs"] if row["jobId"] == failed_job]
    assert row["error"]["code"] == "UPSTREAM_ERROR"
    assert row["error"]["message"]
    assert "private question" not in str(row)


def test_users_are_filtered_by_role(support: Caller, admin: Caller) -> None:
    rows = support.get(f"{ADMIN}/users?role=admin&limit=100").json["users"]
    assert {row["role"] for row in rows} == {"admin"}
    assert admin.id in {row["userId"] for row in rows}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sort=password", "sort"),
        ("sort=$where", "sort"),
        ("page=0", "page"),
        ("page=1000000", "page"),
        ("limit=101", "limit"),
        ("role=root", "role"),
        ("q=" + "x" * 255, "q"),
    ],
)
def test_a_bad_search_names_the_field(support: Caller, query: str, field: str) -> None:
    reply = support.get(f"{ADMIN}/users?{query}")
    assert (reply.status_code, list(reply.json["details"])) == (400, [field])


@pytest.mark.parametrize("text", [".*", "^a", "(", "[", "$ne", "\\", "%25", "(a+)+$"])
def test_a_search_text_is_no_pattern(support: Caller, text: str) -> None:
    assert support.get(f"{ADMIN}/users", query_string={"q": text}).json["users"] == []


def test_plans_and_roles_are_given(admin: Caller, user: Caller) -> None:
    assert admin.post(f"{ADMIN}/user/{user.id}/plan", {"plan": "BASIC"}).json["plan"] == "BASIC"
    assert user.get("/api/billing").json["plan"] == "BASIC"
    assert admin.post(f"{ADMIN}/user/{user.id}/role", {"role": "admin"}).json["role"] == "admin"
    assert user.get(f"{ADMIN}/users").status_code == 200
    for path, body in (("plan", {"plan": "GOLD"}), ("role", {"role": "guest"}), ("role", {"role": "root"})):
        assert admin.post(f"{ADMIN}/user/{user.id}/{path}", body).status_code == 400


def test_an_admin_cant_lock_themselves_out(admin: Caller) -> None:
    for path, body in (("block", None), ("role", {"role": "user"})):
        reply = admin.post(f"{ADMIN}/user/{admin.id}/{path}", body)
        assert (reply.status_code, list(reply.json["details"])) == (400, ["userId"])


@pytest.mark.parametrize("user_id", ["nobody", "%24ne", "%00", "x" * 2000])
def test_nobody_is_404(admin: Caller, user_id: str) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "/dialogs"),
        ("GET", "/ledger"),
        ("POST", "/block"),
        ("POST", "/unblock"),
    ):
        assert admin.call(method, f"{ADMIN}/user/{user_id}{path}").status_code == 404
    assert admin.post(f"{ADMIN}/user/{user_id}/plan", {"plan": "BASIC"}).status_code == 404
    assert admin.post(f"{ADMIN}/user/{user_id}/role", {"role": "user"}).status_code == 404


def test_a_guest_gets_no_role(client: FlaskClient, admin: Caller) -> None:
    guest = client.post("/api/auth/guest-login").json
    assert admin.post(f"{ADMIN}/user/{guest['userId']}/role", {"role": "admin"}).status_code == 404


def test_dialogs_show_messages_and_each_look_is_audited(
    user: Caller, support: Caller, container: Container, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    container.run(user.post("/api/chat", {"message": "ping"}).json["jobId"])
    (dialog,) = support.get(f"{ADMIN}/user/{user.id}/dialogs").json["dialogs"]
    assert {"id", "title", "channel", "createdAt", "updatedAt", "messages"} <= dialog.keys()
    assert [(message["role"], message["content"]) for message in dialog["messages"]] == [
        ("user", "ping"),
        ("assistant", "pong"),
    ]
    trail = support.get(f"{ADMIN}/audit?subjectId={user.id}").json["audit"]
    assert (trail[0]["action"], trail[0]["actorId"]) == ("dialogs.read", support.id)
    assert trail[0]["requestId"]


def test_changes_are_audited_with_what_was_changed(user: Caller, admin: Caller) -> None:
    headers = {"X-Request-Id": "audit-me-please"}
    admin.post(f"{ADMIN}/user/{user.id}/balance", {"amount": 7, "reason": "Договор"}, headers=headers)
    line = admin.get(f"{ADMIN}/audit?subjectId={user.id}").json["audit"][0]
    assert (line["action"], line["details"]["amount"], line["details"]["reason"]) == ("balance.set", 7, "Договор")
    assert line["requestId"] == "audit-me-please"


def test_an_audit_trail_comes_in_pages(user: Caller, admin: Caller) -> None:
    for _ in range(5):
        admin.post(f"{ADMIN}/user/{user.id}/unblock")
    first = admin.get(f"{ADMIN}/audit?subjectId={user.id}&limit=3").json
    second = admin.get(f"{ADMIN}/audit?subjectId={user.id}&limit=10&cursor={first['nextCursor']}").json
    ids = [line["id"] for line in first["audit"] + second["audit"]]
    assert len(ids) == len(set(ids)) >= 5
    assert second["nextCursor"] is None


def test_jobs_are_listed_without_their_texts(support: Caller, user: Caller, failed_job: str) -> None:
    listed = support.get(f"{ADMIN}/jobs?userId={user.id}&status=failed")
    (job,) = listed.json["jobs"]
    assert (job["jobId"], job["userId"], job["error"]["code"]) == (failed_job, user.id, "UPSTREAM_ERROR")
    assert "private question" not in listed.text
    assert support.get(f"{ADMIN}/jobs?status=succeeded&userId={user.id}").json["jobs"] == []


def test_a_failed_job_is_asked_again(admin: Caller, user: Caller, container: Container, failed_job: str) -> None:
    reply = admin.post(f"{ADMIN}/jobs/{failed_job}/retry")
    assert reply.status_code == 202
    container.run(reply.json["jobId"])
    job = user.get(reply.json["pollUrl"]).json
    assert (job["status"], job["userId"]) == ("succeeded", user.id)
    assert user.get(f"/api/chat/jobs/{failed_job}").json["status"] == "failed"
    again = admin.post(f"{ADMIN}/jobs/{reply.json['jobId']}/retry")
    assert (again.status_code, list(again.json["details"])) == (400, ["jobId"])


def test_an_admin_cancels_somebodys_job(admin: Caller, user: Caller) -> None:
    job_id = user.post("/api/chat", {"message": "private question"}).json["jobId"]
    reply = admin.post(f"{ADMIN}/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json["status"]) == (200, "cancelled")
    assert "private question" not in reply.text
    assert admin.post(f"{ADMIN}/jobs/unknown/cancel").status_code == 404
    assert admin.post(f"{ADMIN}/jobs/unknown/retry").status_code == 404


def test_the_overview_tells_of_now_and_the_last_week(
    support: Caller, user: Caller, container: Container, upstream: UpstreamControl
) -> None:
    user.post("/api/chat", {"message": "left open"})
    container.run(user.post("/api/chat", {"message": "ping"}).json["jobId"])
    overview = support.get(f"{ADMIN}/overview").json
    assert overview["jobs"].keys() == {"queued", "running"}
    assert overview["jobs"]["queued"] >= 1
    assert overview["activeUsers"] >= 2
    assert overview["balance"].keys() == {"mean", "median"}
    assert overview["days"][-1]["jobs"] >= 1
    assert overview["models"][0]["totalTokens"] > 0


@pytest.mark.parametrize("role", [Role.USER, Role.GUEST])
def test_nobody_else_sees_any_of_it(register: NewCaller, client: FlaskClient, role: Role) -> None:
    token = client.post("/api/auth/guest-login").json["token"] if role is Role.GUEST else register().token
    for path in ("users", "user/x", "user/x/dialogs", "user/x/ledger", "jobs", "overview", "audit"):
        reply = client.get(f"{ADMIN}/{path}", headers={"Authorization": f"Bearer {token}"})
        assert (reply.status_code, reply.json["code"]) == (403, "FORBIDDEN")
