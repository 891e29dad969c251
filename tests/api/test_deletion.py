"""Deleting a dialog over HTTP."""

from collections.abc import Callable

from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import PASSWORD, Caller, NewCaller, Program


def asked(container: Container, caller: Caller | Program, **body: object) -> str:
    """The id of an answered question."""
    reply = caller.post("/api/chat", {"message": "ping", **body})
    assert reply.status_code == 202, reply.text
    job_id = str(reply.json["jobId"])
    container.run(job_id)
    return job_id


def session_of(container: Container, job_id: str) -> str:
    job = container.run._jobs.get(job_id)
    assert job is not None
    return job.session_id or ""


def test_a_deleted_session_is_gone_and_its_job_is_readable(container: Container, user: Caller) -> None:
    job_id = asked(container, user)
    session_id = session_of(container, job_id)

    reply = user.call("DELETE", f"/api/chat/sessions/{session_id}")

    assert (reply.status_code, reply.json) == (200, {"success": True})
    job = user.get(f"/api/chat/jobs/{job_id}").json
    assert (job["status"], "message" in job, "context" in job, "metadata" in job) == ("succeeded", False, False, False)
    assert job["erasedAt"] >= job["finishedAt"]
    assert job["charged"] > 0
    again = user.call("DELETE", f"/api/chat/sessions/{session_id}")
    assert (again.status_code, again.json["code"]) == (404, "NOT_FOUND")
    assert user.get("/api/context").status_code == 404
    events = user.get(f"/api/chat/jobs/{job_id}/events")
    assert events.status_code == 200
    assert "event: done" in events.text
    listed = user.get("/api/chat/jobs").json["jobs"]
    assert [each["jobId"] for each in listed] == [job_id]


def test_a_program_deletes_what_it_said_for_its_end_user(
    container: Container, program: Program, program_for: Callable[..., Program], register: NewCaller
) -> None:
    program.post("/api/billing/topup", {"userId": "4242", "amount": 100_000})
    session_id = session_of(container, asked(container, program, userId="4242"))
    assert register().call("DELETE", f"/api/chat/sessions/{session_id}").status_code == 403
    assert program_for(register()).call("DELETE", f"/api/chat/sessions/{session_id}").status_code == 403
    assert program.call("DELETE", f"/api/chat/sessions/{session_id}").status_code == 200


def test_bad_ids(user: Caller) -> None:
    for bad in ("x", "%00", "%ff", "$where", "a" * 5_000, "..%2f", "🙂"):
        reply = user.call("DELETE", f"/api/chat/sessions/{bad}")
        assert (reply.status_code, reply.json["code"]) == (404, "NOT_FOUND"), bad
    assert user.call("DELETE", "/api/chat/sessions/x", headers={"Authorization": ""}).status_code == 401


def test_an_account_is_deleted_with_its_password_and_its_name_is_free(
    client: FlaskClient, user: Caller, program_for: Callable[..., Program]
) -> None:
    program = program_for(user)
    missing = user.call("DELETE", "/api/auth/me")
    assert (missing.status_code, missing.json["code"]) == (400, "VALIDATION_ERROR")
    assert list(missing.json["details"]) == ["password"]
    wrong = user.call("DELETE", "/api/auth/me", json={"password": "not mine"})
    assert (wrong.status_code, wrong.json["code"]) == (401, "BAD_CREDENTIALS")
    assert program.call("DELETE", "/api/auth/me", json={"password": PASSWORD}).status_code == 403
    for bad in ({"password": 5}, {"password": None}, {"password": "x" * 1025}):
        assert user.call("DELETE", "/api/auth/me", json=bad).status_code == 400

    reply = user.call("DELETE", "/api/auth/me", json={"password": PASSWORD})

    assert (reply.status_code, reply.json) == (200, {"success": True})
    for who in (user, program):
        refused = who.get("/api/billing")
        assert (refused.status_code, refused.json["code"]) == (401, "UNAUTHORIZED")
    refreshed = client.post("/api/auth/refresh", json={"refreshToken": user.refresh_token})
    assert refreshed.status_code == 401
    again = client.post("/api/auth/register", json={"username": user.name, "password": PASSWORD})
    assert again.status_code == 201
    assert again.json["userId"] != user.id


def test_a_guest_deletes_itself_without_a_password(client: FlaskClient) -> None:
    guest = client.post("/api/auth/guest-login").json
    bearer = {"Authorization": f"Bearer {guest['token']}"}
    assert client.delete("/api/auth/me", headers=bearer).status_code == 200
    assert client.get("/api/auth/me", headers=bearer).status_code == 401


def test_admins_delete_accounts(user: Caller, admin: Caller, support: Caller) -> None:
    path = f"/api/admin/user/{user.id}"
    assert support.call("DELETE", path).status_code == 403
    assert user.call("DELETE", path).status_code == 403
    own = admin.call("DELETE", f"/api/admin/user/{admin.id}")
    assert (own.status_code, list(own.json["details"])) == (400, ["userId"])
    reply = admin.call("DELETE", path)
    assert (reply.status_code, reply.json) == (200, {"success": True})
    assert user.get("/api/billing").status_code == 401
    assert admin.call("DELETE", path).status_code == 404
    assert admin.get(path).status_code == 404
    trail = admin.get(f"/api/admin/audit?userId={user.id}").json
    assert "account.delete" in str(trail)


def test_a_repeated_message_to_the_coach_that_was_erased_meanwhile(
    container: Container, user: Caller, upstream: UpstreamControl
) -> None:
    headers = {"Idempotency-Key": "once", "Prefer": "respond-async"}
    job_id = user.post("/api/chat/send", {"message": "Bonjour"}, headers=headers).json["jobId"]
    container.run(job_id)
    assert user.call("DELETE", f"/api/chat/sessions/{session_of(container, job_id)}").status_code == 200
    reply = user.post("/api/chat/send", {"message": "Bonjour"}, headers={"Idempotency-Key": "once"})
    assert (reply.status_code, reply.json["code"]) == (409, "JOB_CANCELLED")
