"""`/v1` over HTTP: what is asked, answered and charged. The SDK itself is tried on a whole stack."""

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.database import Database
from werkzeug.test import TestResponse

from devstack.upstream_control import UpstreamControl
from service.adapters.tokenizer import count_tokens
from service.bootstrap import Container
from service.domain.jobs import JobStatus
from service.usecases.ports import JobQuery
from tests.api.completions import ROOT, USAGE, create, data, error
from tests.api.conftest import Caller, Program


@pytest.fixture
def worker(container: Container) -> Any:
    """Runs what is queued until the test ends."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            for job in container.admin.jobs(ROOT, JobQuery(status=JobStatus.QUEUED, limit=100)).items:
                container.run(job.id)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


@pytest.mark.usefixtures("worker")
def test_a_prompt_goes_to_the_provider_as_it_is(user: Caller, upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong", usage=USAGE)
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "first "}, {"type": "text", "text": "question"}]},
        {"role": "assistant", "content": "an answer", "name": "robot"},
        {"role": "user", "content": "hello there"},
    ]
    schema = {"$defs": {"a.b": {"type": "string"}}, "$ref": "#/$defs/a.b"}
    options = {
        "top_p": 0.5,
        "frequency_penalty": -1,
        "presence_penalty": 1.5,
        "seed": 42,
        "stop": ["END", "\n\n"],
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        "reasoning_effort": "low",
    }
    reply = create(user, messages=messages, temperature=0.2, max_tokens=77, **options)
    assert reply.status_code == 200, reply.text
    body = upstream.journal(contains="hello there")[-1]["body"]
    assert {name: body.get(name) for name in options} == options
    assert (body["temperature"], body["max_completion_tokens"], body["model"]) == (0.2, 77, "gpt-6-luna")
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first question"},
        {"role": "assistant", "content": "an answer"},
        {"role": "user", "content": "hello there"},
    ]


@pytest.mark.usefixtures("worker")
def test_the_answer_is_a_completion(user: Caller, upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong", usage=USAGE, finish_reason="length")
    reply = create(user, model="gpt-4o-mini")
    job_id = reply.headers["X-Job-Id"]
    assert reply.json == {
        "id": f"chatcmpl-{job_id}",
        "object": "chat.completion",
        "created": reply.json["created"],
        "model": "gpt-4o-mini",
        "system_fingerprint": None,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "pong", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": USAGE,
    }
    job = user.get(f"/api/chat/jobs/{job_id}").json
    assert (job["charged"], job["message"]) == (38, "pong")
    assert user.get("/api/billing").json["currentBalance"] == 100_000 - 38


@pytest.mark.usefixtures("worker")
def test_nothing_is_saved_to_the_dialog(user: Caller, upstream: UpstreamControl, container: Container) -> None:
    upstream.rule(answer="pong")
    assert create(user).status_code == 200
    assert user.get("/api/context").status_code == 404
    kept = [{"role": "user", "content": "kept"}, {"role": "assistant", "content": "so"}]
    user.post("/api/context", {"context": kept})
    assert create(user, messages=[{"role": "user", "content": "by itself"}]).status_code == 200
    assert user.get("/api/context").json["context"] == kept
    assert len(upstream.journal(contains="by itself")[-1]["body"]["messages"]) == 1


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("include_usage", [True, False])
def test_a_stream_is_chunks(user: Caller, upstream: UpstreamControl, include_usage: bool) -> None:
    upstream.rule(answer="Раз два три", usage=USAGE)
    reply = create(user, stream=True, stream_options={"include_usage": include_usage})
    assert reply.content_type == "text/event-stream; charset=utf-8"
    first, *middle, last = data(reply)
    if include_usage:
        assert (last["choices"], last["usage"]) == ([], USAGE)
        last = middle.pop()
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in middle) == "Раз два три"
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"]) == ({}, "stop")
    for chunk in (first, *middle, last):
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["id"] == f"chatcmpl-{reply.headers['X-Job-Id']}"
        assert chunk.get("usage", "absent") == (None if include_usage else "absent")


@pytest.mark.usefixtures("worker")
def test_a_failure_before_the_first_piece_has_a_status_and_a_later_one_an_event(
    user: Caller, upstream: UpstreamControl
) -> None:
    upstream.rule(contains="early", status=400)
    upstream.rule(contains="late", answer="one two three", cut_after_chunks=2)
    early = create(user, stream=True, messages=[{"role": "user", "content": "early"}])
    assert (early.status_code, error(early)["code"]) == (500, "upstream_error")
    late = create(user, stream=True, messages=[{"role": "user", "content": "late"}])
    assert late.status_code == 200
    lines = [json.loads(line.removeprefix("data: ")) for line in late.text.splitlines() if line.startswith("data: ")]
    assert lines[-1]["error"]["code"] == "upstream_error"
    assert "[DONE]" not in late.text
    assert user.get("/api/billing").json["currentBalance"] == 100_000


@pytest.mark.usefixtures("worker")
def test_a_failed_answer_is_not_to_be_asked_for_again_by_the_sdk(user: Caller, upstream: UpstreamControl) -> None:
    upstream.rule(status=400)
    reply = create(user)
    assert (reply.status_code, error(reply)["type"], error(reply)["code"]) == (500, "server_error", "upstream_error")
    assert reply.headers["x-should-retry"] == "false"
    assert error(reply)["jobId"] == reply.json["error"]["jobId"]


@pytest.mark.parametrize("stream", [True, False])
def test_a_cancel_is_an_error_to_who_waits(
    user: Caller, container: Container, upstream: UpstreamControl, stream: bool
) -> None:
    replies: list[TestResponse] = []
    waiter = threading.Thread(target=lambda: replies.append(create(user, stream=stream)))
    waiter.start()
    while not (jobs := user.get("/api/chat/jobs").json["jobs"]):
        pass
    user.post(f"/api/chat/jobs/{jobs[0]['jobId']}/cancel")
    waiter.join()
    assert (replies[0].status_code, error(replies[0])["code"]) == (409, "job_cancelled")
    assert replies[0].headers["x-should-retry"] == "false"


@pytest.mark.usefixtures("worker")
def test_what_asks_for_the_usual_is_taken(user: Caller, upstream: UpstreamControl) -> None:
    harmless = {
        "n": 1,
        "tools": [],
        "tool_choice": "none",
        "parallel_tool_calls": True,
        "logprobs": False,
        "logit_bias": {},
        "modalities": ["text"],
        "service_tier": "auto",
        "store": False,
        "user": "somebody",
        "safety_identifier": "x",
        "prompt_cache_key": "y",
        "metadata": {"order": 7},
        "unheard_of": {"a": 1},
    }
    reply = create(user, **harmless)
    assert reply.status_code == 200, reply.text
    job = user.get(f"/api/chat/jobs/{reply.headers['X-Job-Id']}").json
    assert job["metadata"] == {"order": 7}
    nothing = dict.fromkeys(["temperature", "top_p", "stop", "seed", "max_tokens", "stream", "stream_options", "n"])
    nothing |= dict.fromkeys(["response_format", "reasoning_effort", "metadata", "user", "userId", "tools"])
    assert create(user, **nothing).status_code == 200


def test_the_hold_covers_messages_schema_and_the_longest_answer(user: Caller, container: Container) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"description": "long " * 200}}}
    threading.Thread(target=create, args=(user,), kwargs={"max_tokens": 500, "response_format": schema}).start()
    while not (jobs := container.jobs.page(ROOT, JobQuery(account_id=user.id)).items):
        pass
    (job,) = jobs
    assert job.prompt_tokens >= count_tokens(json.dumps(schema)) + count_tokens("hello")
    assert job.hold == job.prompt_tokens + 500
    container.jobs.cancel(ROOT, job.id)


@pytest.mark.usefixtures("worker")
def test_the_same_key_is_the_same_job(user: Caller, upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong", usage=USAGE)
    once = {"Idempotency-Key": "once"}
    first = create(user, headers=once)
    again = create(user, headers={**once, "x-stainless-retry-count": "1"})
    assert first.json == again.json
    assert user.get("/api/billing").json["currentBalance"] == 100_000 - 38
    other = create(user, headers=once, messages=[{"role": "user", "content": "something else"}])
    assert (other.status_code, error(other)["code"]) == (409, "idempotency_mismatch")
    assert other.headers["x-should-retry"] == "false"


@pytest.mark.usefixtures("worker")
def test_a_repeated_stream_is_whole_however_late_it_comes(
    db: Database, user: Caller, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    once = {"Idempotency-Key": "once"}
    first = create(user, headers=once, stream=True)
    assert len(data(first)) == 3
    db.jobs.update_one({"_id": first.headers["X-Job-Id"]}, {"$set": {"finished_at": datetime(2026, 1, 1, tzinfo=UTC)}})
    assert data(create(user, headers=once, stream=True)) == data(first)


@pytest.mark.usefixtures("worker")
def test_a_program_may_ask_for_its_end_user(program: Program, user: Caller, upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong", usage=USAGE)
    program.post("/api/billing/topup", {"userId": "4242", "amount": 5_000})
    assert create(program, userId="4242").status_code == 200
    assert program.get("/api/billing?userId=4242").json["currentBalance"] == 5_000 - 38
    assert create(program, userId="4343").status_code == 402
    assert create(program, user="4343").status_code == 200, "`user` pays nothing"
    assert user.get("/api/billing").json["currentBalance"] == 100_000 - 38


def test_models_are_listed_with_what_answers(user: Caller) -> None:
    listed = user.get("/v1/models").json
    models = {model["id"]: model for model in listed["data"]}
    assert listed["object"] == "list"
    assert {"default", "gpt-6-luna", "gpt-4o-mini", "gpt-3.5-turbo"} <= models.keys()
    assert list(models) == sorted(models)
    assert models["gpt-4-turbo"]["answered_by"] == "gpt-5.6-sol", "its own end of life has come"
    assert models["default"]["answered_by"] == "gpt-6-luna"
    assert user.get("/v1/models/gpt-4-turbo").json == models["gpt-4-turbo"]
