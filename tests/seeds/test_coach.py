"""The coach's API document: what it prints is sent, and answered as it prints."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from devstack.upstream_control import UpstreamControl
from tests.api.conftest import Caller, NewCaller, Program
from tests.seeds.documents import blocks, differences, printed, read, section
from tests.seeds.shell import curl
from tests.stack.stack import StackUnderTest, eventually

COACH = read("coach")
SESSIONS, SESSION = "/api/chat/sessions", "/api/chat/sessions/[sessionId]"
SEND, HISTORY, STATS = "/api/chat/send", "/api/chat/history", "/api/user/stats"
# What we say beyond the document, and nothing else.
OF_SESSION = {"session.lastMessage", "session.messageCount", "session.status", "session.updatedAt"}
OF_MESSAGES = {f"session.messages[].{key}" for key in ("parentId", "siblings")}
OF_ERRORS = {"requestId", "topUpUrl", "required", "available", "held"}
ADDED = {
    f"GET {SESSIONS}": {"nextCursor", "sessions[].status"},
    f"POST {SESSIONS}": OF_SESSION,
    f"GET {SESSION}": {
        "nextCursor",
        "session.lastMessage",
        "session.messageCount",
        "session.status",
        *OF_MESSAGES,
        "session.runningJob",
    },
    f"POST {SEND}": {"unlimited"},
    f"GET {HISTORY}": {"nextCursor"},
    f"GET {STATS}": {"stats.unlimited", "stats.periodEndsAt"},
}


def conforms(reply: TestResponse, route: str, shown: int = -1) -> dict[str, Any]:
    """The body of an answer that is as the document prints it for this route; its last example by default."""
    assert reply.status_code == 200, reply.text
    assert reply.content_type == "application/json; charset=utf-8"
    assert differences(printed(COACH, f"#### {route}")[shown], reply.json, ADDED[route]) == []
    return dict(reply.json)


def request_of(route: str, **instead: str) -> dict[str, Any]:
    """The printed body of a request, with real ids in the place of the printed ones."""
    body = printed(COACH, f"#### {route}")[0]
    assert instead.keys() <= body.keys()
    return {**body, **instead}


@pytest.fixture
def answering(worker: Callable[[], None], upstream: UpstreamControl) -> UpstreamControl:
    upstream.rule(contains="casse", status=400)
    upstream.rule(answer="Réponse du coach IA...")
    worker()
    return upstream


@pytest.fixture
def session_id(program: Program, answering: UpstreamControl) -> str:
    """A session of the document's user, in which something was said."""
    reply = program.post(SEND, {"userId": "user_id", "message": "Bonjour !"})
    return str(reply.json["sessionId"])


def test_a_session_is_begun_as_printed(program: Program) -> None:
    named = conforms(program.post(SESSIONS, request_of(f"POST {SESSIONS}")), f"POST {SESSIONS}")
    assert named["session"]["title"] == "Titre optionnel"
    untitled = conforms(program.post(SESSIONS, {"userId": "user_id"}), f"POST {SESSIONS}")
    assert untitled["session"]["title"] == printed(COACH, f"#### POST {SESSIONS}")[1]["session"]["title"]


def test_sessions_are_listed_as_printed(program: Program, session_id: str) -> None:
    listed = conforms(program.get(f"{SESSIONS}?userId=user_id"), f"GET {SESSIONS}")["sessions"]
    assert [(row["id"], row["title"], row["messageCount"]) for row in listed] == [(session_id, "Bonjour !", 2)]
    assert listed[0]["lastMessage"] == "Réponse du coach IA..."
    assert program.get(f"{SESSIONS}?userId=nobody_yet").json["sessions"] == []


def test_a_session_is_read_renamed_and_deleted_as_printed(program: Program, session_id: str) -> None:
    path = f"{SESSIONS}/{session_id}"
    read_back = conforms(program.get(path), f"GET {SESSION}")["session"]
    said = [(message["role"], message["content"]) for message in read_back["messages"]]
    assert said == [("USER", "Bonjour !"), ("ASSISTANT", "Réponse du coach IA...")]
    renamed = program.call("PATCH", path, json=request_of(f"PATCH {SESSION}"))
    assert (renamed.status_code, program.get(path).json["session"]["title"]) == (200, "Nouveau titre")
    assert program.call("DELETE", path).status_code == 200
    assert program.get(path).status_code == 404
    assert program.get(f"{SESSIONS}?userId=user_id").json["sessions"] == []


def test_a_message_is_sent_as_printed(program: Program, session_id: str) -> None:
    body = request_of(f"POST {SEND}", sessionId=session_id)
    sent = conforms(program.post(SEND, body), f"POST {SEND}", shown=1)
    assert (sent["sessionId"], sent["userMessage"]["content"]) == (session_id, "Mon message au coach")
    assert (sent["userMessage"]["role"], sent["assistantMessage"]["role"]) == ("USER", "ASSISTANT")
    assert sent["remainingCredits"] == 3
    fresh = conforms(program.post(SEND, {"userId": "user_id", "message": "Autre chose"}), f"POST {SEND}", shown=1)
    assert fresh["sessionId"] != session_id


def test_without_credits_the_answer_is_word_for_word_the_printed_one(
    program: Program, answering: UpstreamControl
) -> None:
    body = {"userId": "user_id", "message": "Mon message au coach"}
    for left in range(4, -1, -1):
        assert program.post(SEND, body).json["remainingCredits"] == left
    refused = program.post(SEND, body)
    shown = printed(COACH, f"#### POST {SEND}")[2]
    assert refused.status_code == 402
    assert refused.json.items() >= shown.items()
    assert refused.json.keys() == shown.keys() | OF_ERRORS


def test_the_history_is_as_printed(program: Program, session_id: str) -> None:
    program.post(SEND, {"userId": "user_id", "message": "Encore"})
    body = conforms(program.get(f"{HISTORY}?userId=user_id"), f"GET {HISTORY}")
    assert body["stats"] == {"totalSessions": 2, "totalMessages": 4}
    assert body["history"][1]["id"] == session_id
    assert body["history"][1]["preview"] == "Réponse du coach IA..."
    limited = conforms(program.get(f"{HISTORY}?userId=user_id&limit=1"), f"GET {HISTORY}")
    assert (len(limited["history"]), limited["stats"]) == (1, body["stats"])


def test_the_statistics_are_as_printed(program: Program, session_id: str) -> None:
    body = conforms(program.get(f"{STATS}?userId=user_id"), f"GET {STATS}")["stats"]
    told = {"totalChats": 1, "totalMessages": 2, "remainingCredits": 4, "plan": "FREE", "status": "ACTIVE"}
    assert body.items() >= told.items()


PLANS = re.findall(r"^\| (\w+) \| (\w+) \|$", section(COACH, "### Crédits par plan"), re.MULTILINE)


@pytest.mark.parametrize(("plan", "credits_a_month"), PLANS)
def test_a_plan_has_the_credits_of_the_table(
    user: Caller, admin: Caller, answering: UpstreamControl, plan: str, credits_a_month: str
) -> None:
    assert len(PLANS) == 3
    admin.post(f"/api/admin/user/{user.id}/plan", {"plan": plan})
    left = None if credits_a_month == "Illimité" else int(credits_a_month)
    stats = user.get(f"{STATS}?userId={user.id}").json["stats"]
    assert (stats["plan"], stats["remainingCredits"], stats["unlimited"]) == (plan, left, left is None)
    sent = user.post(SEND, {"userId": user.id, "message": "Mon message au coach"}).json
    assert sent["remainingCredits"] == (None if left is None else left - 1)


def test_the_coach_is_who_the_document_says(session_id: str, answering: UpstreamControl) -> None:
    sent = answering.journal(contains="Bonjour !")[-1]["body"]
    limits = dict(re.findall(r"\*\*(Max tokens|Temperature)\*\*: ([\d.]+)", COACH))
    assert (sent["max_completion_tokens"], sent["temperature"]) == (
        int(limits["Max tokens"]),
        float(limits["Temperature"]),
    )
    persona = sent["messages"][0]["content"]
    for words in ("coach en séduction", "développement personnel", "empathie", "manipulation", "respect mutuel"):
        assert words in persona


FAILURES: dict[int, list[tuple[str, str, dict[str, Any] | None]]] = {
    400: [
        ("POST", SEND, {}),
        ("POST", SEND, {"userId": "user_id"}),
        ("POST", SEND, {"userId": "user_id", "message": ""}),
        ("POST", SEND, {"userId": 5, "message": "x"}),
        ("POST", SESSIONS, {"userId": "user_id", "title": ["x"]}),
        ("PATCH", f"{SESSIONS}/SESSION", {}),
        ("PATCH", f"{SESSIONS}/SESSION", {"title": ""}),
        ("GET", f"{HISTORY}?userId=user_id&limit=dix", None),
        ("GET", f"{HISTORY}?userId=user_id&limit=0", None),
        ("GET", f"{STATS}?userId=", None),
    ],
    403: [
        ("POST", SEND, {"userId": "somebody_else", "sessionId": "SESSION", "message": "x"}),
        ("GET", f"{SESSIONS}/FOREIGN", None),
        ("PATCH", f"{SESSIONS}/FOREIGN", {"title": "x"}),
        ("DELETE", f"{SESSIONS}/FOREIGN", None),
    ],
    404: [
        # As printed, for nobody's session has this id.
        ("POST", SEND, request_of(f"POST {SEND}")),
        ("GET", f"{SESSIONS}/session_id", None),
        ("PATCH", f"{SESSIONS}/session_id", {"title": "x"}),
        ("DELETE", f"{SESSIONS}/session_id", None),
    ],
    500: [("POST", SEND, {"userId": "user_id", "message": "casse"})],
}


@pytest.mark.parametrize(
    ("status", "method", "path", "body"), [(status, *case) for status, cases in FAILURES.items() for case in cases]
)
def test_errors_have_the_statuses_of_the_table(
    program: Program, session_id: str, register: NewCaller,
    status: int, method: str, path: str, body: dict[str, Any] | None,
) -> None:  # fmt: skip
    foreign = register().post(SESSIONS, {}).json["session"]["id"]
    path = path.replace("SESSION", session_id).replace("FOREIGN", foreign)
    if body is not None and body.get("sessionId") == "SESSION":
        body = {**body, "sessionId": session_id}
    reply = program.call(method, path, json=body)
    assert reply.status_code == status, reply.text
    assert reply.json.keys() - {"details", "jobId", "reason"} == {"error", "code", "message", "requestId"}
    assert program.get(f"{STATS}?userId=user_id").json["stats"]["remainingCredits"] == 4


def test_the_table_has_no_other_errors() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d{3}) \|", section(COACH, "## Codes d'erreur"), re.MULTILINE)}
    # 402 has a test of its own.
    assert codes == FAILURES.keys() | {402}


def test_the_printed_commands_work(stack: StackUnderTest) -> None:
    commands = [blocks(section(COACH, heading), "bash") for heading in (
        "### Démarrer une conversation", "### Continuer une conversation", "### Récupérer l'historique",
    )]  # fmt: skip
    ((begin,), (go_on,), (look,)) = commands
    stack.upstream.clear()
    stack.upstream.rule(answer="Réponse du coach IA...")
    key = ("-H", f"X-API-Key: {stack.register().new_key('chat').secret}")

    status, content_type, first = curl(begin, stack.web.url, *key)
    assert (status, content_type) == (200, "application/json; charset=utf-8"), first
    shown = printed(COACH, f"#### POST {SEND}")[1]
    assert differences(shown, first, ADDED[f"POST {SEND}"]) == []
    said = "Bonjour, j'ai besoin de conseils pour améliorer ma confiance en moi"
    assert first["userMessage"]["content"] == said

    status, _, second = curl(go_on, stack.web.url, *key, session456=first["sessionId"])
    assert (status, second["sessionId"], second["remainingCredits"]) == (200, first["sessionId"], 3), second
    assert eventually(lambda: stack.upstream.journal(contains="à l'aise dans les situations sociales"))

    status, _, past = curl(look, stack.web.url, *key)
    assert status == 200
    assert differences(printed(COACH, f"#### GET {HISTORY}")[0], past, ADDED[f"GET {HISTORY}"]) == []
    assert past["stats"] == {"totalSessions": 1, "totalMessages": 4}
    assert curl(look, stack.web.url)[0] == 401
