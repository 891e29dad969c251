"""A job as Server-Sent Events."""

import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from pymongo.database import Database
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
    assert chunk == (13, "chunk", {"content": "первая\nвторая"})
    assert done[:2] == (14, "done")
    assert done[2]["usage"]["totalTokens"] == 7
    assert (done[2]["charged"], done[2]["currentBalance"], done[2]["finishReason"]) == (7, 100_000 - 7, "stop")


WHOLE = [(13, "первая\nвторая"), (14, None)]


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("", {"Last-Event-ID": "0"}, WHOLE),
        ("", {"Last-Event-ID": "1"}, [(13, "ервая\nвторая"), (14, None)]),
        ("", {"Last-Event-ID": "12"}, [(13, "я"), (14, None)]),
        ("", {"Last-Event-ID": "13"}, [(14, None)]),
        ("", {"Last-Event-ID": "14"}, []),
        ("", {"Last-Event-ID": "20"}, [(21, None)]),
        ("?after=0", {}, WHOLE),
        ("?after=13", {}, [(14, None)]),
        ("?after=14", {}, []),
        ("?after=0", {"Last-Event-ID": "13"}, WHOLE),
        ("", {"Last-Event-ID": "nonsense"}, WHOLE),
        ("", {"Last-Event-ID": "-1"}, WHOLE),
        ("", {"Last-Event-ID": "9" * 400}, WHOLE),
    ],
)
def test_a_reconnect_brings_what_was_not_seen(
    user: Caller, finished: str, query: str, headers: dict[str, str], expected: list[tuple[int, str | None]]
) -> None:
    events = parse(follow(user, finished, query, **headers).text)
    assert [(event[0], event[2].get("content")) for event in events] == expected


def test_ten_minutes_after_the_end_it_comes_alone(db: Database, user: Caller, finished: str) -> None:
    job = db.jobs.find_one({"_id": finished})
    for minutes, events in ((9, ["chunk", "done"]), (11, ["done"])):
        earlier = job["finished_at"] - timedelta(minutes=minutes)
        db.jobs.update_one({"_id": finished}, {"$set": {"finished_at": earlier}})
        assert [event[:2] for event in parse(follow(user, finished).text)][-1] == (14, "done")
        assert [event[1] for event in parse(follow(user, finished).text)] == events


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


def test_a_stream_is_counted_and_has_no_size(user: Caller, finished: str) -> None:
    def counted(metric: str) -> list[str]:
        label = '{route="/api/chat/jobs/<job_id>/events"}'
        return [line for line in user.get("/metrics").text.splitlines() if line.startswith(f"{metric}_count{label}")]

    before = counted("http_request_duration_seconds"), counted("http_response_size_bytes")
    assert follow(user, finished).text
    after = counted("http_request_duration_seconds"), counted("http_response_size_bytes")
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_a_question_may_ask_for_the_stream_itself(
    user: Caller, container: Container, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong", hold="gate")
    reply = user.post("/api/chat", {"message": "ping"}, headers={"Accept": "text/event-stream"})
    assert reply.content_type.startswith("text/event-stream")
    job_id = user.get("/api/chat/jobs").json["jobs"][0]["jobId"]
    assert (reply.headers["X-Job-Id"], reply.headers["Location"]) == (job_id, f"/api/chat/jobs/{job_id}")
    upstream.release("gate")
    container.run(job_id)
    assert [event[1] for event in parse(reply.text)] == ["chunk", "done"]
    assert upstream.journal()[-1]["body"]["stream"] is True, "it is written for somebody who watches"


def test_a_question_may_be_continued_where_its_stream_broke(
    user: Caller, container: Container, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    headers = {"Accept": "text/event-stream", "Idempotency-Key": "once"}
    reply = user.post("/api/chat", {"message": "ping"}, headers=headers)
    container.run(reply.headers["X-Job-Id"])
    reply.close()
    again = user.post("/api/chat", {"message": "ping"}, headers={**headers, "Last-Event-ID": "2"})
    assert again.headers["X-Job-Id"] == reply.headers["X-Job-Id"]
    assert [event[2].get("content") for event in parse(again.text)] == ["ng", None]


def test_what_was_shown_of_a_failed_answer_stays(user: Caller, container: Container, upstream: UpstreamControl) -> None:
    upstream.rule(answer="one two three", cut_after_chunks=2)
    job_id = user.post("/api/chat", {"message": "ping", "stream": True}).json["jobId"]
    container.run(job_id)
    job = user.get(f"/api/chat/jobs/{job_id}").json
    assert (job["status"], job["message"], job["charged"]) == ("failed", "one two ", 0)
    assert "context" not in job
    chunk, error = parse(follow(user, job_id).text)
    assert chunk == (8, "chunk", {"content": "one two "})
    assert (error[0], error[1], error[2]["code"]) == (9, "error", "UPSTREAM_ERROR")


def test_a_client_that_takes_anything_gets_json(user: Caller) -> None:
    reply = user.post("/api/chat", {"message": "ping"}, headers={"Accept": "*/*"})
    assert reply.status_code == 202
