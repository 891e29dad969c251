"""Editing a question, asking for another answer and showing another branch over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import Caller, NewCaller, Program


def answered(container: Container, reply: TestResponse) -> str:
    """The id of the job that was accepted, when it is answered."""
    assert reply.status_code == 202, reply.text
    job_id = str(reply.json["jobId"])
    container.run(job_id)
    return job_id


@pytest.fixture
def job_id(container: Container, user: Caller, upstream: UpstreamControl) -> str:
    return answered(container, user.post("/api/chat", {"message": "ping"}))


def shown(user: Caller, session_id: str) -> list[dict[str, Any]]:
    reply = user.get(f"/api/chat/sessions/{session_id}")
    assert reply.status_code == 200, reply.text
    return list(reply.json["session"]["messages"])


def test_a_question_is_edited_answered_again_and_shown_as_it_was(
    container: Container, user: Caller, upstream: UpstreamControl, job_id: str
) -> None:
    session_id = container.run._jobs.get(job_id).session_id or ""  # type: ignore[union-attr]
    upstream.rule(contains="pong?", answer="edited")
    before = shown(user, session_id)
    assert [each["parentId"] for each in before] == [None, f"{job_id}:user"]

    body = {"message": "pong?", "metadata": {"n": 1}}
    edited = answered(container, user.post(f"/api/chat/messages/{job_id}:user/edit", body))
    answered(container, user.post(f"/api/chat/messages/{edited}:assistant/regenerate", {}))

    assert user.get(f"/api/chat/jobs/{edited}").json["metadata"] == {"n": 1}
    now = shown(user, session_id)
    assert [each["content"] for each in now] == ["pong?", "edited"]
    assert now[0]["siblings"] == [f"{job_id}:user", f"{edited}:user"]
    assert len(now[1]["siblings"]) == 2
    reply = user.post(f"/api/chat/messages/{job_id}:assistant/select")
    assert reply.status_code == 200
    assert (reply.json["sessionId"], reply.json["chatId"]) == (session_id, session_id)
    assert [each["content"] for each in reply.json["messages"]] == [each["content"] for each in before]
    platform = user.get(f"/api/chat/chats/{session_id}/messages").json["messages"]
    assert platform[0]["siblings"] == now[0]["siblings"]
    assert platform[1]["parent_id"] == f"{job_id}:user"


def test_a_running_branch_tells_where_it_begins_and_what_is_asked(
    container: Container, user: Caller, job_id: str
) -> None:
    session_id = container.run._jobs.get(job_id).session_id or ""  # type: ignore[union-attr]

    def running(reply: TestResponse) -> tuple[str, Any]:
        found = user.get(f"/api/chat/sessions/{session_id}").json["session"]["runningJob"]
        container.run(reply.json["jobId"])
        return reply.json["jobId"], found

    edited, at_the_beginning = running(user.post(f"/api/chat/messages/{job_id}:user/edit", {"message": "two"}))
    assert at_the_beginning == {"jobId": edited, "question": "two", "parentId": None}
    anew, after_the_question = running(user.post(f"/api/chat/messages/{edited}:assistant/regenerate", {}))
    assert after_the_question == {"jobId": anew, "question": None, "parentId": f"{edited}:user"}


def test_an_edit_is_a_question_like_any_other(
    container: Container, user: Caller, worker: Callable[[], None], job_id: str
) -> None:
    url = f"/api/chat/messages/{job_id}:user/edit"
    headers = {"Idempotency-Key": "once"}
    first = user.post(url, {"message": "two"}, headers=headers)
    assert "RateLimit-Limit" in first.headers
    again = user.post(url, {"message": "two"}, headers=headers)
    assert again.json["jobId"] == first.json["jobId"]
    mismatch = user.post(url, {"message": "three"}, headers=headers)
    assert (mismatch.status_code, mismatch.json["code"]) == (409, "IDEMPOTENCY_MISMATCH")
    running = user.post(url, {"message": "three"})
    assert (running.status_code, running.json["code"]) == (409, "JOB_RUNNING")
    selected = user.post(f"/api/chat/messages/{job_id}:user/select")
    assert (selected.status_code, selected.json["code"]) == (409, "JOB_RUNNING")
    container.run(first.json["jobId"])

    worker()
    reply = user.post(f"/api/chat/messages/{job_id}:assistant/regenerate", headers={"Prefer": "wait=20"})
    assert (reply.status_code, reply.json["status"]) == (200, "succeeded")
    unsafe = user.post(url, {"message": "x", "callbackUrl": "http://127.0.0.1/"})
    assert (unsafe.status_code, unsafe.json["code"]) == (400, "UNSAFE_CALLBACK_URL")


def test_without_money_nothing_is_edited(
    container: Container, register: NewCaller, upstream: UpstreamControl, admin: Caller
) -> None:
    user = register()
    job_id = answered(container, user.post("/api/chat", {"message": "ping"}))
    admin.post(f"/api/admin/user/{user.id}/balance", {"amount": 0})
    reply = user.post(f"/api/chat/messages/{job_id}:user/edit", {"message": "two"})
    assert (reply.status_code, reply.json["code"]) == (402, "INSUFFICIENT_TOKENS")


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("{job}:assistant/edit", {"message": "x"}, "VALIDATION_ERROR"),
        ("{job}:user/regenerate", {}, "VALIDATION_ERROR"),
        ("{job}:user/edit", {}, "VALIDATION_ERROR"),
        ("{job}:user/edit", {"message": ""}, "INVALID_MESSAGE"),
        ("{job}:user/edit", {"message": "x" * 10_001}, "INVALID_MESSAGE"),
        ("{job}:user/edit", {"message": 5}, "VALIDATION_ERROR"),
        ("{job}:user/edit", {"message": "x", "stream": "yes"}, "VALIDATION_ERROR"),
        ("{job}:user/edit", {"message": "x", "metadata": {"$a": 1}}, "VALIDATION_ERROR"),
        ("{job}:assistant/regenerate", {"callbackUrl": 1}, "VALIDATION_ERROR"),
        ("unknown/edit", {"message": "x"}, "NOT_FOUND"),
        ("$where/select", {}, "NOT_FOUND"),
        ("%00/regenerate", {}, "NOT_FOUND"),
        ("{job}:user:x/select", {}, "NOT_FOUND"),
        ("{job}/select", {}, "NOT_FOUND"),
    ],
)
def test_bad_input(user: Caller, job_id: str, path: str, body: dict[str, Any], code: str) -> None:
    reply = user.post(f"/api/chat/messages/{path.format(job=job_id)}", body)
    assert reply.json["code"] == code, reply.text


def test_other_peoples_messages(
    container: Container, user: Caller, register: NewCaller, program_for: Callable[..., Program], job_id: str
) -> None:
    stranger = register()
    for who in (stranger, program_for(stranger)):
        for said, what in (("user", "edit"), ("assistant", "regenerate"), ("user", "select")):
            reply = who.post(f"/api/chat/messages/{job_id}:{said}/{what}", {"message": "mine now"})
            assert (reply.status_code, reply.json["code"]) == (403, "FORBIDDEN")


def test_a_program_numbers_the_edits_of_each_end_user_by_itself(
    container: Container, program: Program, upstream: UpstreamControl
) -> None:
    jobs = set()
    for name in ("1", "2"):
        program.post("/api/billing/topup", {"userId": name, "amount": 100_000})
        job_id = answered(container, program.post("/api/chat", {"message": "ping", "userId": name}))
        url = f"/api/chat/messages/{job_id}:user/edit"
        reply = program.post(url, {"message": "again"}, headers={"Idempotency-Key": "edit-1"})
        jobs.add(answered(container, reply))
        assert "RateLimit-Remaining" in reply.headers
    assert len(jobs) == 2
