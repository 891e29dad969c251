"""`/api/tracks` over HTTP: snake_case out, either case in."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from tests.api.conftest import Caller, NewCaller, Program
from tests.core.support import plan_of

TRACKS = "/api/tracks"
TRACK: dict[str, Any] = {
    "title": "Python с нуля",
    "description": "Основы",
    "skill_area": "Программирование",
    "difficulty_level": "intermediate",
    "estimated_duration_hours": 12.5,
    "user_expectations": "Отчёты",
}
FIELDS = {*TRACK, "id", "user_id", "status", "progress", "created_at", "updated_at"}


def as_actor(caller: Caller) -> Actor:
    return Actor(account_id=caller.id, role=Role.USER, request_id="test-request")


def test_a_track_is_made_listed_read_changed_and_deleted(user: Caller, container: Container) -> None:
    made = user.post(TRACKS, TRACK)
    assert made.status_code == 201, made.text
    assert made.json.keys() == FIELDS | {"modules"}
    assert {name: made.json[name] for name in TRACK} == TRACK
    assert (made.json["status"], made.json["progress"], made.json["modules"]) == ("active", 0, [])
    path = f"{TRACKS}/{made.json['id']}"

    listed = user.get(TRACKS).json
    assert listed == {"tracks": [{key: made.json[key] for key in FIELDS}], "total": 1, "page": 1, "limit": 20}

    changed = user.call("PUT", path, json={"estimatedDurationHours": 20, "status": "archived", "progress": 100})
    assert changed.status_code == 200
    assert (changed.json["estimated_duration_hours"], changed.json["status"], changed.json["progress"]) == (
        20,
        "archived",
        0,
    )
    assert changed.json["title"] == TRACK["title"]
    assert user.get(f"{TRACKS}?status=active").json["total"] == 0

    modules = container.tracks.adopt(as_actor(user), made.json["id"], plan_of("a", "b")).modules
    container.tracks.complete(as_actor(user), modules[1].id)
    read = user.get(path).json
    assert read["progress"] == 50
    assert [(module["title"], module["position"], module["status"]) for module in read["modules"]] == [
        ("a", 0, "pending"),
        ("b", 1, "completed"),
    ]
    assert read["modules"][0].keys() == {"id", "title", "description", "position", "status", "lessons"}
    assert read["modules"][0]["lessons"] == [
        {"id": modules[0].lessons[0].id, "title": "a 0", "description": "", "duration_minutes": 30}
    ]

    assert user.call("DELETE", path).status_code == 204
    assert [user.call(method, path).status_code for method in ("GET", "PUT", "DELETE")] == [404] * 3


def test_either_case_and_a_form_are_taken(user: Caller) -> None:
    camel = {"title": "x", "skillArea": "y", "difficultyLevel": "advanced", "estimatedDurationHours": 1}
    made = user.post(TRACKS, camel).json
    assert (made["skill_area"], made["difficulty_level"], made["estimated_duration_hours"]) == ("y", "advanced", 1)
    form = user.call("POST", TRACKS, data={"title": "x", "estimated_duration_hours": "2.5"})
    assert (form.status_code, form.json["estimated_duration_hours"]) == (201, 2.5)


def test_a_title_is_enough(user: Caller) -> None:
    made = user.post(TRACKS, {"title": "x", "unknown": {"a": 1}, "progress": 99, "id": "mine"}).json
    assert (made["difficulty_level"], made["estimated_duration_hours"], made["progress"]) == ("beginner", None, 0)
    assert made["id"] != "mine"


BAD: list[tuple[str, Any]] = [
    ("title", ""),
    ("title", 5),
    ("title", None),
    ("title", "x" * 201),
    ("description", ["x"]),
    ("description", "x" * 5001),
    ("skill_area", {}),
    ("difficulty_level", "hard"),
    ("difficulty_level", 1),
    ("estimated_duration_hours", 0),
    ("estimated_duration_hours", -1),
    ("estimated_duration_hours", 10_001),
    ("estimated_duration_hours", "ten"),
    ("estimated_duration_hours", True),
    ("user_expectations", 7),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_field_is_named(user: Caller, field: str, value: Any) -> None:
    refused = user.post(TRACKS, {**TRACK, field: value})
    assert (refused.status_code, list(refused.json["details"])) == (400, [field])
    path = f"{TRACKS}/{user.post(TRACKS, TRACK).json['id']}"
    refused = user.call("PUT", path, json={field: value})
    assert (refused.status_code, list(refused.json["details"])) == (400, [field])
    read = user.get(path).json
    assert {name: read[name] for name in TRACK} == TRACK


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=10001", "limit=0", "limit=101", "status=done"])
def test_a_bad_page_is_named(user: Caller, query: str) -> None:
    refused = user.get(f"{TRACKS}?{query}")
    assert (refused.status_code, list(refused.json["details"])) == (400, [query.split("=")[0]])


def test_without_a_title_there_is_no_track(user: Caller) -> None:
    refused = user.post(TRACKS, {"description": "x"}, headers={"Accept-Language": "en"})
    assert (refused.status_code, refused.json["details"]) == (400, {"title": ["This field is required."]})


def test_guests_have_tracks_too(client: FlaskClient) -> None:
    token = client.post("/api/auth/guest-login").json["token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post(TRACKS, json=TRACK, headers=headers).status_code == 201
    assert client.get(TRACKS, headers=headers).json["total"] == 1
    assert client.get(TRACKS).status_code == 401


def test_a_program_names_its_end_user(program: Program, program_for: Callable[..., Program], user: Caller) -> None:
    made = program.post(TRACKS, {**TRACK, "user_id": "4242"})
    assert (made.status_code, made.json["user_id"]) == (201, "4242")
    assert program.get(f"{TRACKS}?user_id=4242").json["total"] == 1
    assert program.get(f"{TRACKS}?userId=4242").json["total"] == 1
    assert program.get(TRACKS).json["total"] == 0
    path = f"{TRACKS}/{made.json['id']}"
    assert program.get(path).json["user_id"] == "4242"
    assert program_for(user).get(path).status_code == user.get(path).status_code == 403
    assert program_for(user, ["billing:read"]).get(path).status_code == 403


def test_a_module_is_completed(user: Caller, register: NewCaller, container: Container) -> None:
    track_id = user.post(TRACKS, TRACK).json["id"]
    first, second = container.tracks.adopt(as_actor(user), track_id, plan_of("a", "b")).modules
    for body in ({"module_id": first.id}, {"moduleId": first.id}):
        done = user.post("/api/ai/module-complete", body)
        assert done.status_code == 200, done.text
        assert (done.json["module"]["id"], done.json["module"]["status"]) == (first.id, "completed")
        assert (done.json["track"]["id"], done.json["track"]["progress"]) == (track_id, 50)
    assert register().post("/api/ai/module-complete", {"module_id": second.id}).status_code == 403
    assert user.post("/api/ai/module-complete", {"module_id": second.id}).json["track"]["status"] == "completed"
    assert user.post("/api/ai/module-complete", {"module_id": "unknown"}).status_code == 404
    for bad in ({}, {"module_id": 5}, {"module_id": ""}):
        refused = user.post("/api/ai/module-complete", bad)
        assert (refused.status_code, list(refused.json["details"])) == (400, ["module_id"])


def test_a_strangers_track_is_403(user: Caller, register: NewCaller, admin: Caller) -> None:
    path = f"{TRACKS}/{user.post(TRACKS, TRACK).json['id']}"
    stranger = register()
    assert [stranger.call(method, path).status_code for method in ("GET", "PUT", "DELETE")] == [403] * 3
    assert stranger.get(f"{TRACKS}?user_id={user.id}").status_code == 403
    assert stranger.post(TRACKS, {**TRACK, "userId": user.id}).status_code == 403
    assert admin.get(path).json["user_id"] == user.id
    assert admin.post(TRACKS, {**TRACK, "user_id": user.id}).json["user_id"] == user.id
    assert user.get(TRACKS).json["total"] == 2
