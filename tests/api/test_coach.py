"""The coach over HTTP: messages for credits, history and statistics."""

from collections.abc import Callable
from typing import Any

import pytest

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import Caller, NewCaller, Program

SEND = "/api/chat/send"


@pytest.fixture(autouse=True)
def coach(worker: Callable[[], None], upstream: UpstreamControl) -> None:
    """Somebody answers."""
    upstream.rule(contains="break", status=400)
    upstream.rule(answer="Réponse du coach IA...")
    worker()


def send(caller: Caller | Program, message: str = "Mon message au coach", **body: Any) -> Any:
    return caller.post(SEND, {"message": message, **body})


def stats(caller: Caller) -> dict[str, Any]:
    return dict(caller.get("/api/user/stats").json["stats"])


def test_a_message_begins_a_session_and_costs_a_credit(user: Caller) -> None:
    reply = send(user)
    assert reply.status_code == 200, reply.text
    sent = reply.json
    assert sent["remainingCredits"] == 4
    assert (sent["userMessage"]["role"], sent["userMessage"]["content"]) == ("USER", "Mon message au coach")
    assert (sent["assistantMessage"]["role"], sent["assistantMessage"]["content"]) == (
        "ASSISTANT",
        "Réponse du coach IA...",
    )
    again = send(user, "Encore", sessionId=sent["sessionId"]).json
    assert (again["sessionId"], again["remainingCredits"]) == (sent["sessionId"], 3)

    read = user.get(f"/api/chat/sessions/{sent['sessionId']}").json["session"]
    for message, told in zip(read["messages"], (sent["userMessage"], sent["assistantMessage"]), strict=False):
        assert message.items() >= told.items()
    assert [message["content"] for message in read["messages"]][2:] == ["Encore", "Réponse du coach IA..."]
    assert stats(user) == {
        "totalChats": 1,
        "totalMessages": 4,
        "remainingCredits": 3,
        "unlimited": False,
        "plan": "FREE",
        "periodEndsAt": stats(user)["periodEndsAt"],
        "status": "ACTIVE",
    }


def test_without_credits_nothing_is_sent(user: Caller, upstream: UpstreamControl) -> None:
    for _ in range(5):
        assert send(user).status_code == 200
    refused = send(user, "une de trop")
    assert (refused.status_code, refused.json["code"]) == (402, "NO_CREDITS")
    assert upstream.journal(contains="une de trop") == []
    assert stats(user)["totalChats"] == 5
    # Tokens are another thing.
    assert user.post("/api/chat", {"message": "x"}).status_code == 202


def test_a_failure_costs_nothing(user: Caller) -> None:
    reply = send(user, "break")
    assert (reply.status_code, reply.json["code"]) == (500, "UPSTREAM_ERROR")
    assert stats(user)["remainingCredits"] == 5
    assert stats(user)["totalMessages"] == 0


def test_premium_is_unlimited(user: Caller, admin: Caller) -> None:
    assert admin.post(f"/api/admin/user/{user.id}/plan", {"plan": "PREMIUM"}).status_code == 200
    for _ in range(7):
        reply = send(user)
        assert (reply.json["remainingCredits"], reply.json["unlimited"]) == (None, True)
    found = stats(user)
    assert (found["remainingCredits"], found["unlimited"], found["plan"]) == (None, True, "PREMIUM")


def test_a_program_sends_for_its_end_users(user: Caller, program_for: Callable[..., Program]) -> None:
    program = program_for(user)
    first = send(program, userId="user123").json
    assert first["remainingCredits"] == 4
    second = send(program, userId="user123", sessionId=first["sessionId"])
    assert second.json["remainingCredits"] == 3
    assert send(program, userId="user456", sessionId=first["sessionId"]).status_code == 403
    history = program.get("/api/chat/history?userId=user123&limit=10").json
    assert history["stats"] == {"totalSessions": 1, "totalMessages": 4}
    assert program.get("/api/chat/history?userId=user456").json["stats"] == {"totalSessions": 0, "totalMessages": 0}


def test_whoever_would_rather_poll_may(user: Caller) -> None:
    reply = user.post(SEND, {"message": "plus tard"}, headers={"Prefer": "respond-async"})
    assert (reply.status_code, reply.headers["Preference-Applied"]) == (202, "respond-async")
    job = user.get(f"{reply.json['pollUrl']}?wait=20").json
    assert (job["status"], job["meter"], job["charged"], job["currentBalance"]) == ("succeeded", "credits", 1, 4)


def test_a_repeated_message_is_sent_once(user: Caller) -> None:
    first, second = (user.post(SEND, {"message": "une fois"}, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json == second.json
    assert stats(user)["remainingCredits"] == 4


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "VALIDATION_ERROR"),
        ({"message": ""}, 400, "INVALID_MESSAGE"),
        ({"message": "x" * 10_001}, 400, "INVALID_MESSAGE"),
        ({"message": ["x"]}, 400, "VALIDATION_ERROR"),
        ({"message": "x", "sessionId": 5}, 400, "VALIDATION_ERROR"),
        ({"message": "x", "sessionId": "unknown"}, 404, "NOT_FOUND"),
        ({"message": "x", "userId": "somebody"}, 403, "FORBIDDEN"),
    ],
)
def test_bad_messages_are_refused(user: Caller, body: dict[str, Any], status: int, code: str) -> None:
    reply = user.post(SEND, body)
    assert (reply.status_code, reply.json["code"]) == (status, code)
    assert stats(user)["totalChats"] == 0


def test_somebody_elses_session_is_forbidden(user: Caller, register: NewCaller, container: Container) -> None:
    session_id = send(user).json["sessionId"]
    reply = send(register(), sessionId=session_id)
    assert (reply.status_code, reply.json["error"]) == (403, "Accès refusé")
