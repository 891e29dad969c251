"""A job as Server-Sent Events."""

import json
import threading
from typing import Any

import pytest
from werkzeug.test import TestResponse

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import Caller


def parse(stream: str) -> list[tuple[int, str, dict[str, Any]]]:
    """The events of a stream; comments and `retry` are left out."""
    events = []
    for block in stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def follow(caller: Caller, job_id: str, query: str = "", **headers: str) -> TestResponse:
    return caller.get(f"/api/chat/jobs/{job_id}/events{query}", headers=headers)


@pytest.fixture
def finished(user: Caller, container: Container, upstream: UpstreamControl) -> str:
    """The id of a job that was answered with two lines."""
    upstream.rule(answer="первая\nвторая", usage={"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7})
    job_id = str(user.post("/api/chat", {"message": "ping"}).json["jobId"])
    container.run(job_id)
    return job_id


def test_a_finished_job_is_a_chunk_and_done(user: Caller, finished: str) -> None:
    reply = follow(user, finished)
    assert reply.status_code == 200
    assert reply.content_type == "text/event-stream; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Accel-Buffering"] == "no"
    chunk, done = parse(reply.text)
    assert chunk == (1, "chunk", {"content": "первая\nвторая"})
    assert done[:2] == (2, "done")
    assert done[2]["usage"]["totalTokens"] == 7
    assert (done[2]["charged"], done[2]["currentBalance"], done[2]["finishReason"]) == (7, 100_000 - 7, "stop")


@pytest.mark.parametrize(
    ("query", "headers", "ids"),
    [
        ("", {"Last-Event-ID": "0"}, [1, 2]),
        ("", {"Last-Event-ID": "1"}, [2]),
        ("", {"Last-Event-ID": "2"}, []),
        ("?after=0", {}, [1, 2]),
        ("?after=1", {}, [2]),
        ("?after=7", {}, []),
        ("?after=0", {"Last-Event-ID": "1"}, [1, 2]),
        ("", {"Last-Event-ID": "nonsense"}, [1, 2]),
        ("", {"Last-Event-ID": "-1"}, [1, 2]),
        ("", {"Last-Event-ID": "9" * 400}, [1, 2]),
    ],
)
def test_a_reconnect_brings_what_was_not_seen(
    user: Caller, finished: str, query: str, headers: dict[str, str], ids: list[int]
) -> None:
    assert [event[0] for event in parse(follow(user, finished, query, **headers).text)] == ids


@pytest.mark.parametrize("after", ["-1", "x", "1.5"])
def test_after_is_a_count(user: Caller, finished: str, after: str) -> None:
    assert follow(user, finished, f"?after={after}").status_code == 400


def test_a_failed_job_is_an_error(user: Caller, container: Container, upstream: UpstreamControl) -> None:
    upstream.rule(status=400, error={"type": "invalid_request_error", "code": "bad", "message": "no"})
    job_id = user.post("/api/chat", {"message": "ping"}).json["jobId"]
    container.run(job_id)
    (event,) = parse(follow(user, job_id, **{"Accept-Language": "en"}).text)
    assert event[1] == "error"
    assert event[2]["code"] == "UPSTREAM_ERROR"
    assert event[2]["message"].startswith("The model provider")


def test_a_cancelled_job_is_done(user: Caller) -> None:
    job_id = user.post("/api/chat", {"message": "ping"}).json["jobId"]
    user.post(f"/api/chat/jobs/{job_id}/cancel")
    (event,) = parse(follow(user, job_id).text)
    assert (event[1], event[2]["status"], event[2]["charged"]) == ("done", "cancelled", 0)


def test_a_running_job_is_followed_to_its_end(user: Caller, container: Container, upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong", hold="gate")
    job_id = user.post("/api/chat", {"message": "ping"}).json["jobId"]
    worker = threading.Thread(target=container.run, args=[job_id])
    worker.start()
    upstream.wait_for_calls(1, contains="ping")
    reply = follow(user, job_id)
    pieces = reply.response
    assert next(iter(pieces)).startswith(b"retry:")
    upstream.release("gate")
    rest = b"".join(pieces).decode()
    worker.join()
    assert [event[1] for event in parse(rest)] == ["chunk", "done"]


def test_a_question_may_ask_for_the_stream_itself(
    user: Caller, container: Container, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong", hold="gate")
    reply = user.post("/api/chat", {"message": "ping"}, headers={"Accept": "text/event-stream"})
    assert reply.content_type.startswith("text/event-stream")
    job_id = user.get("/api/chat/jobs").json["jobs"][0]["jobId"]
    upstream.release("gate")
    container.run(job_id)
    assert [event[1] for event in parse(reply.text)] == ["chunk", "done"]


def test_a_client_that_takes_anything_gets_json(user: Caller) -> None:
    reply = user.post("/api/chat", {"message": "ping"}, headers={"Accept": "*/*"})
    assert reply.status_code == 202
