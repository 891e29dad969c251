"""The learning platform's onboarding document: its routes, with the fields that it names."""

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from tests.api.conftest import PASSWORD, Caller
from tests.core.support import plan_of
from tests.seeds.documents import differences, read, section
from tests.stack.stack import StackUnderTest
from tests.stack.ws import Page, rest

DOCUMENT = read("learning")
TIME = "2024-01-15T10:00:00Z"
TRACK = {
    "title": "Python с нуля",
    "description": "Основы",
    "skill_area": "Программирование",
    "difficulty_level": "beginner",
    "estimated_duration_hours": 12.5,
    "user_expectations": "Хочу автоматизировать отчёты",
}
ME = {"email": "a@example.com", "first_name": "Анна", "last_name": "Иванова"}
# What the answers look like: the document names their fields only where it names those of the request.
KNOWN_TRACK = {
    **TRACK,
    "id": "x",
    "user_id": "x",
    "status": "active",
    "progress": 0,
    "created_at": TIME,
    "updated_at": TIME,
}
KNOWN_MODULE = {"id": "x", "title": "a", "description": "", "position": 0, "status": "pending", "lessons": []}
KNOWN_CHAT = {
    **dict.fromkeys(("id", "session_id", "title", "kind", "status"), "x"),
    "module_id": None,
    "message_count": 0, "created_at": TIME, "updated_at": TIME,
}  # fmt: skip
CHAT_IN_A_LIST = {
    **dict.fromkeys(("id", "sessionId", "title", "kind", "status"), "x"),
    "moduleId": None,
    "messageCount": 0, "createdAt": TIME, "updatedAt": TIME,
}  # fmt: skip
KNOWN_SESSION = {
    **dict.fromkeys(("id", "title", "status", "lastMessage", "trackId"), "x"),
    "messageCount": 0, "createdAt": TIME, "updatedAt": TIME,
}  # fmt: skip
KNOWN_MESSAGE = {"id": "x", "role": "user", "content": "x", "created_at": TIME}
OF_MESSAGES = {"messages[].parent_id", "messages[].siblings"}
TOKENS = dict.fromkeys(("token", "access_token", "refresh_token", "token_type", "userId", "user_id"), "x")
Routes = list[tuple[str, str]]


def documented() -> Routes:
    """Method and whole path of every route of the document."""
    found: Routes = []
    for prefix, bullets in re.findall(
        r"^### [^\n]*\(`(/[\w/]+)`\)\n(.*?)(?=^### )", DOCUMENT, re.MULTILINE | re.DOTALL
    ):
        found += [(method, prefix + path) for method, path in re.findall(r"^- `([A-Z]+) (\S+)`", bullets, re.MULTILINE)]
    return found


def test_the_reference_has_every_route_of_the_document(client: FlaskClient) -> None:
    assert len(documented()) == len(set(documented())) == 28
    paths = client.get("/openapi.json").json["paths"]
    ours = {(method.upper(), re.sub(r"\{\w+\}", "{}", path)) for path, item in paths.items() for method in item}
    theirs = {(method, re.sub(r"\{\w+\}", "{}", path.rstrip("/"))) for method, path in documented()}
    assert theirs - ours == set()


@pytest.fixture
def learner(client: FlaskClient, container: Container) -> Caller:
    """Somebody who registered as the document says, and then logged in by the e-mail."""
    email = f"user-{uuid4().hex[:12]}@example.com"
    body = {**ME, "email": email, "password": PASSWORD}
    new = client.post("/api/auth/register", json=body)
    assert new.status_code == 201, new.text
    assert differences({**TOKENS, "expires_in": 1}, new.json) == []
    reply = client.post("/api/auth/login", json={"email": email, "password": PASSWORD})
    assert reply.status_code == 200, reply.text
    return Caller(client, new.json["userId"], email, reply.json["token"], reply.json["refresh_token"])


@pytest.fixture
def track(learner: Caller) -> dict[str, Any]:
    reply = learner.post("/api/tracks/", TRACK)
    assert reply.status_code == 201, reply.text
    return dict(reply.json)


@pytest.fixture
def session_id(learner: Caller, track: dict[str, Any]) -> str:
    reply = learner.post("/api/chat/sessions", {"track_id": track["id"]})
    assert differences({"session": KNOWN_SESSION}, reply.json) == []
    assert reply.json["session"]["trackId"] == track["id"]
    return str(reply.json["session"]["id"])


@pytest.mark.parametrize("named", ["email", "username"])
@pytest.mark.parametrize("how", ["json", "data"])
def test_a_login_by_mail_and_password_gives_a_token(learner: Caller, named: str, how: str) -> None:
    body: dict[str, Any] = {how: {named: learner.name, "password": PASSWORD}}
    reply = learner.client.post("/api/auth/login", **body)
    assert (reply.status_code, reply.json["token_type"]) == (200, "bearer")
    assert differences({**TOKENS, "expires_in": 1}, reply.json) == []
    assert learner.client.get("/api/auth/me", headers={"Authorization": f"Bearer {reply.json['access_token']}"}).json


def test_me_is_who_registered(learner: Caller) -> None:
    told = learner.get("/api/auth/me").json
    assert told.items() >= {**ME, "email": learner.name, "user_id": learner.id}.items()
    added = {"userId", "username", "role", "plan", "locale", "createdAt", "expiresAt"}
    assert differences({**ME, "user_id": "x"}, told, added) == []
    assert learner.client.get("/api/auth/me").status_code == 401


def test_a_guest_needs_no_account(client: FlaskClient, container: Container) -> None:
    reply = client.post("/api/auth/guest-login")
    assert reply.status_code == 200
    assert differences({**TOKENS, "expires_in": 1}, reply.json) == []
    told = client.get("/api/auth/me", headers={"Authorization": f"Bearer {reply.json['token']}"}).json
    assert (told["role"], told["email"]) == ("guest", None)


def test_a_track_has_the_named_fields(learner: Caller, track: dict[str, Any], container: Container) -> None:
    assert differences({**KNOWN_TRACK, "modules": []}, track) == []
    assert track.items() >= TRACK.items()
    listed = learner.get("/api/tracks/").json
    assert differences({"tracks": [KNOWN_TRACK]}, listed, {"total", "page", "limit"}) == []
    assert [each["id"] for each in listed["tracks"]] == [track["id"]]

    changed = learner.call("PUT", f"/api/tracks/{track['id']}", json={**TRACK, "title": "Python за месяц"})
    assert (changed.status_code, changed.json["title"]) == (200, "Python за месяц")
    actor = Actor(account_id=learner.id, role=Role.USER, request_id="test-request")
    container.tracks.adopt(actor, track["id"], plan_of("a", "b"))
    whole = learner.get(f"/api/tracks/{track['id']}").json
    lesson = {"id": "x", "title": "x", "description": "", "duration_minutes": 30}
    assert differences({**KNOWN_TRACK, "modules": [{**KNOWN_MODULE, "lessons": [lesson]}]}, whole) == []
    assert [module["title"] for module in whole["modules"]] == ["a", "b"]
    done = learner.post("/api/ai/module-complete", {"module_id": whole["modules"][0]["id"]}).json
    assert (
        differences({"success": True, "module": {**KNOWN_MODULE, "lessons": [lesson]}, "track": KNOWN_TRACK}, done)
        == []
    )
    assert (done["module"]["status"], done["track"]["progress"]) == ("completed", 50)


def test_a_track_goes_with_its_chats_and_modules(learner: Caller, track: dict[str, Any], session_id: str) -> None:
    chat = learner.post("/api/chat/chats", {"session_id": session_id}).json
    assert learner.call("DELETE", f"/api/tracks/{track['id']}").status_code == 204
    for path in (f"/api/tracks/{track['id']}", f"/api/chat/sessions/{session_id}/chats"):
        assert learner.get(path).status_code == 404
    assert learner.get(f"/api/chat/chats/{chat['id']}/messages").status_code == 404
    assert learner.get("/api/chat/sessions").json["sessions"] == []
    assert learner.get("/api/tracks/").json["tracks"] == []


def test_chats_of_a_session_as_the_document_has_them(
    learner: Caller, session_id: str, worker: Callable[[], None], upstream: UpstreamControl
) -> None:
    chat = learner.post("/api/chat/chats", {"session_id": session_id})
    assert chat.status_code in (200, 201), chat.text
    assert differences(KNOWN_CHAT, chat.json) == []
    chat_id = chat.json["id"]
    listed = learner.get(f"/api/chat/sessions/{session_id}/chats").json
    assert differences({"chats": [CHAT_IN_A_LIST], "nextCursor": None}, listed, {"chats[].runningJobId"}) == []
    assert [each["id"] for each in listed["chats"]] == [session_id, chat_id]
    assert session_id in [each["id"] for each in learner.get("/api/chat/sessions").json["sessions"]]

    upstream.rule(answer="Начните с основ")
    worker()
    body = {"message": "С чего начать?", "session_id": session_id, "chat_id": chat_id}
    assert learner.post("/api/chat", body, headers={"Prefer": "wait=20"}).status_code == 200
    said = learner.get(f"/api/chat/chats/{chat_id}/messages").json
    assert differences({"messages": [KNOWN_MESSAGE]}, said, {"chat_id", "next_cursor", *OF_MESSAGES}) == []
    assert [message["content"] for message in said["messages"]] == ["С чего начать?", "Начните с основ"]


@pytest.mark.parametrize("status", ["active", "archived", "completed"])
def test_statuses_are_changed(learner: Caller, session_id: str, status: str) -> None:
    changed = learner.call("PUT", f"/api/chat/sessions/{session_id}/status", json={"status": status})
    assert (changed.status_code, changed.json["session"]["status"]) == (200, status)
    chat_id = learner.post("/api/chat/chats", {"session_id": session_id}).json["id"]
    changed = learner.call("PUT", f"/api/chat/chats/{chat_id}/status", json={"status": status})
    assert (changed.status_code, changed.json["status"]) == (200, status)
    assert differences(KNOWN_CHAT, changed.json) == []


def test_the_status_of_a_session_is_for_the_registered(client: FlaskClient, container: Container) -> None:
    guest = {"Authorization": f"Bearer {client.post('/api/auth/guest-login').json['token']}"}
    session = client.post("/api/chat/sessions", json={}, headers=guest).json["session"]["id"]
    path = f"/api/chat/sessions/{session}/status"
    assert client.put(path, json={"status": "archived"}, headers=guest).status_code == 403


PLAN = {
    "title": "x",
    "description": "",
    "modules": [
        {"title": "x", "description": "", "lessons": [{"title": "x", "description": "", "duration_minutes": 1}]}
    ],
}
LESSON = {
    "title": "x",
    "objectives": ["x"],
    "sections": [{"heading": "x", "content": "x"}],
    "exercises": ["x"],
    "summary": "x",
}
SAID = {"message": "x", "chat_id": "x"}
# What we say beyond what the document and the contract name, of every answer of the model, and where it was said.
OF_ANSWERS = {"job_id", "tokens_used"}
OF_TALKS = {*OF_ANSWERS, "session_id", "message_id"}


@pytest.fixture
def ask(learner: Caller, worker: Callable[[], None], upstream: UpstreamControl) -> Callable[..., dict[str, Any]]:
    """Posts to `/api/ai`; the model answers."""
    upstream.rule(contains="С чего начать?", answer="Начните с основ")
    worker()

    def post(route: str, **body: Any) -> dict[str, Any]:
        reply = learner.post(f"/api/ai/{route}", body)
        assert reply.status_code == 200, reply.text
        assert reply.content_type == "application/json; charset=utf-8"
        return dict(reply.json)

    return post


Ask = Callable[..., dict[str, Any]]


def test_a_plan_is_made_of_parameters_and_of_the_dialog(ask: Ask, session_id: str, upstream: UpstreamControl) -> None:
    assert differences(PLAN, ask("generate-plan", **TRACK), OF_ANSWERS) == []
    chat_id = ask("chat-response", session_id=session_id, message="С чего начать?")["chat_id"]
    with_history = ask("generate-plan", **TRACK, session_id=session_id, chat_id=chat_id)
    assert differences(PLAN, with_history, OF_ANSWERS) == []
    sent = upstream.journal(contains=TRACK["title"])[-1]["body"]
    assert sent["response_format"]["type"] == "json_schema"
    assert "Начните с основ" in [message["content"] for message in sent["messages"]]


def test_a_chat_goes_on_under_the_id_that_it_returned(ask: Ask) -> None:
    first = ask("chat-response", message="С чего начать?")
    assert differences(SAID, first, OF_TALKS) == []
    second = ask("chat-response", message="С чего начать?", chat_id=first["chat_id"])
    assert differences(SAID, second, OF_TALKS) == []
    assert second["chat_id"] == first["chat_id"]


def test_a_course_from_the_welcome_to_the_last_word_in_a_module(
    ask: Ask, learner: Caller, track: dict[str, Any]
) -> None:
    welcome = ask("welcome-message", track_id=track["id"])
    assert differences({**SAID, "plan": PLAN}, welcome, OF_TALKS) == []

    final = ask("finalize-course-plan", track_id=track["id"], plan=welcome["plan"])
    lesson = {"id": "x", "title": "x", "description": "", "duration_minutes": 1}
    module = {**KNOWN_MODULE, "lessons": [lesson]}
    assert differences({"track": {**KNOWN_TRACK, "modules": [module]}, "plan": PLAN}, final) == []
    first = final["track"]["modules"][0]
    assert learner.get(f"/api/tracks/{track['id']}").json["modules"] == final["track"]["modules"]

    written = ask("generate-lesson", module_id=first["id"], lesson_id=first["lessons"][0]["id"])
    assert differences(LESSON, written, {*OF_ANSWERS, "module_id", "lesson_id"}) == []

    begun = ask("module-learning-start", module_id=first["id"])
    where = {"module_id": "x", "chat_id": "x", "messages": [KNOWN_MESSAGE], "next_cursor": None}
    started = {"module": {**module, "chat_id": "x"}, "session_id": "x", **where}
    assert differences(started, begun, {"module.lessons[].content", *OF_MESSAGES}) == []
    assert (begun["module"]["status"], begun["messages"]) == ("in_progress", [])

    said = ask("module-chat", module_id=first["id"], message="С чего начать?")
    assert differences(SAID, said, {*OF_TALKS, "module_id"}) == []
    assert said["chat_id"] == begun["chat_id"]
    past = ask("module-chat-history", module_id=first["id"])
    assert differences(where, past, OF_MESSAGES) == []
    assert [message["content"] for message in past["messages"]] == ["С чего начать?", "Начните с основ"]

    done = ask("module-complete", module_id=first["id"])
    assert done["module"]["status"] == "completed"


def test_the_tutors_settings_and_the_test_of_the_connection(learner: Caller) -> None:
    shown = {"model": "x", "temperature": 0.7, "max_tokens": 1, "language": None}
    for path in ("/api/ai/user-config", "/api/ai/default-config"):
        assert differences(shown, learner.get(path).json) == []
    tested = learner.post("/api/ai/test-connection")
    assert tested.status_code == 200, tested.text
    assert differences({"success": True, "model": "x", "model_available": True, "latency_ms": 1}, tested.json) == []


SOCKET, SWITCH = re.findall(r"- `(/ws/\S+)`", section(DOCUMENT, "### WebSocket"))
FRAMES = {
    "history": {"type": "history", "session_id": "x", "chat_id": "x", "messages": [KNOWN_MESSAGE]},
    "chunk": {"type": "chunk", "content": "x"},
    "done": {"type": "done"},
}
OF_FRAMES = {
    "history": OF_MESSAGES,
    "chunk": {"job_id", "session_id", "chat_id"},
    "done": {"job_id", "session_id", "chat_id", "usage"},
}


def test_a_course_is_planned_over_the_socket(stack: StackUnderTest) -> None:
    assert (SOCKET, SWITCH) == ("/ws/chat/{session_id}", "/ws/chat/{session_id}/switch")
    stack.upstream.clear()
    stack.upstream.rule(contains="С чего начать?", answer="Начните с основ")
    person = stack.register()
    track_id = person.call("POST", "/api/tracks/", json=TRACK).json()["id"]
    session = person.call("POST", "/api/chat/sessions", json={"track_id": track_id}).json()["session"]["id"]
    other = person.call("POST", "/api/chat/chats", json={"session_id": session}).json()["id"]
    frames = []
    with Page(stack.web.url, f"{SOCKET.format(session_id=session)}?token={person.token}") as page:
        page.has("history")
        page.say("С чего начать?").has("done")
        assert page.text == "Начните с основ"
        frames += page.frames
    rest(stack)
    with Page(stack.web.url, f"{SWITCH.format(session_id=session)}?token={person.token}") as page:
        restored = page.has("history")
        assert [message["content"] for message in restored["messages"]] == ["С чего начать?", "Начните с основ"]
        assert page.send(type="switch", chat_id=other).has("history", 2)["messages"] == []
        assert page.say("С чего начать?").has("done")["chat_id"] == other
        frames += page.frames
    for frame in frames:
        assert differences(FRAMES[frame["type"]], frame, OF_FRAMES[frame["type"]]) == []
