"""Talking in a session of the learning platform, chat by chat, across web processes."""

from typing import Any

import pytest

from tests.stack.stack import Person, StackUnderTest
from tests.stack.ws import ANSWER, THREE_WORDS, USAGE, Connect, hold, rest


def new_session(person: Person) -> str:
    return str(person.call("POST", "/api/chat/sessions", json={"title": "Курс"}).json()["session"]["id"])


def new_chat(person: Person, session_id: str) -> str:
    body = {"session_id": session_id, "title": "Ещё один"}
    return str(person.call("POST", "/api/chat/chats", json=body).json()["id"])


def said(frame: dict[str, Any]) -> list[str]:
    return [message["content"] for message in frame["messages"]]


def test_the_frames_are_the_seeds_in_snake_case(talking: StackUnderTest, connect: Connect) -> None:
    person = talking.register()
    session_id = new_session(person)
    talking.upstream.rule(contains="plan with me", answer=ANSWER, usage=USAGE)
    page = connect(person, f"/ws/chat/{session_id}")
    history = page.has("history")
    assert history == {
        "type": "history",
        "session_id": session_id,
        "chat_id": session_id,
        "messages": [],
    }
    done = page.say("plan with me").has("done")
    assert page.text == ANSWER
    assert set(page.of("chunk")[0]) == {"type", "content", "job_id", "session_id", "chat_id"}
    assert set(done) == {"type", "job_id", "session_id", "chat_id", "usage"}
    assert (done["session_id"], done["chat_id"]) == (session_id, session_id)
    assert done["usage"]["total_tokens"] == 18
    job = person.job(done["job_id"])
    assert (job["assistant"], job["meter"], job["message"]) == ("tutor", "tokens", ANSWER)


def test_who_switches_gets_the_history_and_talks_there(talking: StackUnderTest, connect: Connect) -> None:
    person = talking.register()
    session_id = new_session(person)
    chat_id = new_chat(person, session_id)
    page = connect(person, f"/ws/chat/{session_id}/switch")
    page.say("in the first").has("done")
    page.send(type="switch", chat_id=chat_id)
    assert page.has("history", 2)["chat_id"] == chat_id
    rest(talking)
    assert page.say("in the second").has("done", 2)["chat_id"] == chat_id
    page.send(type="switch", chat_id=session_id)
    assert said(page.has("history", 3))[0] == "in the first"
    page.send(type="switch", chat_id=chat_id)
    page.has("history", 4)
    page.leave()

    restored = connect(person, f"/ws/chat/{session_id}/switch").has("history")
    assert (restored["chat_id"], said(restored)[0]) == (chat_id, "in the second")
    (message, _) = restored["messages"]
    assert set(message) == {"id", "role", "content", "created_at", "parent_id", "siblings"}
    assert connect(person, f"/ws/chat/{session_id}").has("history")["chat_id"] == session_id


def test_a_message_may_name_its_chat(talking: StackUnderTest, connect: Connect) -> None:
    person = talking.register()
    session_id = new_session(person)
    chat_id = new_chat(person, session_id)
    page = connect(person, f"/ws/chat/{session_id}")
    page.send(type="message", content="over there", chat_id=chat_id)
    assert page.has("done")["chat_id"] == chat_id
    rest(talking)
    assert page.say("still there").has("done", 2)["chat_id"] == chat_id


def test_who_comes_back_gets_the_history_and_the_rest_of_the_answer(talking: StackUnderTest, connect: Connect) -> None:
    person = talking.register()
    session_id = new_session(person)
    hold(talking, "gone from a course")
    first = connect(person, f"/ws/chat/{session_id}").say("gone from a course").has_seen(len(THREE_WORDS))
    first.leave()
    second = connect(person, f"/ws/chat/{session_id}?after={len(first.text)}")
    assert second.has("history")["messages"] == []
    assert second.say("meanwhile").has("error")["code"] == "JOB_RUNNING"
    talking.upstream.release("gone from a course")
    second.has("done")
    assert first.text + second.text == ANSWER


def test_stop_keeps_what_was_shown(talking: StackUnderTest, connect: Connect) -> None:
    person = talking.register()
    hold(talking, "enough of it")
    page = connect(person, f"/ws/chat/{new_session(person)}").say("enough of it").has_seen(len(THREE_WORDS))
    done = page.send(type="stop").has("done")
    assert person.job(done["job_id"])["status"] == "cancelled"


def test_a_token_may_come_later(talking: StackUnderTest, connect: Connect) -> None:
    person = talking.register()
    session_id = new_session(person)
    page = connect(path=f"/ws/chat/{session_id}")
    assert page.say("who am I").has("error")["code"] == "UNAUTHORIZED"
    page.send(type="auth", token=person.token)
    assert page.has("history")["session_id"] == session_id
    page.say("it is me").has("done")


def test_somebody_elses_session_stays_theirs(talking: StackUnderTest, connect: Connect) -> None:
    owner, other = talking.register(), talking.register()
    session_id, own_id = new_session(owner), new_session(other)
    chat_id = new_chat(owner, session_id)
    for path in (f"/ws/chat/{session_id}", f"/ws/chat/{session_id}/switch"):
        page = connect(other, path)
        assert (page.has("error")["code"], page.closed()) == ("FORBIDDEN", 1008)
        assert page.of("history") == []
    missing = connect(other, "/ws/chat/unknown")
    assert (missing.has("error")["code"], missing.closed()) == ("NOT_FOUND", 1008)
    late = connect(path=f"/ws/chat/{session_id}").send(type="auth", token=other.token)
    assert late.has("error")["code"] == "FORBIDDEN"
    assert late.say("let me in").has("error", 2)["code"] in ("FORBIDDEN", "NOT_FOUND")
    assert late.of("history") == []

    mine = connect(other, f"/ws/chat/{own_id}")
    assert mine.send(type="switch", chat_id=chat_id).has("error")["code"] == "FORBIDDEN"
    elsewhere = new_chat(other, new_session(other))
    assert mine.send(type="switch", chat_id=elsewhere).has("error", 2)["code"] == "NOT_FOUND"
    assert mine.send(type="message", content="x", chat_id=chat_id).has("error", 3)["code"] in ("FORBIDDEN", "NOT_FOUND")
    assert len(mine.of("history")) == 1


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "switch"}, "VALIDATION_ERROR"),
        ({"type": "switch", "chat_id": 5}, "VALIDATION_ERROR"),
        ({"type": "message", "content": "x", "chat_id": ["x"]}, "VALIDATION_ERROR"),
        ({"type": "message", "content": "x", "chat_id": ""}, "VALIDATION_ERROR"),
        ({"type": "message", "content": " "}, "INVALID_MESSAGE"),
        ({"type": "message", "content": "x" * 10_001}, "INVALID_MESSAGE"),
        ({"type": "dance"}, "VALIDATION_ERROR"),
    ],
)
def test_bad_frames_leave_the_socket_open(
    talking: StackUnderTest, connect: Connect, frame: dict[str, Any], code: str
) -> None:
    person = talking.register()
    page = connect(person, f"/ws/chat/{new_session(person)}").send(**frame)
    assert page.has("error")["code"] == code
    page.say("good").has("done")


def test_sigterm_closes_with_1001(talking: StackUnderTest, connect: Connect) -> None:
    person = talking.register()
    page = connect(person, f"/ws/chat/{new_session(person)}")
    page.has("history")
    talking.web.stop(20)
    assert page.closed() == 1001


def test_an_admin_who_enters_is_written_down_once(talking: StackUnderTest, connect: Connect) -> None:
    person, admin = talking.register(), talking.register()
    session_id = new_session(person)
    chat_id = new_chat(person, session_id)
    talking.db.accounts.update_one({"_id": admin.account_id}, {"$set": {"role": "admin"}})
    page = connect(admin, f"/ws/chat/{session_id}/switch")
    page.has("history")
    page.send(type="switch", chat_id=chat_id)
    page.has("history", 2)
    looks = list(talking.db.audit.find({"actor_id": admin.account_id}))
    assert [(look["action"], look["subject_id"]) for look in looks] == [("session.read", person.account_id)] * 2
