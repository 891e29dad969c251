"""`/api/context` over HTTP."""

from typing import Any

import pytest

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import Caller

CONTEXT = "/api/context"
TURN = [{"role": "user", "content": "привет"}, {"role": "assistant", "content": "здравствуйте"}]


def test_nobody_starts_with_a_context(user: Caller) -> None:
    reply = user.get(CONTEXT)
    assert (reply.status_code, reply.json["code"]) == (404, "CONTEXT_NOT_FOUND")


def test_a_saved_context_comes_back_as_it_was(user: Caller) -> None:
    assert user.post(CONTEXT, {"context": TURN}).json == {"success": True}
    assert user.get(CONTEXT).json == {"context": TURN}


def test_a_reset_leaves_an_empty_one(user: Caller) -> None:
    user.post(CONTEXT, {"context": TURN})
    assert user.post(f"{CONTEXT}/reset", {"userId": user.id}).json == {"success": True}
    assert user.get(CONTEXT).json == {"context": []}


def test_an_answer_joins_the_context(user: Caller, container: Container, upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong")
    user.post(CONTEXT, {"context": TURN})
    container.run(user.post("/api/chat", {"message": "ping"}).json["jobId"])
    added = [{"role": "user", "content": "ping"}, {"role": "assistant", "content": "pong"}]
    assert user.get(CONTEXT).json["context"] == TURN + added


def test_an_empty_context_may_be_saved(user: Caller) -> None:
    assert user.post(CONTEXT, {"context": []}).status_code == 200
    assert user.get(CONTEXT).json == {"context": []}


def test_unknown_fields_of_an_item_are_dropped(user: Caller) -> None:
    user.post(CONTEXT, {"context": [{**TURN[0], "name": "x", "tool_calls": []}]})
    assert user.get(CONTEXT).json["context"] == TURN[:1]


def test_somebody_elses_context_is_403(user: Caller, admin: Caller) -> None:
    assert user.get(f"{CONTEXT}?userId={admin.id}").status_code == 403
    assert user.post(CONTEXT, {"userId": admin.id, "context": TURN}).status_code == 403
    assert user.post(f"{CONTEXT}/reset", {"userId": admin.id}).status_code == 403


def test_an_admin_may_name_anyone(user: Caller, admin: Caller) -> None:
    assert admin.post(CONTEXT, {"userId": user.id, "context": TURN}).status_code == 200
    assert user.get(CONTEXT).json["context"] == TURN
    assert admin.get(f"{CONTEXT}?user_id={user.id}").json["context"] == TURN


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"context": None},
        {"context": "x"},
        {"context": [{"role": "system", "content": "x"}]},
        {"context": [{"role": "tool", "content": "x"}]},
        {"context": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
        {"context": {"0": {"role": "user", "content": "x"}}},
    ],
)
def test_a_bad_context_is_named(user: Caller, body: dict[str, Any]) -> None:
    reply = user.post(CONTEXT, body)
    assert (reply.status_code, list(reply.json["details"])) == (400, ["context"])


@pytest.mark.parametrize("user_id", ["", "x" * 129])
def test_a_bad_id_in_the_query_is_named(user: Caller, user_id: str) -> None:
    reply = user.get(CONTEXT, query_string={"userId": user_id})
    assert (reply.status_code, list(reply.json["details"])) == (400, ["userId"])
