"""`/api/ai` over HTTP: talking with the tutor, in general and about a module."""

from devstack.upstream_control import UpstreamControl
from service.domain import structured
from tests.api.conftest import Caller, NewCaller
from tests.api.learning.support import LESSON, ai, new_track, system, with_modules
from tests.core.support import plan_of


def test_the_tutor_goes_on_where_it_is_told(user: Caller, upstream: UpstreamControl, title: str) -> None:
    track_id = new_track(user, title)
    alone = ai(user, "chat-response", message=f"hello {title}").json
    assert "<data>" not in system(upstream, title)
    began = ai(user, "chat-response", message=f"begin {title}", track_id=track_id)
    assert began.status_code == 200, began.text
    assert began.json["chat_id"] == began.json["session_id"] != alone["chat_id"]
    assert title in system(upstream, f"begin {title}")
    for named in ({"chat_id": began.json["chat_id"]}, {"session_id": began.json["session_id"]}):
        assert ai(user, "chat-response", message=f"more {title}", **named).json["chat_id"] == began.json["chat_id"]
        assert title in system(upstream, f"more {title}")
    messages = user.get(f"/api/chat/chats/{began.json['chat_id']}/messages").json["messages"]
    assert [message["content"] for message in messages[::2]] == [f"begin {title}", *[f"more {title}"] * 2]
    assert messages[1]["id"] == began.json["message_id"]
    (session,) = user.get(f"/api/chat/sessions?track_id={track_id}").json["sessions"]
    assert (session["id"], session["title"]) == (began.json["session_id"], title)


def test_the_tutor_is_as_its_user_set_it(user: Caller, upstream: UpstreamControl, title: str) -> None:
    wanted = {"model": "gpt-6-sol", "temperature": 0.1, "max_tokens": 333, "language": "fr"}
    assert user.call("PUT", "/api/ai/user-config", json=wanted).status_code == 200
    module_id = with_modules(user)["modules"][0]["id"]
    ai(user, "chat-response", message=f"one {title}")
    ai(user, "module-chat", message=f"two {title}", module_id=module_id)
    for number in ("one", "two"):
        body = upstream.journal(contains=f"{number} {title}")[-1]["body"]
        assert (body["model"], body["temperature"], body["max_completion_tokens"]) == ("gpt-6-sol", 0.1, 333)
        assert "Réponds en français." in body["messages"][0]["content"]
    # What answers in a format is its user's in the language alone.
    ai(user, "generate-plan", title=f"three {title}")
    body = upstream.journal(contains=f"three {title}")[-1]["body"]
    assert (body["model"] != "gpt-6-sol", body["temperature"], body["max_completion_tokens"]) == (True, 0.4, 6000)
    assert "Réponds en français." in body["messages"][0]["content"]


def test_a_module_is_learned_in_a_chat_of_its_own(user: Caller, upstream: UpstreamControl, title: str) -> None:
    track = with_modules(user, title)
    module_id = track["modules"][0]["id"]
    empty = ai(user, "module-chat-history", module_id=module_id)
    assert empty.json == {"module_id": module_id, "chat_id": None, "messages": [], "next_cursor": None}

    begun = ai(user, "module-learning-start", module_id=module_id)
    assert begun.status_code == 200, begun.text
    chat_id = begun.json["chat_id"]
    assert (begun.json["module"]["status"], begun.json["module"]["chat_id"]) == ("in_progress", chat_id)
    assert begun.json["messages"] == []
    assert ai(user, "module-learning-start", module_id=module_id).json == begun.json
    chats = user.get(f"/api/chat/sessions/{begun.json['session_id']}/chats").json["chats"]
    assert [(chat["kind"], chat.get("moduleId")) for chat in chats] == [("default", None), ("module", module_id)]
    other = ai(user, "module-learning-start", module_id=track["modules"][1]["id"]).json
    assert (other["session_id"], other["chat_id"] != chat_id) == (begun.json["session_id"], True)

    first = ai(user, "module-chat", module_id=module_id, message=f"what is it? {title}")
    assert first.status_code == 200, first.text
    assert {name: first.json[name] for name in ("module_id", "chat_id", "session_id")} == {
        "module_id": module_id,
        "chat_id": chat_id,
        "session_id": begun.json["session_id"],
    }
    told = system(upstream, f"what is it? {title}")
    assert '"module":{"title":"alpha","description":"about alpha","lessons":[{"title":"alpha 0"' in told
    second = user.post("/api/ai/module-chat", {"chatId": chat_id, "message": "and then?"})
    assert second.json["module_id"] == module_id
    history = ai(user, "module-chat-history", module_id=module_id, limit=3).json
    assert [message["role"] for message in history["messages"]] == ["assistant", "user", "assistant"]
    assert history["messages"][-1]["content"] == second.json["message"]
    older = ai(user, "module-chat-history", module_id=module_id, cursor=history["next_cursor"]).json
    assert [message["content"] for message in older["messages"]] == [f"what is it? {title}"]
    assert len(ai(user, "module-learning-start", module_id=module_id).json["messages"]) == 4
    assert ai(user, "module-complete", module_id=module_id).json["track"]["progress"] == 50


def test_the_tutor_knows_the_material_of_a_module_that_was_not_begun(
    user: Caller, upstream: UpstreamControl, title: str
) -> None:
    module = with_modules(user)["modules"][0]
    upstream.rule(contains="alpha 0", times=1, answer=structured.dump(LESSON))
    ai(user, "generate-lesson", module_id=module["id"], lesson_id=module["lessons"][0]["id"])
    assert ai(user, "module-chat", module_id=module["id"], message=title).status_code == 200
    assert "the word is tamarisk" in system(upstream, title)
    assert ai(user, "module-chat-history", module_id=module["id"]).json["chat_id"] is not None


def test_a_module_chat_is_a_modules(user: Caller, register: NewCaller) -> None:
    track = with_modules(user)
    first, second = (module["id"] for module in track["modules"])
    chat_id = ai(user, "module-learning-start", module_id=first).json["chat_id"]
    plain = ai(user, "chat-response", message="hello").json["chat_id"]
    for body in ({"chat_id": plain}, {"chat_id": chat_id, "module_id": second}):
        reply = ai(user, "module-chat", message="x", **body)
        assert (reply.status_code, list(reply.json["details"])) == (400, ["chat_id"])
    assert ai(user, "module-chat", message="x", chat_id=chat_id, module_id=first).status_code == 200
    assert ai(register(), "module-chat", message="x", chat_id=chat_id).status_code == 403
    # Another plan takes the module away, and its chat stays as what was said.
    other = plan_of("gamma")
    ai(user, "finalize-course-plan", track_id=track["id"], plan=other)
    assert ai(user, "module-chat", message="x", chat_id=chat_id).status_code == 404
    assert len(user.get(f"/api/chat/chats/{chat_id}/messages").json["messages"]) == 2


def test_a_session_is_only_for_a_track_of_ones_own(user: Caller, register: NewCaller) -> None:
    track_id = new_track(user)
    sessions = "/api/chat/sessions"
    assert register().post(sessions, {"track_id": track_id}).status_code == 403
    assert user.post(sessions, {"trackId": "unknown"}).status_code == 404
    session = user.post(sessions, {"track_id": track_id}).json["session"]
    assert session["trackId"] == track_id
    # The tutor knows what it is about.
    assert ai(user, "chat-response", message="x", session_id=session["id"]).json["chat_id"] == session["id"]


def test_one_question_at_a_time_in_a_chat(user: Caller, upstream: UpstreamControl, title: str) -> None:
    upstream.rule(contains=title, hold=title)
    module_id = with_modules(user)["modules"][0]["id"]
    reply = ai(user, "module-chat", {"Prefer": "respond-async"}, message=title, module_id=module_id)
    busy = ai(user, "module-chat", message="x", module_id=module_id)
    assert (busy.status_code, busy.json["code"]) == (409, "JOB_RUNNING")
    upstream.release(title)
    assert user.get(f"{reply.json['pollUrl']}?wait=20").json["status"] == "succeeded"
