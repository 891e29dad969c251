"""`/api/ai` over HTTP: what holds for every question, who may ask it, and what is refused."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from tests.api.conftest import Caller, NewCaller, Program
from tests.api.learning.support import ASKING, PLAN, ai, body_for, new_track, with_modules
from tests.api.paying import balance
from tests.core.support import plan_of


@pytest.mark.parametrize("route", ASKING)
def test_whoever_would_rather_poll_may(user: Caller, route: str) -> None:
    body = body_for(route, with_modules(user))
    reply = ai(user, route, {"Prefer": "respond-async"}, **body, metadata={"order": 7})
    assert (reply.status_code, reply.headers["Preference-Applied"]) == (202, "respond-async")
    job = user.get(f"{reply.json['pollUrl']}?wait=20").json
    assert (job["status"], job["meter"], job["metadata"]) == ("succeeded", "tokens", {"order": 7})
    assert job["charged"] > 0


@pytest.mark.parametrize("route", ASKING)
def test_a_repeated_request_is_asked_once(user: Caller, route: str) -> None:
    body = body_for(route, with_modules(user))
    before = balance(user)
    first, second = (ai(user, route, {"Idempotency-Key": "once"}, **body) for _ in range(2))
    assert (first.status_code, first.json) == (200, second.json)
    assert balance(user) == before - first.json["tokens_used"]
    other = ai(user, route, {"Idempotency-Key": "once"}, **{**body, "metadata": {"other": True}})
    assert (other.status_code, other.json["code"]) == (409, "IDEMPOTENCY_MISMATCH")


@pytest.mark.parametrize("route", [*ASKING, "module-learning-start", "module-chat-history"])
def test_nobody_asks_about_what_is_somebody_elses(user: Caller, register: NewCaller, admin: Caller, route: str) -> None:
    mine, stranger = with_modules(user), register()
    module = mine["modules"][0]["id"]
    body = body_for(route, mine) if route in ASKING else {"module_id": module}
    assert ai(stranger, route, **body).status_code == 403
    assert ai(user, route, **body, user_id=stranger.id).status_code in ((403,) if route in ASKING else (200,))
    for name in ("track_id", "module_id"):
        if name in body:
            assert ai(user, route, **{**body, name: "unknown"}).status_code == 404
    if route in ASKING:
        # An admin reads, but pays for nobody's by mistake: it is said whose it is.
        assert ai(admin, route, **body).status_code == 403
        assert ai(admin, route, **body, user_id=user.id).status_code == 200


@pytest.mark.parametrize("name", ["chat_id", "session_id"])
@pytest.mark.parametrize("route", ["generate-plan", "chat-response", "welcome-message", "finalize-course-plan"])
def test_nobody_asks_in_what_is_somebody_elses(user: Caller, register: NewCaller, route: str, name: str) -> None:
    mine = ai(register(), "chat-response", message="mine").json[name]
    body = {**ASKING[route], **({"track_id": new_track(user)} if "message" in route or "final" in route else {})}
    body = {**body, "track_id": new_track(user)}
    assert ai(user, route, **body, **{name: mine}).status_code == 403
    assert ai(user, route, **body, **{name: "unknown"}).status_code == 404


@pytest.mark.parametrize(
    ("route", "body", "field"),
    [
        ("generate-plan", {}, "title"),
        ("generate-plan", {"title": "  "}, "title"),
        ("generate-plan", {"title": "x" * 201}, "title"),
        ("generate-plan", {"title": {}}, "title"),
        ("generate-plan", {"title": "x", "difficulty_level": "hard"}, "difficulty_level"),
        ("generate-plan", {"title": "x", "estimated_duration_hours": 0}, "estimated_duration_hours"),
        ("generate-plan", {"title": "x", "metadata": {"a": []}}, "metadata"),
        ("generate-lesson", {}, "title"),
        ("generate-lesson", {"lesson_id": "x"}, "module_id"),
        ("welcome-message", {}, "track_id"),
        ("finalize-course-plan", {"plan": PLAN}, "track_id"),
        ("finalize-course-plan", {"track_id": "x", "plan": "x"}, "plan"),
        ("finalize-course-plan", {"track_id": "x", "plan": {"title": "x", "modules": []}}, "plan"),
        ("finalize-course-plan", {"track_id": "x", "plan": {**PLAN, "title": " "}}, "plan"),
        ("finalize-course-plan", {"track_id": "x", "plan": plan_of(*map(str, range(51)))}, "plan"),
        ("chat-response", {}, "message"),
        ("chat-response", {"message": ""}, "message"),
        ("chat-response", {"message": "x" * 10_001}, "message"),
        ("chat-response", {"message": "x", "stream": "yes"}, "stream"),
        ("module-chat", {"message": "x"}, "module_id"),
        ("module-chat", {"module_id": "x"}, "message"),
        ("module-learning-start", {}, "module_id"),
        ("module-chat-history", {"module_id": "x", "limit": 0}, "limit"),
    ],
)
def test_bad_bodies_are_refused_by_the_name_of_the_field(
    user: Caller, route: str, body: dict[str, Any], field: str
) -> None:
    reply = ai(user, route, **body)
    assert reply.status_code == 400, reply.text
    assert list(reply.json["details"]) == [field]


def test_an_unsafe_callback_is_refused(user: Caller) -> None:
    reply = ai(user, "generate-plan", title="x", callback_url="http://169.254.169.254/")
    assert (reply.status_code, reply.json["code"]) == (400, "UNSAFE_CALLBACK_URL")


def test_without_tokens_nothing_is_asked(register: NewCaller, upstream: UpstreamControl, title: str) -> None:
    poor = register(tokens=0)
    track = with_modules(poor, title)
    for route in ASKING:
        reply = ai(poor, route, **body_for(route, track))
        assert (reply.status_code, reply.json["code"]) == (402, "INSUFFICIENT_TOKENS"), route
    assert upstream.journal(contains=title) == []


def test_guests_may_within_their_allowance(client: FlaskClient, title: str) -> None:
    token = client.post("/api/auth/guest-login").json["token"]
    guest = Caller(client, "", "guest", token, "")
    track = with_modules(guest, title)
    assert ai(guest, "module-learning-start", module_id=track["modules"][0]["id"]).status_code == 200
    reply = ai(guest, "chat-response", message=title, track_id=track["id"])
    assert reply.status_code == 200, reply.text
    session = f"/api/chat/sessions/{reply.json['session_id']}/status"
    assert guest.call("PUT", session, json={"status": "archived"}).status_code == 403
    plan = ai(guest, "generate-plan", track_id=track["id"])
    assert (plan.status_code, plan.json.get("code")) in ((200, None), (402, "INSUFFICIENT_TOKENS"))


def test_a_program_learns_with_its_end_users(user: Caller, program_for: Callable[..., Program], title: str) -> None:
    program = program_for(user)
    assert program.post("/api/billing/topup", {"userId": "42", "amount": 100_000}).status_code == 200
    track = with_modules(program, title, user_id="42")
    for route in ASKING:
        body = body_for(route, track)
        reply = ai(program, route, **body, user_id="42")
        assert reply.status_code == 200, (route, reply.text)
        assert ai(program, route, **body, user_id="43").status_code == 403, route
        assert ai(program, route, **body).status_code == 403, route
