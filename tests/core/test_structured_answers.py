"""Answers that programs read: asked for by their schema, taken only if they are valid, and free if there is none."""

import json
from collections.abc import Iterator

import gevent
import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.api.sockets.frames import last
from service.bootstrap import Container
from service.domain import structured
from service.domain.errors import Unavailable
from service.domain.jobs import Job, JobStatus
from service.domain.webhooks import Delivery, EventType
from service.usecases.follow import Ended
from service.usecases.ports import ChatAnswer, ChatRequest
from service.usecases.webhook_messages import event
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import ROOT, NewActor, ask, runner_with, submit, wallet
from tests.core.test_upstream_requests import bodies

TOKENS = 50_000
USAGE = {"prompt_tokens": 300, "completion_tokens": 100, "total_tokens": 400}
ASSISTANTS = {"planner": "plan", "lesson": "lesson", "welcome": "welcome"}


@pytest.fixture
def odd_assistant(db: Database) -> Iterator[str]:
    """One whose format nobody knows."""
    db.assistants.insert_one({**db.assistants.find_one({"_id": "planner"}), "_id": "odd", "response_format": "poem"})
    yield "odd"
    db.assistants.delete_one({"_id": "odd"})


@pytest.mark.parametrize("assistant", ASSISTANTS)
def test_an_answer_is_the_object_that_was_asked_for(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, assistant: str
) -> None:
    job = ask(container, new_actor(TOKENS), question, assistant=assistant)

    assert (job.status, job.output_format) == (JobStatus.SUCCEEDED, ASSISTANTS[assistant])
    assert job.result is not None
    assert job.result == structured.parse(ASSISTANTS[assistant], job.answer or "")
    assert question in (job.answer or "")
    (body,) = bodies(upstream, question)
    assert body["response_format"] == structured.options(ASSISTANTS[assistant])["response_format"]
    check_money(db)


def test_a_plain_answer_is_asked_for_in_no_format(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    job = ask(container, new_actor(), question)
    assert (job.output_format, job.result) == (None, None)
    assert "response_format" not in bodies(upstream, question)[0]


def test_the_schema_counts_in_the_prompt(container: Container, db: Database, new_actor: NewActor) -> None:
    personas = {name: db.assistants.find_one({"_id": name})["persona"] for name in ("planner", "tutor")}
    db.assistants.update_one({"_id": "planner"}, {"$set": {"persona": personas["tutor"]}})
    try:
        fresh = submit(container, new_actor(TOKENS), "topic", assistant="tutor")
        shaped = submit(container, new_actor(TOKENS), "topic", assistant="planner")
    finally:
        db.assistants.update_one({"_id": "planner"}, {"$set": {"persona": personas["planner"]}})
    # The catalog is remembered for some seconds, so the personas may still differ; the schema alone is 200 and more.
    schema_tokens = container.run._count(json.dumps(structured.options("plan")["response_format"]))
    persona_tokens = max(container.run._count(persona) for persona in personas.values())
    assert shaped.prompt_tokens - fresh.prompt_tokens > schema_tokens - persona_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_of_it_is_shown_before_its_end(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, stream: bool
) -> None:
    job = ask(container, new_actor(TOKENS), question, assistant="planner", stream=stream)
    assert (job.status, job.stream) == (JobStatus.SUCCEEDED, False)
    assert "stream" not in bodies(upstream, question)[0]


@pytest.mark.parametrize("wrong", ["Вот ваш план!", "{", '{"title": "x"}', '{"title": "x", "modules": []}', ""])
def test_an_invalid_answer_is_asked_for_once_more_and_only_the_valid_one_is_charged(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, wrong: str
) -> None:
    actor = new_actor(TOKENS)
    dear = {**USAGE, "completion_tokens": 3_000, "total_tokens": 3_300}
    upstream.rule(contains=question, times=1, answer=wrong, usage=dear)
    upstream.rule(contains=question, usage=USAGE)

    job = ask(container, actor, question, assistant="planner")

    assert (job.status, job.attempt, job.charged) == (JobStatus.SUCCEEDED, 1, 400)
    first, second = bodies(upstream, question)
    assert first == second
    assert wallet(container, actor) == (TOKENS - 400, 0)
    check_money(db)


@pytest.mark.parametrize(
    ("rule", "reason", "calls"),
    [
        ({"answer": "no JSON"}, "invalid_answer", 2),
        ({"answer": '{"title": "x"}'}, "invalid_answer", 2),
        ({"answer": ""}, "invalid_answer", 2),
        ({"refusal": "I can't help with that."}, "refused", 1),
        ({"finish_reason": "content_filter"}, "refused", 1),
        ({"finish_reason": "length"}, "truncated", 1),
        ({"answer": "", "finish_reason": "length"}, "truncated", 1),
    ],
)
def test_what_is_no_answer_in_the_end_fails_for_free_and_says_why(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    rule: dict,
    reason: str,
    calls: int,
) -> None:
    actor = new_actor(TOKENS)
    upstream.rule(contains=question, usage=USAGE, **rule)
    job = ask(container, actor, question, assistant="planner")
    assert (job.status, job.error_code, job.error_reason) == (JobStatus.FAILED, "UPSTREAM_ERROR", reason)
    assert (job.charged, job.answer, job.result) == (0, None, None)
    assert len(bodies(upstream, question)) == calls
    assert wallet(container, actor) == (TOKENS, 0)
    check_money(db)


def test_the_second_answer_may_be_refused(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, times=1, answer="no JSON")
    upstream.rule(contains=question, refusal="No.")
    job = ask(container, new_actor(TOKENS), question, assistant="planner")
    assert (job.error_reason, len(bodies(upstream, question))) == ("refused", 2)


def test_an_answer_that_the_output_limit_cuts_is_truncated(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    """By the stand-in's own count of what may be written."""
    upstream.rule(contains=question, answer="word " * 7_000)
    job = ask(container, new_actor(TOKENS), question, assistant="planner")
    assert (job.error_reason, len(bodies(upstream, question))) == ("truncated", 1)


class NeverRight:
    """A provider that answers nonsense after so many seconds, and waits as a worker's calls do under gevent."""

    def __init__(self, seconds: float) -> None:
        self.calls = 0
        self._seconds = seconds

    def answer(self, request: ChatRequest) -> ChatAnswer:
        self.calls += 1
        gevent.sleep(self._seconds)
        return ChatAnswer("no JSON", "stop", None)


@pytest.mark.parametrize(("seconds", "code", "calls"), [(0.05, "UPSTREAM_ERROR", 2), (0.7, "UPSTREAM_TIMEOUT", 2)])
def test_both_tries_share_one_deadline(
    build: Build, db: Database, new_actor: NewActor, seconds: float, code: str, calls: int
) -> None:
    container, actor, provider = build(job_deadline_seconds=1), new_actor(TOKENS), NeverRight(seconds)
    job = submit(container, actor, assistant="planner")
    runner_with(container, provider)(job.id)
    done = container.jobs.get(actor, job.id)
    assert (done.status, done.error_code, done.charged, provider.calls) == (JobStatus.FAILED, code, 0, calls)
    check_money(db)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("rule", "reason"), [({"refusal": "No."}, "refused"), ({"status": 400}, None), ({"answer": ""}, "invalid_answer")]
)
def test_a_plain_answer_that_fails_says_why_too_and_is_not_asked_for_again(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    rule: dict,
    reason: str | None,
    stream: bool,
) -> None:
    upstream.rule(contains=question, **rule)
    job = ask(container, new_actor(), question, stream=stream)
    assert (job.status, job.error_code, job.error_reason) == (JobStatus.FAILED, "UPSTREAM_ERROR", reason)
    assert len(bodies(upstream, question)) == 1


def test_receivers_get_the_object_or_the_reason(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, times=1, refusal="No.")
    for _ in range(2):
        job = ask(container, new_actor(TOKENS), question, assistant="lesson")
        now = job.created_at
        delivery = Delivery("id", job.account_id, EventType.JOB_SUCCEEDED, "d", "https://example.com", now, now)
        data = event(delivery, job).data
        if job.status is JobStatus.FAILED:
            assert (data["error"]["reason"], "result" in data) == ("refused", False)
            frame = json.loads(last(Ended(1, job), "en"))
            assert (frame["type"], frame["code"], frame["reason"]) == ("error", "UPSTREAM_ERROR", "refused")
    assert job.result is not None
    assert data["result"] == job.result


def test_an_assistant_with_an_unknown_format_accepts_nothing(
    container: Container, db: Database, new_actor: NewActor, odd_assistant: str
) -> None:
    with pytest.raises(Unavailable):
        submit(container, new_actor(TOKENS), assistant=odd_assistant)
    assert db.jobs.count_documents({}) == 0


def test_outcomes_are_counted(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    def counted(outcome: str) -> float:
        sample = f'llm_structured_answers_total{{format="lesson",outcome="{outcome}"}} '
        lines = container.metrics.render()[0].decode().splitlines()
        return next((float(line.removeprefix(sample)) for line in lines if line.startswith(sample)), 0.0)

    before = {outcome: counted(outcome) for outcome in ("valid", "invalid_answer", "failed")}
    upstream.rule(contains=f"{question} a", times=1, answer="no JSON")
    upstream.rule(contains=f"{question} b", status=400)
    for name in "ab":
        ask(container, new_actor(TOKENS), f"{question} {name}", assistant="lesson")
    assert {outcome: counted(outcome) - before[outcome] for outcome in before} == dict.fromkeys(before, 1.0)


def test_an_admins_retry_is_in_the_same_format(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, times=1, refusal="No.")
    failed: Job = ask(container, new_actor(TOKENS), question, assistant="planner")
    again = container.admin.retry_job(ROOT, failed.id)
    container.run(again.id)
    assert container.jobs.get(ROOT, again.id).result is not None
