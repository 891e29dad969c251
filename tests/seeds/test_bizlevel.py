"""BizLevel's task: a history of messages is posted, and one message comes back."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from tests.api.conftest import Caller
from tests.seeds.documents import read

TASK = read("bizlevel")
CHAT = "/api/chat"
QUESTION = {"role": "user", "content": "Что такое unit-экономика?"}
ANSWER = {"role": "assistant", "content": "Доход и расход на одного клиента."}
Judge = Callable[[Any], bool]


@pytest.fixture(autouse=True)
def assistant(worker: Callable[[], None], upstream: UpstreamControl) -> None:
    upstream.rule(contains="сломайся", status=400)
    upstream.rule(answer=ANSWER["content"])
    worker()


def types() -> dict[str, dict[str, Judge]]:
    """The task's types in TypeScript, as judges of each field, by what they are for; `?` marks what may be absent."""
    found: dict[str, dict[str, Judge]] = {}
    kinds: dict[str, Judge] = {
        "string": lambda value: isinstance(value, str),
        "'user' | 'assistant'": lambda value: value in ("user", "assistant"),
        "Message": lambda value: fits(found["сообщения"], value),
        "Message[]": lambda value: isinstance(value, list) and all(fits(found["сообщения"], one) for one in value),
    }
    for what, fields in re.findall(r"Тип для (\w+): `\{ (.*) \}`", TASK):
        found[what] = {name: kinds[kind] for name, kind in re.findall(r"(\w+\??): ([^,]+?)(?=,|$)", fields)}
    return found


def fits(judges: dict[str, Judge], value: Any) -> bool:
    """Whether an object has the fields of a type, of the right kinds, and no other."""
    needed = {name for name in judges if not name.endswith("?")}
    known = {name.rstrip("?"): judge for name, judge in judges.items()}
    return (
        isinstance(value, dict)
        and needed <= value.keys() <= known.keys()
        and all(known[name](item) for name, item in value.items())
    )


def test_the_types_are_read() -> None:
    read_types = types()
    assert {name: set(fields) for name, fields in read_types.items()} == {
        "сообщения": {"role", "content"},
        "запроса": {"messages"},
        "ответа": {"message", "error?"},
    }
    assert fits(read_types["ответа"], {"message": ANSWER})
    for wrong in ({}, {"message": "x"}, {"message": {**ANSWER, "role": "system"}}, {"message": ANSWER, "id": 1}):
        assert not fits(read_types["ответа"], wrong)


@pytest.mark.parametrize("messages", [[QUESTION], [QUESTION, ANSWER, QUESTION]])
def test_a_history_is_answered_with_a_message(user: Caller, messages: list[dict[str, str]]) -> None:
    body = {"messages": messages}
    assert fits(types()["запроса"], body)
    reply = user.post(CHAT, body)
    assert reply.status_code == 200, reply.text
    assert reply.content_type == "application/json; charset=utf-8"
    assert fits(types()["ответа"], reply.json)
    assert reply.json == {"message": ANSWER}


def test_errors_have_a_text_and_their_status(user: Caller, client: FlaskClient) -> None:
    failed = user.post(CHAT, {"messages": [{"role": "user", "content": "сломайся"}]})
    refused = user.post(CHAT, {"messages": [ANSWER]})
    unknown = client.post(CHAT, json={"messages": [QUESTION]})
    assert [reply.status_code for reply in (failed, refused, unknown)] == [500, 400, 401]
    for reply in (failed, refused, unknown):
        assert types()["ответа"]["error?"](reply.json["error"])
        assert "message" not in reply.json or isinstance(reply.json["message"], str)


def test_the_assistant_is_who_the_task_says(user: Caller, upstream: UpstreamControl) -> None:
    assert TASK.count("- Ассистент должен") == 3
    user.post(CHAT, {"messages": [QUESTION]})
    persona = upstream.journal(contains="unit-экономика")[-1]["body"]["messages"][0]
    assert persona["role"] == "system"
    for words in ("представься как AI-помощник BizLevel", "бизнес", "предпринимательств", "менеджмент", "уровни"):
        assert words in persona["content"]
