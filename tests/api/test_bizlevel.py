"""BizLevel's clients, which bring the whole conversation."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import Caller

CHAT = "/api/chat"
TALK = [
    {"role": "user", "content": "Что такое unit-экономика?"},
    {"role": "assistant", "content": "Доход и расход на одного клиента."},
    {"role": "user", "content": "А на каком уровне она?"},
]


@pytest.fixture(autouse=True)
def assistant(worker: Callable[[], None], upstream: UpstreamControl) -> None:
    upstream.rule(answer="На втором.")
    worker()


def test_the_whole_conversation_is_sent(user: Caller, upstream: UpstreamControl) -> None:
    reply = user.post(CHAT, {"messages": TALK})
    assert reply.status_code == 200, reply.text
    _persona, *sent = upstream.journal(contains="на каком уровне")[-1]["body"]["messages"]
    assert sent == TALK


def test_nothing_of_it_is_kept_as_a_dialog(user: Caller) -> None:
    user.post(CHAT, {"messages": TALK})
    assert user.get("/api/chat/sessions").json["sessions"] == []
    assert user.get("/api/context").status_code == 404
    assert len(user.get("/api/chat/jobs").json["jobs"]) == 1


def test_a_guest_talks_for_free_and_others_pay(user: Caller, client: FlaskClient) -> None:
    reply = client.post("/api/auth/guest-login").json
    guest = Caller(client, reply["userId"], "", reply["token"], reply["refresh_token"])
    for caller, meter in ((guest, "free"), (user, "tokens")):
        before = caller.get("/api/billing").json["currentBalance"]
        assert caller.post(CHAT, {"messages": TALK}).status_code == 200
        (job,) = caller.get("/api/chat/jobs").json["jobs"]
        assert job["meter"] == meter
        after = caller.get("/api/billing").json["currentBalance"]
        assert (before - after == 0) is (meter == "free")


def test_it_may_be_polled_too(user: Caller) -> None:
    reply = user.post(CHAT, {"messages": TALK}, headers={"Prefer": "respond-async"})
    assert reply.status_code == 202
    assert user.get(f"{reply.json['pollUrl']}?wait=20").json["message"] == "На втором."


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": TALK, "message": "x"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": TALK[:2]}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": {"role": "user", "content": "x"}}, "messages"),
        ({"messages": TALK, "sessionId": "x"}, "messages"),
        ({"messages": TALK, "context": []}, "messages"),
        ({}, "message"),
    ],
)
def test_bad_conversations_are_refused(user: Caller, body: dict[str, Any], field: str) -> None:
    reply = user.post(CHAT, body)
    assert (reply.status_code, reply.json["code"], list(reply.json["details"])) == (400, "VALIDATION_ERROR", [field])


@pytest.mark.parametrize("content", ["", " ", "x" * 10_001])
def test_a_question_of_no_use_is_refused(user: Caller, content: str) -> None:
    reply = user.post(CHAT, {"messages": [{"role": "user", "content": content}]})
    assert reply.status_code == 400
    assert user.get("/api/chat/jobs").json["jobs"] == []


def test_what_is_too_long_is_left_out_at_the_beginning(
    user: Caller, upstream: UpstreamControl, container: Container
) -> None:
    talk = [{"role": "user", "content": f"message {number}"} for number in range(60)]
    assert user.post(CHAT, {"messages": talk}).status_code == 200
    sent = upstream.journal(contains="message 59")[-1]["body"]["messages"]
    assert [message["content"] for message in sent[1:]] == [f"message {number}" for number in range(39, 60)]
