"""Logs of the real processes: every line is an ECS object, and one id leads from a request to its callback."""

import json
from contextlib import ExitStack
from typing import Any

import pytest

from devstack.parts import Exporter, Flower, Scheduler, Web, Worker
from tests.core.receivers import receiving
from tests.stack.stack import StackUnderTest, eventually

pytestmark = pytest.mark.e2e

REQUIRED = {"@timestamp", "log.level", "message", "ecs.version", "service.name"}
Line = dict[str, Any]


@pytest.fixture(scope="module")
def logs(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one of each part wrote from its beginning to its end, by the name that its lines must have."""
    directory = tmp_path_factory.mktemp("parts")
    environment = {**stack.environment, "flower_basic_auth": "operator:password"}
    kinds = {"web": Web, "worker": Worker, "flower": Flower, "exporter": Exporter, "scheduler": Scheduler}
    parts = {}
    with ExitStack() as running:
        for name, kind in kinds.items():
            (directory / name).mkdir()
            part = running.enter_context(kind(directory / name, environment, f"{name}-to-read"))
            parts[name] = part
            eventually(part.log)
    return {name: part.log() for name, part in parts.items()}


def lines(text: str) -> list[Line]:
    """Raises for a line that is not JSON; one that is being written is left out."""
    found = []
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), start=1):
        try:
            found.append(flat(json.loads(line)))
        except ValueError as error:
            raise AssertionError(f"line {number} is not JSON: {line!r}") from error
    return found


def flat(fields: Line, prefix: str = "") -> Line:
    """ECS fields by their dotted names, however they are nested."""
    result: Line = {}
    for name, value in fields.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return result


@pytest.mark.parametrize("part", ["web", "worker", "scheduler", "flower", "exporter"])
def test_every_line_is_an_ecs_object(logs: dict[str, str], part: str) -> None:
    written = lines(logs[part])
    for line in written:
        assert set(line) >= REQUIRED, line
        assert line["service.name"] == part, line


def test_one_id_leads_from_the_request_to_its_callback(stack: StackUnderTest) -> None:
    person = stack.register()
    with receiving() as receiver:
        body = {"message": "follow me", "callbackUrl": receiver.url}
        reply = person.call("POST", "/api/chat", json=body, headers={"X-Request-Id": "ours is another"})
        assert reply.status_code == 202
        request_id, job_id = reply.headers["X-Request-Id"], reply.json()["jobId"]
        eventually(lambda: receiver.heard)

    def of_request() -> list[Line] | None:
        # These processes have a past: some were killed in the middle of a line.
        written = [
            line for part in (stack.web, *stack.workers) for line in part.log().splitlines() if request_id in line
        ]
        found = lines("".join(f"{line}\n" for line in written))
        mine = sorted((line for line in found if line.get("request_id") == request_id), key=lambda x: x["@timestamp"])
        return mine if any(line["message"] == "delivery ended" for line in mine) else None

    story = eventually(of_request) or []
    assert story[0]["service.name"] == "web"
    assert {line["service.name"] for line in story} == {"web", "worker"}
    access = next(line for line in story if line["message"] == "request")
    assert (access["http.route"], access["http.response.status_code"]) == ("/api/chat", 202)
    delivered = next(line for line in story if line["message"] == "delivery ended")
    assert (delivered["outcome"], delivered["job_id"]) == ("delivered", job_id)
    assert any(line.get("job_id") == job_id and line["message"] == "job settled" for line in story), story
    assert "follow me" not in json.dumps(story)
