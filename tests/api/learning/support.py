"""What tests of `/api/ai` say often."""

from typing import Any

from devstack.upstream_control import UpstreamControl
from tests.api.conftest import Caller, Program
from tests.core.support import plan_of

PLAN = plan_of("alpha", "beta", lessons=2)
LESSON = {
    "title": "Variables",
    "objectives": ["name things"],
    "sections": [{"heading": "Names", "content": "A name for a value: the word is tamarisk."}],
    "exercises": ["Name something."],
    "summary": "Names hold values.",
}
ASKING = {
    "generate-plan": {"title": "course"},
    "chat-response": {"message": "hello"},
    "generate-lesson": {"title": "lesson"},
    "welcome-message": {},
    "module-chat": {"message": "hello"},
    # Last: its plan takes the modules away that the others are about.
    "finalize-course-plan": {},
}


def ai(caller: Caller | Program, route: str, _headers: dict[str, str] | None = None, **body: Any) -> Any:
    return caller.post(f"/api/ai/{route}", body, headers=_headers)


def new_track(caller: Caller | Program, title: str = "course", **fields: Any) -> str:
    return str(caller.post("/api/tracks", {"title": title, "description": "the basics", **fields}).json["id"])


def with_modules(caller: Caller | Program, title: str = "course", **named: Any) -> dict[str, Any]:
    reply = ai(caller, "finalize-course-plan", track_id=new_track(caller, title, **named), plan=PLAN, **named)
    assert reply.status_code == 200, reply.text
    return dict(reply.json["track"])


def body_for(route: str, track: dict[str, Any]) -> dict[str, Any]:
    """A good body that is about this track or its first module, where the route can say so."""
    module = track["modules"][0]
    if route == "module-chat":
        return {**ASKING[route], "module_id": module["id"]}
    if route == "generate-lesson":
        return {"module_id": module["id"], "lesson_id": module["lessons"][0]["id"]}
    # A plan is called after the track then.
    return {"track_id": track["id"]} if route == "generate-plan" else {**ASKING[route], "track_id": track["id"]}


def system(upstream: UpstreamControl, contains: str) -> str:
    """What the model was told beside the last question that has this in it."""
    return str(upstream.journal(contains=contains)[-1]["body"]["messages"][0]["content"])
