"""`/v1` over HTTP: what is refused, and in which words."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.completions import CHAT, HELLO, create, error
from tests.api.conftest import Caller, NewCaller, Program

UNSUPPORTED: list[dict[str, Any]] = [
    {"tools": [{"type": "function", "function": {"name": "f"}}]},
    {"tool_choice": "auto"},
    {"functions": [{"name": "f"}]},
    {"function_call": "auto"},
    {"n": 2},
    {"n": True},
    {"logprobs": True},
    {"top_logprobs": 3},
    {"logit_bias": {"50256": -100}},
    {"modalities": ["text", "audio"]},
    {"audio": {"voice": "alloy"}},
    {"prediction": {"type": "content", "content": "x"}},
    {"web_search_options": {}},
    {"service_tier": "flex"},
    {"store": True},
    {"verbosity": "low"},
]


@pytest.mark.parametrize("body", UNSUPPORTED, ids=json.dumps)
def test_what_would_change_the_answer_and_is_not_supported_is_refused(user: Caller, body: dict[str, Any]) -> None:
    reply = create(user, **body)
    assert reply.status_code == 400
    assert (error(reply)["type"], error(reply)["code"]) == ("invalid_request_error", "unsupported_parameter")
    assert error(reply)["param"] == next(iter(body))
    assert "not supported here" in error(reply)["message"]


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"model": None}, "model", "invalid_value"),
    ({"model": 5}, "model", "invalid_value"),
    ({"model": ""}, "model", "invalid_value"),
    ({"messages": []}, "messages", "invalid_value"),
    ({"messages": "hello"}, "messages", "invalid_value"),
    ({"messages": [{"role": "user"}]}, "messages", "missing_required_parameter"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "invalid_value"),
    ({"messages": [{"role": "user", "content": None}]}, "messages", "invalid_value"),
    ({"messages": [{"role": "user", "content": {"$ne": 1}}]}, "messages", "invalid_value"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "invalid_value"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages", "invalid_value"),
    ({"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]}, "messages", "unsupported_parameter"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_completion_tokens": "many"}, "max_completion_tokens", "invalid_value"),
    ({"temperature": 2.1}, "temperature", "invalid_value"),
    ({"temperature": True}, "temperature", "invalid_value"),
    ({"temperature": "hot"}, "temperature", "invalid_value"),
    ({"top_p": -0.1}, "top_p", "invalid_value"),
    ({"stop": ["a"] * 5}, "stop", "invalid_value"),
    ({"stop": []}, "stop", "invalid_value"),
    ({"stop": ""}, "stop", "invalid_value"),
    ({"stop": {"a": 1}}, "stop", "invalid_value"),
    ({"seed": 1.5}, "seed", "invalid_value"),
    ({"response_format": "json"}, "response_format", "invalid_value"),
    ({"response_format": {"type": "xml"}}, "response_format", "invalid_value"),
    ({"response_format": {"type": "json_schema"}}, "response_format", "invalid_value"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format", "invalid_value"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"x": "y" * 40_000}}}},
        "response_format",
        "invalid_value",
    ),
    ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
    ({"stream": "yes"}, "stream", "invalid_value"),
    ({"stream_options": []}, "stream_options", "invalid_value"),
    ({"metadata": {"a": {}}}, "metadata", "invalid_value"),
]


def test_bad_input_names_its_parameter(user: Caller, subtests: pytest.Subtests) -> None:
    for body, param, code in BAD:
        with subtests.test(json.dumps(body)[:80]):
            reply = create(user, **body)
            assert reply.status_code == 400, reply.text
            assert (error(reply)["param"], error(reply)["code"]) == (param, code)
            assert error(reply)["type"] == "invalid_request_error"
    missing = user.post(CHAT, {"messages": HELLO})
    assert (error(missing)["param"], error(missing)["code"]) == ("model", "missing_required_parameter")
    broken = user.call("POST", CHAT, data=b"{", content_type="application/json")
    assert (broken.status_code, error(broken)["code"]) == (400, "invalid_json")


def test_an_unknown_model_is_not_found(user: Caller) -> None:
    for name in ("gpt-0", "$where", "a" * 128, "org/model"):
        reply = create(user, model=name)
        assert (reply.status_code, error(reply)["code"], error(reply)["param"]) == (404, "model_not_found", "model")
    assert error(user.get("/v1/models/gpt-0"))["code"] == "model_not_found"
    assert error(user.get("/v1/nothing"))["code"] == "not_found"
    assert error(user.get(CHAT))["code"] == "method_not_allowed"


def test_nobody_and_the_powerless_are_told_so(client: Any, user: Caller, program_for: Callable[..., Program]) -> None:
    nobody = client.post(CHAT, json={"model": "default", "messages": HELLO})
    assert (nobody.status_code, error(nobody)["code"]) == (401, "invalid_api_key")
    assert nobody.headers["WWW-Authenticate"] == "Bearer"
    wrong = client.get("/v1/models", headers={"Authorization": "Bearer sk-wrong"})
    assert (wrong.status_code, error(wrong)["code"]) == (401, "invalid_api_key")
    powerless = create(program_for(user, scopes=["billing:read"]))
    assert (powerless.status_code, error(powerless)["type"]) == (403, "permission_error")
    assert error(powerless)["requiredScope"] == "chat"


def test_an_empty_balance_is_402(register: NewCaller) -> None:
    reply = create(register(tokens=10))
    found = error(reply)
    assert (reply.status_code, found["type"], found["code"]) == (402, "insufficient_quota", "insufficient_quota")
    assert (found["available"], found["held"]) == (10, 0)
    assert found["topUpUrl"]


def test_a_prompt_longer_than_the_model_takes_is_refused(db: Database, user: Caller) -> None:
    db.models.insert_one({**db.models.find_one({"_id": "default"}), "_id": "tiny", "context_tokens": 1_000})
    try:
        reply = create(user, model="tiny", messages=[{"role": "user", "content": "word " * 990}])
    finally:
        db.models.delete_one({"_id": "tiny"})
    assert (reply.status_code, error(reply)["code"]) == (400, "context_length_exceeded")
    assert error(reply)["param"] == "messages"


def test_rate_limits_are_those_of_the_account(program_for: Callable[..., Program], user: Caller) -> None:
    program = program_for(user, requestsPerMinute=1)
    threading.Thread(target=create, args=(program,)).start()
    while not (jobs := user.get("/api/chat/jobs").json["jobs"]):
        pass
    reply = create(program)
    assert (reply.status_code, error(reply)["code"]) == (429, "rate_limit_exceeded")
    assert int(reply.headers["Retry-After"]) > 0
    assert reply.headers["RateLimit-Remaining"] == "0"
    user.post(f"/api/chat/jobs/{jobs[0]['jobId']}/cancel")


def test_a_stateless_question_is_not_retried_by_an_operator(
    user: Caller, admin: Caller, container: Container, upstream: UpstreamControl
) -> None:
    upstream.rule(status=400)
    threading.Thread(target=create, args=(user,)).start()
    while not (jobs := user.get("/api/chat/jobs").json["jobs"]):
        pass
    container.run(jobs[0]["jobId"])
    reply = admin.post(f"/api/admin/jobs/{jobs[0]['jobId']}/retry")
    assert (reply.status_code, reply.json["code"]) == (400, "VALIDATION_ERROR")
