"""Dialogs as files, and search, over HTTP."""

import json
import re

import pytest
from flask import Flask

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.usecases import export
from tests.api.conftest import Caller, NewCaller, Program


def say(container: Container, user: Caller, message: str, **body: object) -> str:
    reply = user.post("/api/chat", {"message": message, **body})
    assert reply.status_code == 202, reply.text
    container.run(reply.json["jobId"])
    return str(reply.json["jobId"])


@pytest.fixture
def session_id(container: Container, user: Caller, upstream: UpstreamControl) -> str:
    """Two chats; in the first one an edited question and two more, in the second one a question."""
    upstream.rule(contains="code", answer="# Look\n\n```py\nx = 1")
    upstream.rule(answer="pong")
    created = user.post("/api/chat/sessions", {"title": 'My "first" *dialog*: a/b'}).json["session"]["id"]
    first = say(container, user, "ping", sessionId=created)
    edited = user.post(f"/api/chat/messages/{first}:user/edit", {"message": "edited"}).json["jobId"]
    container.run(edited)
    for text in ("code", "after"):
        say(container, user, text, sessionId=created)
    chat = user.post("/api/chat/chats", {"session_id": created, "title": "Second"}).json["id"]
    say(container, user, "in the second", sessionId=created, chatId=chat)
    return str(created)


@pytest.mark.parametrize("page", [1, 2, 3, 500])
def test_as_json_every_branch_is_there(
    user: Caller, session_id: str, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "MESSAGES_PAGE", page)
    monkeypatch.setattr(export, "CHATS_PAGE", page)
    reply = user.get(f"/api/chat/sessions/{session_id}/export")
    assert reply.status_code == 200
    assert reply.content_type == "application/json; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="My first dialog a b.json"'
    read = json.loads(reply.text)
    assert (read["session"]["id"], read["session"]["messageCount"]) == (session_id, 10)
    first, second = read["chats"]
    assert [each["content"] for each in first["messages"][:2]] == ["ping", "pong"]
    assert [each["content"] for each in first["messages"] if each["shown"]][::2] == ["edited", "code", "after"]
    assert {each["branch"] for each in first["messages"] if each["shown"]} != {"root"}
    assert len({each["id"] for each in first["messages"]}) == 8
    assert [each["content"] for each in second["messages"]] == ["in the second", "pong"]
    assert second["title"] == "Second"


@pytest.mark.parametrize("page", [1, 2, 500])
def test_as_markdown_what_is_shown(user: Caller, session_id: str, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MESSAGES_PAGE", page)
    headers = {"Accept-Language": "en"}
    reply = user.get(f"/api/chat/sessions/{session_id}/export?format=markdown", headers=headers)
    assert reply.content_type == "text/markdown; charset=utf-8"
    assert reply.headers["Content-Disposition"] == 'attachment; filename="My first dialog a b.md"'
    said = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\dZ)?", "T", reply.text)
    assert said == (
        f'---\ntitle: "My \\"first\\" *dialog*: a/b"\nid: "{session_id}"\ncreated: T\nexported: T\n---\n'
        '\n# My "first" \\*dialog\\*\\: a/b\n'
        "\n### You · T UTC\n\n> edited\n\n### Assistant · T UTC\n\npong\n"
        "\n### You · T UTC\n\n> code\n\n### Assistant · T UTC\n\n# Look\n\n```py\nx = 1\n```\n"
        "\n### You · T UTC\n\n> after\n\n### Assistant · T UTC\n\npong\n"
        "\n## Second\n\n### You · T UTC\n\n> in the second\n\n### Assistant · T UTC\n\npong\n"
    )
    russian = user.get(f"/api/chat/sessions/{session_id}/export?format=markdown", headers={"Accept-Language": "ru"})
    assert "### Вы · " in russian.text


def test_an_empty_session_and_a_name_of_other_letters(user: Caller) -> None:
    created = user.post("/api/chat/sessions", {"title": "Кофейня"}).json["session"]["id"]
    reply = user.get(f"/api/chat/sessions/{created}/export")
    assert json.loads(reply.text)["chats"][0]["messages"] == []
    disposition = reply.headers["Content-Disposition"]
    assert (
        disposition
        == "attachment; filename=\"dialog.json\"; filename*=UTF-8''%D0%9A%D0%BE%D1%84%D0%B5%D0%B9%D0%BD%D1%8F.json"
    )
    reply = user.get(f"/api/chat/sessions/{created}/export?format=markdown")
    assert reply.text.endswith("# Кофейня\n")


def test_refused_exports(user: Caller, register: NewCaller, session_id: str) -> None:
    path = f"/api/chat/sessions/{session_id}/export"
    assert register().get(path).status_code == 403
    for bad in ("pdf", "", "JSON", "%00"):
        assert user.get(f"{path}?format={bad}").status_code == 400
    assert user.get("/api/chat/sessions/unknown/export").status_code == 404
    assert user.call("GET", path, headers={"Authorization": ""}).status_code == 401


def test_search(container: Container, user: Caller, app: Flask, session_id: str) -> None:
    reply = user.get("/api/chat/search?q=edit")
    assert reply.status_code == 200, reply.text
    (found,) = reply.json["results"]
    assert (found["sessionId"], found["role"], found["snippet"]) == (session_id, "user", "edited")
    assert found["title"] == 'My "first" *dialog*: a/b'
    assert reply.json["nextCursor"] is None
    page = user.get("/api/chat/search?q=pong&limit=2").json
    assert len(page["results"]) == 2
    assert user.get(f"/api/chat/search?q=pong&limit=2&cursor={page['nextCursor']}").json["results"]


@pytest.mark.parametrize(
    "query", ["", "q=", "q=%20", "q=-", "q=%22%22", "q=" + "a" * 201, "q=a&limit=0", "q=a&cursor=x", "q=%ff", "q=%00"]
)
def test_bad_searches(user: Caller, query: str) -> None:
    reply = user.get(f"/api/chat/search?{query}")
    assert (reply.status_code, reply.json["code"]) == (400, "VALIDATION_ERROR"), reply.text


def test_a_program_searches_for_its_end_user(
    container: Container, program: Program, user: Caller, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    program.post("/api/billing/topup", {"userId": "4242", "amount": 100_000})
    reply = program.post("/api/chat", {"message": "tamarisk", "userId": "4242"})
    container.run(reply.json["jobId"])
    assert len(program.get("/api/chat/search?q=tamarisk&userId=4242").json["results"]) == 1
    assert program.get("/api/chat/search?q=tamarisk").json["results"] == []
    assert user.get("/api/chat/search?q=tamarisk").json["results"] == []
