"""What tests of `/v1` say often."""

import json
from typing import Any

from werkzeug.test import TestResponse

from service.domain.accounts import Actor, Role
from tests.api.conftest import Caller, Program

CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]
USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 18,
    "total_tokens": 38,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 3},
}
ROOT = Actor(account_id="test", role=Role.ADMIN, request_id="test-request")


def create(caller: Caller | Program, headers: dict[str, str] | None = None, **body: Any) -> TestResponse:
    return caller.post(
        CHAT,
        {"model": "default", "messages": HELLO, **body},
        headers={"Accept-Language": "en", **(headers or {})},
    )


def error(reply: TestResponse) -> dict[str, Any]:
    assert set(reply.json) == {"error"}, reply.text
    found: dict[str, Any] = reply.json["error"]
    assert {"message", "type", "param", "code"} <= found.keys()
    return found


def data(reply: TestResponse) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in reply.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]
