"""Every way in which the model provider fails: what is tried again, what isn't, and that none of it costs anything."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from pymongo.database import Database
from redis import Redis

from devstack.servers import RedisServer, free_port
from devstack.upstream_control import UpstreamControl
from service.adapters import metrics
from service.adapters.redis.breaker import KEY as BREAKER_KEY
from service.adapters.redis.breaker import OPEN_SECONDS
from service.bootstrap import Container
from service.domain.errors import Unavailable
from service.domain.jobs import Job, JobStatus
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import NewActor, ask, submit, wallet

MAX_TRIES = 3
AT_ONCE = {"Retry-After": "0"}
QUOTA = {"code": "insufficient_quota", "type": "insufficient_quota", "message": "You exceeded your current quota"}

Ask = Callable[..., Job]


@pytest.fixture
def failing(db: Database, container: Container, new_actor: NewActor, question: str) -> Ask:
    """Asks, and checks that the job failed for free with this code."""

    def ask_and_fail(code: str = "UPSTREAM_ERROR", by: Container = container, **fields: Any) -> Job:
        actor = new_actor(5_000)
        job = ask(by, actor, question, **fields)
        assert (job.status, job.error_code, job.charged, job.answer) == (JobStatus.FAILED, code, 0, None)
        assert wallet(container, actor) == (5_000, 0)
        check_money(db)
        return job

    return ask_and_fail


def test_a_passing_trouble_is_tried_again(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    subtests: pytest.Subtests,
) -> None:
    actor = new_actor()
    for status in (408, 409, 429, 500, 502, 503, 504, 529):
        asked = f"{question} {status}"
        upstream.rule(contains=asked, times=MAX_TRIES - 1, status=status, headers=AT_ONCE)
        with subtests.test(status=status):
            job = ask(container, actor, asked)
            assert (job.status, job.attempt) == (JobStatus.SUCCEEDED, 1)
            assert len(upstream.journal(contains=asked)) == MAX_TRIES
    check_money(db)


@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_lasting_trouble_is_tried_three_times(
    failing: Ask, upstream: UpstreamControl, question: str, status: int
) -> None:
    upstream.rule(contains=question, status=status, headers=AT_ONCE)
    failing()
    assert len(upstream.journal(contains=question)) == MAX_TRIES


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_refused_request_is_never_tried_again(
    failing: Ask, upstream: UpstreamControl, container: Container, question: str, status: int
) -> None:
    upstream.rule(contains=question, status=status, headers=AT_ONCE)
    failing()
    assert len(upstream.journal(contains=question)) == 1
    assert container.health.check()["dependencies"]["upstream"]["status"] == "up"


@pytest.mark.parametrize("headers", [{"Retry-After-Ms": "300"}, {"Retry-After": "0.3"}])
def test_the_provider_says_how_long_to_wait(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, headers: dict
) -> None:
    upstream.rule(contains=question, times=1, status=429, headers=headers)
    ask(container, new_actor(), question)
    first, second = upstream.journal(contains=question)
    assert 0.3 <= second["started"] - first["finished"] < 3


@pytest.mark.parametrize("wish", ["-1", "inf", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_senseless_wish_is_a_usual_wait(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, wish: str
) -> None:
    upstream.rule(contains=question, times=1, status=429, headers={"Retry-After": wish})
    started = time.monotonic()
    assert ask(container, new_actor(), question).status is JobStatus.SUCCEEDED
    assert time.monotonic() - started < 3


def test_a_wish_beyond_the_deadline_is_a_failure_at_once(
    failing: Ask, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, status=429, headers={"Retry-After": "60"})
    started = time.monotonic()
    failing()
    assert time.monotonic() - started < 3
    assert len(upstream.journal(contains=question)) == 1


def test_a_connection_that_breaks_is_tried_again(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, times=1, reset=True)
    upstream.rule(contains=question, times=1, cut_after_chunks=1)
    assert ask(container, new_actor(), question).status is JobStatus.SUCCEEDED
    assert [call["outcome"] for call in upstream.journal(contains=question)] == ["reset", "reset", "answered"]
    check_money(db)


def test_a_provider_that_is_not_there_is_a_failure(failing: Ask, build: Build) -> None:
    failing(by=build(openai_base_url=f"http://127.0.0.1:{free_port()}/v1"))


def test_a_provider_that_says_nothing_is_a_time_out(
    failing: Ask, build: Build, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, delay_seconds=30)
    failing("UPSTREAM_TIMEOUT", by=build(openai_read_timeout_seconds=0.1))
    calls = upstream.wait_for_calls(MAX_TRIES, contains=question, finished=True)
    assert [call["outcome"] for call in calls] == ["disconnected"] * MAX_TRIES


def test_tries_end_with_the_deadline(failing: Ask, build: Build, upstream: UpstreamControl, question: str) -> None:
    upstream.rule(contains=question, delay_seconds=30)
    failing("UPSTREAM_TIMEOUT", by=build(openai_read_timeout_seconds=1.1, job_deadline_seconds=1))
    assert len(upstream.journal(contains=question)) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, QUOTA),
        (429, {**QUOTA, "code": None}),
        (429, {"code": "credit_balance_exhausted", "type": "billing", "message": ""}),
        (403, QUOTA),
        (401, {"code": "invalid_api_key", "type": "invalid_request_error", "message": "Incorrect API key"}),
        (401, None),
    ],
)
def test_a_refused_key_opens_the_breaker(
    failing: Ask,
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    redis: RedisServer,
    question: str,
    status: int,
    error: dict | None,
) -> None:
    upstream.rule(contains=question, status=status, error=error, headers=AT_ONCE)
    failing()
    assert len(upstream.journal(contains=question)) == 1

    actor = new_actor(5_000)
    with pytest.raises(Unavailable) as refused:
        submit(container, actor)
    assert 0 < refused.value.retry_after_seconds <= OPEN_SECONDS
    assert db.jobs.count_documents({"account_id": actor.account_id}) == 0
    assert wallet(container, actor) == (5_000, 0)
    health = container.health.check()
    assert (health["status"], health["dependencies"]["upstream"]["status"]) == ("degraded", "refusing")

    with Redis.from_url(redis.uri) as client:
        assert 0 < client.ttl(BREAKER_KEY) <= OPEN_SECONDS, "it closes by itself"
        client.delete(BREAKER_KEY)
    assert submit(container, actor).status is JobStatus.QUEUED


def test_a_rate_limit_opens_no_breaker(
    failing: Ask, container: Container, upstream: UpstreamControl, new_actor: NewActor, question: str
) -> None:
    error = {"code": "rate_limit_exceeded", "type": "requests", "message": "Slow down"}
    upstream.rule(contains=question, status=429, error=error, headers=AT_ONCE)
    failing()
    assert submit(container, new_actor()).status is JobStatus.QUEUED


def test_a_refused_key_is_followed_by_the_next(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    container = build(openai_api_key="sk-one-1111, sk-two-2222")
    upstream.rule(contains=question, times=1, status=429, error=QUOTA)
    actor = new_actor()
    assert ask(container, actor, question).status is JobStatus.SUCCEEDED
    keys = [call["authorization"] for call in upstream.journal(contains=question)]
    assert keys == ["Bearer …1111", "Bearer …2222"]
    assert submit(container, actor).status is JobStatus.QUEUED, "no breaker while a key is left"
    check_money(db)


def test_all_keys_refused_open_the_breaker(
    failing: Ask, build: Build, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    container = build(openai_api_key="sk-one-1111,sk-two-2222")
    upstream.rule(contains=question, status=401)
    failing(by=container)
    assert len(upstream.journal(contains=question)) == 2
    with pytest.raises(Unavailable):
        submit(container, new_actor())


def reply(**choice: Any) -> str:
    """A completion with this choice, as far as it is given."""
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    return json.dumps({"id": "x", "object": "chat.completion", "choices": [{"index": 0, **choice}], "usage": usage})


UNUSABLE = {
    "html": "<html>Bad gateway</html>",
    "nothing": "",
    "space": " \n",
    "a string": '"pong"',
    "null": "null",
    "a number": "1e400",
    "a list": "[]",
    "an empty object": "{}",
    "an error": '{"error": {"message": "oops"}}',
    "cut": reply(message={"content": "pong"}, finish_reason="stop")[:-20],
    "deep": "[" * 100_000,
    "no choice": '{"choices": []}',
    "choices of another kind": '{"choices": "pong"}',
    "a choice of another kind": '{"choices": ["pong"]}',
    "no message": reply(finish_reason="stop"),
    "a message of another kind": reply(message="pong", finish_reason="stop"),
    "no finish reason": reply(message={"content": "pong"}),
    "finish reason null": reply(message={"content": "pong"}, finish_reason=None),
    "finish reason of another kind": reply(message={"content": "pong"}, finish_reason=["stop"]),
    "content filter": reply(message={"content": "pong"}, finish_reason="content_filter"),
    "tool calls": reply(message={"content": "pong", "tool_calls": []}, finish_reason="tool_calls"),
    "no content": reply(message={}, finish_reason="stop"),
    "content null": reply(message={"content": None}, finish_reason="stop"),
    "content empty": reply(message={"content": ""}, finish_reason="length"),
    "content of another kind": reply(message={"content": ["pong"]}, finish_reason="stop"),
    "a refusal": reply(message={"content": None, "refusal": "I can't"}, finish_reason="stop"),
    "a refusal with a text": reply(message={"content": "pong", "refusal": "I can't"}, finish_reason="stop"),
}


def test_an_unusable_answer_is_a_failure_and_free(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    subtests: pytest.Subtests,
) -> None:
    actor = new_actor(5_000)
    for name, body in UNUSABLE.items():
        upstream.clear()
        content_type = "text/html" if name == "html" else "application/json"
        upstream.rule(contains=question, raw_body=body, content_type=content_type)
        with subtests.test(name):
            job = ask(container, actor, question)
            assert (job.status, job.error_code, job.charged) == (JobStatus.FAILED, "UPSTREAM_ERROR", 0)
    assert len(upstream.journal(contains=question)) == len(UNUSABLE)
    assert wallet(container, actor) == (5_000, 0)
    check_money(db)


@pytest.mark.parametrize("rule", [{"refusal": "I cannot"}, {"finish_reason": "content_filter"}, {"answer": ""}])
def test_an_answer_that_is_none_is_a_failure_and_free(
    failing: Ask, upstream: UpstreamControl, question: str, rule: dict
) -> None:
    upstream.rule(contains=question, **rule)
    failing()


def test_half_a_character_does_not_spoil_an_answer(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    body = reply(message={"content": "pong \ud83d"}, finish_reason="stop")
    upstream.rule(contains=question, raw_body=body, content_type="application/json")
    job = ask(container, new_actor(), question)
    assert (job.status, job.answer, job.charged) == (JobStatus.SUCCEEDED, "pong ?", 20)
    check_money(db)


def test_nobodys_words_and_keys_are_logged(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    upstream.rule(contains=question, times=1, answer="the secret answer")
    upstream.rule(contains=question, times=1, refusal="the secret refusal")
    upstream.rule(contains=question, status=401, error={"message": f"not this: {question}", "type": "t"})
    for _ in range(3):
        ask(container, new_actor(), question)
    logged = "".join(capsys.readouterr())
    assert "job settled" in logged
    for secret in (question, "secret", "sk-"):
        assert secret not in logged


@pytest.mark.parametrize("code", [{"deep": 1}, ["x"], "a sentence with the question", "x" * 41, ""])
def test_a_code_that_is_no_word_is_the_status(
    failing: Ask,
    upstream: UpstreamControl,
    question: str,
    code: object,
    capsys: pytest.CaptureFixture[str],
) -> None:
    upstream.rule(contains=question, status=418, error={"message": "no", "code": code, "type": code})
    before = errors_by_code()
    failing()
    assert errors_by_code() == {**before, "418": before.get("418", 0) + 1}
    assert "sentence" not in "".join(capsys.readouterr())


def errors_by_code() -> dict[str, float]:
    samples = [sample for metric in metrics.CALL_ERRORS.collect() for sample in metric.samples]
    return {sample.labels["code"]: sample.value for sample in samples if sample.name.endswith("_total")}


def test_codes_that_somebody_makes_up_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_CODES_SEEN", set())
    counting = metrics.Metrics()
    for number in range(2 * metrics.MOST_CODES):
        counting.upstream_call("made-up", 0.1, f"made-up-{number}")
    counting.upstream_call("made-up", 0.1, "made-up-0")
    mine = {code: count for code, count in errors_by_code().items() if code.startswith("made-up")}
    assert len(mine) == metrics.MOST_CODES
    assert mine["made-up-0"] == 2
    assert errors_by_code()["other"] == metrics.MOST_CODES
