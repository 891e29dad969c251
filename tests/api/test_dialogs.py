"""Sessions, chats and their history over HTTP."""

from typing import Any

import pytest

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Role
from tests.api.conftest import Caller, NewCaller

SESSIONS = "/api/chat/sessions"
TIME = "2024-01-15T10:00:00Z"


def new_session(caller: Caller, **body: Any) -> dict[str, Any]:
    reply = caller.post(SESSIONS, body)
    assert reply.status_code == 200, reply.text
    return dict(reply.json["session"])


def say(container: Container, caller: Caller, message: str, **place: Any) -> dict[str, Any]:
    """An answered question."""
    reply = caller.post("/api/chat", {"message": message, **place})
    assert reply.status_code == 202, reply.text
    container.run(reply.json["jobId"])
    return dict(caller.get(reply.json["pollUrl"]).json)


def test_a_session_from_its_beginning(user: Caller, container: Container, upstream: UpstreamControl) -> None:
    upstream.rule(answer="Prenons un moment.")
    session = new_session(user)
    assert session == {
        "id": session["id"],
        "title": "Nouvelle conversation",
        "lastMessage": "",
        "messageCount": 0,
        "status": "active",
        "createdAt": session["createdAt"],
        "updatedAt": session["createdAt"],
    }
    assert len(session["createdAt"]) == len(TIME)

    say(container, user, "Bonjour !", sessionId=session["id"])

    read = user.get(f"{SESSIONS}/{session['id']}").json["session"]
    assert (read["title"], read["lastMessage"], read["messageCount"]) == ("Bonjour !", "Prenons un moment.", 2)
    assert [(message["role"], message["content"]) for message in read["messages"]] == [
        ("USER", "Bonjour !"),
        ("ASSISTANT", "Prenons un moment."),
    ]
    renamed = user.call("PATCH", f"{SESSIONS}/{session['id']}", json={"title": " Nouveau titre "}).json["session"]
    assert renamed["title"] == "Nouveau titre"
    listed = user.get(SESSIONS).json
    assert [each["title"] for each in listed["sessions"]] == ["Nouveau titre"]
    assert listed["nextCursor"] is None
    assert "messages" not in listed["sessions"][0]


def test_an_untitled_session_is_called_new_in_the_readers_language(register: NewCaller) -> None:
    russian, anyone = register(locale="ru"), register()
    assert new_session(russian)["title"] == "Новый диалог"
    session = new_session(anyone)
    read = anyone.get(f"{SESSIONS}/{session['id']}", headers={"Accept-Language": "en"}).json["session"]
    assert (session["title"], read["title"]) == ("Nouvelle conversation", "New conversation")


def test_errors_are_french_for_who_names_no_language(user: Caller) -> None:
    assert user.get(f"{SESSIONS}/unknown").json["error"] == "Introuvable"
    assert user.get(f"{SESSIONS}/unknown", headers={"Accept-Language": "en"}).json["error"] == "Not found"
    assert user.get("/api/chat/jobs/unknown").json["error"] == "Не найдено"


def test_the_chats_of_a_session_are_spelled_as_the_learning_platform_does(user: Caller, container: Container) -> None:
    session_id = new_session(user)["id"]
    chat = user.post("/api/chat/chats", {"sessionId": session_id, "title": "План"}).json
    assert (chat["session_id"], chat["title"], chat["kind"], chat["message_count"]) == (session_id, "План", "extra", 0)
    say(container, user, "Привет", sessionId=session_id, chatId=chat["id"])

    read = user.get(f"/api/chat/chats/{chat['id']}/messages").json
    assert (read["chat_id"], read["next_cursor"]) == (chat["id"], None)
    assert [message["role"] for message in read["messages"]] == ["user", "assistant"]
    assert read["messages"][0].keys() == {"id", "role", "content", "created_at", "parent_id", "siblings"}
    older = user.get(f"/api/chat/chats/{chat['id']}/messages?limit=1").json
    assert older["messages"] == read["messages"][1:]
    rest = user.get(f"/api/chat/chats/{chat['id']}/messages?limit=1&cursor={older['next_cursor']}").json
    assert rest["messages"] == read["messages"][:1]

    done = user.call("PUT", f"/api/chat/chats/{chat['id']}/status", json={"status": "completed"}).json
    assert done["status"] == "completed"
    chats = user.get(f"{SESSIONS}/{session_id}/chats").json["chats"]
    assert [(each["id"], each["status"], each["sessionId"]) for each in chats] == [
        (session_id, "active", session_id),
        (chat["id"], "completed", session_id),
    ]


def test_a_session_is_archived_by_whom_it_belongs_to_but_no_guest(
    user: Caller, client: Any, container: Container
) -> None:
    session_id = new_session(user)["id"]
    changed = user.call("PUT", f"{SESSIONS}/{session_id}/status", json={"status": "archived"})
    assert changed.json["session"]["status"] == "archived"
    assert user.get(f"{SESSIONS}?status=active").json["sessions"] == []
    assert len(user.get(f"{SESSIONS}?status=archived").json["sessions"]) == 1

    reply = client.post("/api/auth/guest-login").json
    guest = Caller(client, reply["userId"], "", reply["token"], reply["refresh_token"])
    own = new_session(guest)["id"]
    refused = guest.call("PUT", f"{SESSIONS}/{own}/status", json={"status": "archived"})
    assert (refused.status_code, refused.json["code"]) == (403, "REGISTRATION_REQUIRED")


def test_history_counts_everything_however_few_it_shows(user: Caller, container: Container) -> None:
    for number in range(3):
        say(container, user, f"question {number}", sessionId=new_session(user)["id"])
    read = user.get(f"/api/chat/history?userId={user.id}&limit=2").json
    assert [each["title"] for each in read["history"]] == ["question 2", "question 1"]
    assert read["stats"] == {"totalSessions": 3, "totalMessages": 6}
    assert read["history"][0].keys() == {"id", "title", "preview", "messageCount", "createdAt", "updatedAt"}
    rest = user.get(f"/api/chat/history?cursor={read['nextCursor']}").json
    assert [each["title"] for each in rest["history"]] == ["question 0"]


def test_one_question_at_a_time_in_a_session(user: Caller) -> None:
    session_id = new_session(user)["id"]
    assert user.post("/api/chat", {"message": "one", "sessionId": session_id}).status_code == 202
    refused = user.post("/api/chat", {"message": "two", "sessionId": session_id})
    assert (refused.status_code, refused.json["code"]) == (409, "JOB_RUNNING")


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", SESSIONS, {"title": "x" * 201}, "title"),
        ("POST", SESSIONS, {"title": ["x"]}, "title"),
        ("PATCH", f"{SESSIONS}/{{own}}", {"title": "  "}, "title"),
        ("PATCH", f"{SESSIONS}/{{own}}", {}, "title"),
        ("PUT", f"{SESSIONS}/{{own}}/status", {"status": "deleted"}, "status"),
        ("PUT", f"{SESSIONS}/{{own}}/status", {"status": {"$ne": ""}}, "status"),
        ("POST", "/api/chat/chats", {}, "session_id"),
        ("POST", "/api/chat", {"message": "x", "sessionId": 5}, "sessionId"),
        ("GET", f"{SESSIONS}?limit=1001", None, "limit"),
        ("GET", f"{SESSIONS}?cursor=nonsense", None, "cursor"),
        ("GET", f"{SESSIONS}/{{own}}?cursor=WyJ4Il0", None, "cursor"),
        ("GET", f"{SESSIONS}?status=gone", None, "status"),
        ("GET", "/api/chat/history?limit=0", None, "limit"),
    ],
)
def test_what_makes_no_sense_is_named(user: Caller, method: str, path: str, body: Any, field: str) -> None:
    own = new_session(user)["id"]
    reply = user.call(method, path.format(own=own), **({} if body is None else {"json": body}))
    assert reply.status_code == 400, reply.text
    assert field in reply.json["details"], reply.text


def test_a_stranger_gets_nowhere(user: Caller, register: NewCaller) -> None:
    stranger, own = register(), new_session(user)["id"]
    chat = user.post("/api/chat/chats", {"session_id": own}).json["id"]
    attempts = [
        ("GET", f"{SESSIONS}/{own}", None),
        ("PATCH", f"{SESSIONS}/{own}", {"title": "mine"}),
        ("PUT", f"{SESSIONS}/{own}/status", {"status": "archived"}),
        ("GET", f"{SESSIONS}/{own}/chats", None),
        ("POST", "/api/chat/chats", {"session_id": own}),
        ("GET", f"/api/chat/chats/{chat}/messages", None),
        ("PUT", f"/api/chat/chats/{chat}/status", {"status": "archived"}),
        ("POST", "/api/chat", {"message": "x", "sessionId": own}),
        ("POST", "/api/chat", {"message": "x", "chatId": chat}),
        ("GET", f"{SESSIONS}?userId={user.id}", None),
        ("GET", f"/api/chat/history?userId={user.id}", None),
        ("POST", SESSIONS, {"userId": user.id}),
    ]
    for method, path, body in attempts:
        reply = stranger.call(method, path, **({} if body is None else {"json": body}))
        assert (reply.status_code, reply.json["code"]) == (403, "FORBIDDEN"), path
        missing = path.replace(own, "unknown").replace(chat, "unknown")
        if missing != path and body is None:
            assert stranger.call(method, missing).status_code == 404
    support = register(Role.SUPPORT)
    assert support.get(f"{SESSIONS}/{own}").status_code == 403


def test_an_admin_is_written_down_who_reads_a_session(user: Caller, admin: Caller) -> None:
    own = new_session(user)["id"]
    assert admin.get(f"{SESSIONS}/{own}").status_code == 200
    trail = admin.get(f"/api/admin/audit?subjectId={user.id}").json
    assert "session.read" in str(trail)


def test_a_running_answer_is_found_again(user: Caller, container: Container) -> None:
    """By its session, as after a reload or in another browser, and the session by its answer."""
    session_id = new_session(user)["id"]

    def running() -> Any:
        return user.get(f"{SESSIONS}/{session_id}").json["session"]["runningJob"]

    assert running() is None
    job_id = user.post("/api/chat", {"message": "hello", "sessionId": session_id}).json["jobId"]
    assert running() == {"jobId": job_id, "question": "hello"}
    (chat,) = user.get(f"{SESSIONS}/{session_id}/chats").json["chats"]
    assert chat["runningJobId"] == job_id
    job = user.get(f"/api/chat/jobs/{job_id}").json
    assert (job["sessionId"], job["chatId"]) == (session_id, chat["id"])
    (listed,) = user.get("/api/chat/jobs?status=queued").json["jobs"]
    assert (listed["jobId"], listed["sessionId"]) == (job_id, session_id)
    container.run(job_id)
    assert running() is None
    assert user.get(f"{SESSIONS}/{session_id}/chats").json["chats"][0]["runningJobId"] is None
    assert user.get(f"/api/chat/jobs/{job_id}").json["sessionId"] == session_id


def test_the_default_dialog_tells_the_newest_of_its_running_answers(user: Caller, container: Container) -> None:
    first, second = (user.post("/api/chat", {"message": "hello"}).json["jobId"] for _ in range(2))
    job = user.get(f"/api/chat/jobs/{first}").json
    assert (job["sessionId"], job["chatId"]) == (None, None)
    (session,) = user.get(SESSIONS).json["sessions"]
    shown = user.get(f"{SESSIONS}/{session['id']}").json["session"]
    assert shown["runningJob"]["jobId"] == second
    for job_id in (first, second):
        container.run(job_id)
    assert user.get(f"{SESSIONS}/{session['id']}").json["session"]["runningJob"] is None
