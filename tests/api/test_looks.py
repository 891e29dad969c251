"""One look of an admin at what is somebody else's is one line of the audit trail, however many pages it has."""

from typing import Any

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from tests.api.conftest import Caller

PLAN = {
    "title": "course",
    "description": "",
    "modules": [
        {
            "title": "alpha",
            "description": "",
            "lessons": [{"title": "one", "description": "", "duration_minutes": 30}],
        }
    ],
}
CSV = {"Accept": "text/csv"}


@pytest.fixture
def places(user: Caller, container: Container) -> dict[str, str]:
    """What there is of somebody: by which names paths call it."""
    session_id = user.post("/api/chat/sessions", {}).json["session"]["id"]
    job_id = user.post("/api/chat", {"message": "ping", "sessionId": session_id}).json["jobId"]
    container.run(job_id)
    track_id = user.post("/api/tracks", {"title": "course"}).json["id"]
    (module,) = user.post("/api/ai/finalize-course-plan", {"track_id": track_id, "plan": PLAN}).json["track"]["modules"]
    user.post("/api/ai/module-learning-start", {"module_id": module["id"]})
    return {"user": user.id, "session": session_id, "job": job_id, "track": track_id, "module": module["id"]}


LOOKS: list[tuple[str, str, dict[str, Any] | None, str]] = [
    ("GET", "/api/chat/sessions/{session}", None, "session.read"),
    ("GET", "/api/chat/sessions/{session}/chats", None, "session.read"),
    ("GET", "/api/chat/sessions/{session}/export", None, "session.export"),
    ("GET", "/api/chat/chats/{session}/messages", None, "session.read"),
    ("POST", "/api/chat/messages/{job}:assistant/select", {}, "message.select"),
    ("GET", "/api/chat/sessions?userId={user}", None, "sessions.read"),
    ("GET", "/api/chat/history?userId={user}", None, "sessions.read"),
    ("GET", "/api/chat/search?q=ping&userId={user}", None, "messages.search"),
    ("GET", "/api/chat/jobs/{job}", None, "job.read"),
    ("GET", "/api/chat/jobs?userId={user}", None, "jobs.read"),
    ("GET", "/api/chat/jobs/{job}/events", None, "job.read"),
    ("GET", "/api/billing?userId={user}", None, "billing.read"),
    ("GET", "/api/billing/ledger?userId={user}", None, "ledger.read"),
    ("GET", "/api/billing/usage?userId={user}", None, "usage.read"),
    ("GET", "/api/admin/user/{user}/ledger", None, "ledger.read"),
    ("GET", "/api/admin/user/{user}/dialogs", None, "dialogs.read"),
    ("GET", "/api/tracks?user_id={user}", None, "tracks.read"),
    ("GET", "/api/tracks/{track}?include_content=true", None, "track.read"),
    ("POST", "/api/ai/module-chat-history", {"module_id": "{module}"}, "module.read"),
]


@pytest.mark.parametrize(("method", "path", "body", "action"), LOOKS, ids=[path for _, path, _, _ in LOOKS])
def test_a_look_is_one_line(
    db: Database,
    admin: Caller,
    places: dict[str, str],
    method: str,
    path: str,
    body: dict[str, Any] | None,
    action: str,
) -> None:
    db.audit.delete_many({})
    given = {} if body is None else {"json": {name: value.format(**places) for name, value in body.items()}}
    reply = admin.call(method, path.format(**places), **given)
    assert (reply.status_code, bool(reply.text)) == (200, True), reply.text
    assert [(line["action"], line["subject_id"]) for line in db.audit.find()] == [(action, places["user"])]


@pytest.mark.parametrize("path", ["/api/billing/ledger?userId={user}", "/api/admin/user/{user}/ledger"])
def test_a_ledger_of_many_pages_is_one_look(db: Database, admin: Caller, user: Caller, path: str) -> None:
    for _ in range(120):
        admin.post(f"/api/admin/user/{user.id}/adjust", {"delta": 1, "reason": "one of many"})
    db.audit.delete_many({})
    lines = admin.get(path.format(user=user.id), headers=CSV).text.splitlines()
    assert len(lines) == 1 + 122
    assert [line["action"] for line in db.audit.find()] == ["ledger.read"]
