"""Answers that are shown while they are written: what clients see, what it costs, and what no crash may lead to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
import pytest
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from redis import Redis

from devstack.servers import RedisServer
from devstack.upstream_control import UpstreamControl
from service.adapters.metrics import FIRST_SHOWN_SECONDS, STREAMS_OPEN
from service.adapters.mongo.jobs import MongoJobs
from service.adapters.redis.streams import KEPT_SECONDS, stream_key
from service.adapters.tokenizer import count_tokens
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.chat import Usage
from service.domain.jobs import Job, JobStatus
from service.usecases.follow import Chunk, Ended, Event
from service.usecases.ports import ChatAnswer, ChatRequest
from service.usecases.showing import ClaimLost, Showing
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import NewActor, runner_with, submit, wallet

ANSWER = "Раз два 🌊 три четыре"
FOUR_WORDS = "Раз два 🌊 три "


def seen(events: Iterator[Event], characters: int = 10**9) -> str:
    """What the events show, until it is so much or they end."""
    text = ""
    for event in events:
        if isinstance(event, Chunk):
            text += event.text
            assert event.id >= len(text)
        if len(text) >= characters:
            break
    return text


@contextmanager
def running(container: Container, job: Job) -> Iterator[threading.Thread]:
    worker = threading.Thread(target=container.run, args=[job.id])
    worker.start()
    yield worker
    worker.join()


def ask(container: Container, actor: Actor, question: str, **fields: Any) -> Job:
    job = submit(container, actor, question, stream=True, **fields)
    container.run(job.id)
    return container.jobs.get(actor, job.id)


def test_an_answer_is_seen_while_it_is_written_and_whole_at_its_end(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    usage = {"prompt_tokens": 20, "completion_tokens": 18, "total_tokens": 38}
    upstream.rule(contains=question, answer=ANSWER, hold="gate", hold_after_chunks=4, usage=usage)
    actor = new_actor(5_000)
    job = submit(container, actor, question, stream=True)
    with running(container, job):
        events = container.follow(job)
        assert seen(events, len(FOUR_WORDS)) == FOUR_WORDS
        assert container.jobs.get(actor, job.id).status is JobStatus.RUNNING
        upstream.release("gate")
        # The same generator goes on where it was.
        rest = list(container.follow(job, after=len(FOUR_WORDS)))
    assert seen(iter(rest)) == ANSWER[len(FOUR_WORDS) :]
    (end,) = (event for event in rest if isinstance(event, Ended))
    assert (end.id, end.job.status, end.job.answer) == (len(ANSWER) + 1, JobStatus.SUCCEEDED, ANSWER)
    assert (end.job.usage, end.job.charged) == (Usage(prompt_tokens=20, completion_tokens=18), 38)
    assert wallet(container, actor) == (5_000 - 38, 0)
    (call,) = upstream.journal(contains=question)
    assert call["body"]["stream_options"] == {"include_usage": True}
    check_money(db)


def test_it_goes_on_from_any_place_while_it_is_written_and_after(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, answer=ANSWER, hold="gate", hold_after_chunks=4)
    actor = new_actor()
    job = submit(container, actor, question, stream=True)
    with running(container, job):
        for after in range(len(FOUR_WORDS)):
            assert seen(container.follow(job, after), len(FOUR_WORDS) - after) == FOUR_WORDS[after:]
        upstream.release("gate")
    final = container.jobs.get(actor, job.id)
    for after in range(len(ANSWER) + 1):
        *chunks, end = container.follow(final, after)
        assert "".join(chunk.text for chunk in chunks) == ANSWER[after:]
        assert end.id == len(ANSWER) + 1
    assert list(container.follow(final, len(ANSWER) + 1)) == []


def test_a_second_process_shows_the_same(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer=ANSWER, hold="gate", hold_after_chunks=4)
    job = submit(container, new_actor(), stream=True)
    with running(container, job):
        for process in processes[1:]:
            assert seen(process.follow(job, 3), len(FOUR_WORDS) - 3) == FOUR_WORDS[3:]
        upstream.release("gate")
    for process in processes[1:]:
        assert seen(process.follow(job, 3)) == ANSWER[3:]


def test_an_emptied_redis_costs_followers_nothing(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    redis: RedisServer,
    question: str,
) -> None:
    for number, hold in enumerate(("one", "two")):
        upstream.rule(contains=hold, answer=ANSWER, hold=hold, hold_after_chunks=2 + number)
    with Redis.from_url(redis.uri) as client:
        for hold, at in (("one", len("Раз два ")), ("two", len("Раз два 🌊 "))):
            job = submit(container, new_actor(), f"{question} {hold}", stream=True)
            with running(container, job):
                follower = container.follow(job)
                first = seen_next(follower, at)
                client.flushall()
                upstream.release(hold)
                assert first + seen(follower) == ANSWER
            assert seen(container.follow(job, 5)) == ANSWER[5:]
    check_money(db)


def seen_next(events: Iterator[Event], characters: int) -> str:
    """As `seen`, of a generator that will be asked again."""
    text = ""
    while len(text) < characters:
        event = next(events)
        text += event.text if isinstance(event, Chunk) else ""
    return text


def test_without_redis_the_answer_comes_at_its_end(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, tmp_path: Any
) -> None:
    with RedisServer(tmp_path) as server:
        container, actor = build(redis_url=server.uri), new_actor()
        upstream.rule(answer=ANSWER)
        job = submit(container, actor, stream=True)
        server.kill()
        with running(container, job):
            assert seen(container.follow(job)) == ANSWER
    check_money(db)


def test_the_stream_is_kept_for_ten_minutes(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, redis: RedisServer
) -> None:
    upstream.rule(answer=ANSWER)
    job = ask(container, new_actor(), "ping")
    with Redis.from_url(redis.uri) as client:
        assert KEPT_SECONDS - 5 < client.ttl(stream_key(job.id)) <= KEPT_SECONDS
    assert seen(container.follow(job)) == ANSWER
    db.jobs.update_one({"_id": job.id}, {"$set": {"finished_at": datetime.now(UTC) - timedelta(minutes=11)}})
    (end,) = container.follow(MongoJobs().get(job.id))
    assert isinstance(end, Ended)


def test_what_is_shown_and_followed_is_counted(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    def first_pieces() -> float:
        samples = FIRST_SHOWN_SECONDS.collect()[0].samples
        return sum(sample.value for sample in samples if sample.name.endswith("_count"))

    upstream.rule(answer=ANSWER, hold="gate", hold_after_chunks=4)
    before, opened = first_pieces(), STREAMS_OPEN._value.get()
    job = submit(container, new_actor(), stream=True)
    with running(container, job):
        events = container.follow(job)
        seen_next(events, len(FOUR_WORDS))
        assert (first_pieces(), STREAMS_OPEN._value.get()) == (before + 1, opened + 1)
        events.close()
        assert STREAMS_OPEN._value.get() == opened
        upstream.release("gate")
    assert first_pieces() == before + 1


def test_an_answer_that_nobody_asked_to_watch_is_asked_for_and_shown_at_once(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(answer=ANSWER)
    actor = new_actor()
    job = submit(container, actor, question)
    with running(container, job):
        chunk, end = container.follow(job)
    assert (chunk, end.id) == (Chunk(len(ANSWER), ANSWER), len(ANSWER) + 1)
    (call,) = upstream.journal(contains=question)
    assert "stream" not in call["body"]


BROKEN = {
    "a cut": ({"cut_after_chunks": 2}, "UPSTREAM_ERROR"),
    "a reset": ({"reset_after_chunks": 2}, "UPSTREAM_ERROR"),
    "a stall": ({"stall_after_chunks": 2}, "UPSTREAM_TIMEOUT"),
    "garbage": ({"garbage_after_chunks": 2}, "UPSTREAM_ERROR"),
    "a content filter": ({"finish_reason": "content_filter"}, "UPSTREAM_ERROR"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_is_free_and_never_asked_for_again(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, name: str
) -> None:
    rule, code = BROKEN[name]
    upstream.rule(contains=question, answer="one two three", **rule)
    container, actor = build(openai_read_timeout_seconds=0.3), new_actor(5_000)
    job = ask(container, actor, question)
    assert (job.status, job.error_code, job.charged, job.usage) == (JobStatus.FAILED, code, 0, None)
    assert job.answer == ("one two three" if name == "a content filter" else "one two ")
    assert len(upstream.journal(contains=question)) == 1
    assert wallet(container, actor) == (5_000, 0)
    assert seen(container.follow(job)) == job.answer
    check_money(db)


@pytest.mark.parametrize("name", ["a cut", "a reset", "a stall"])
def test_a_trouble_before_the_first_piece_is_tried_again(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, name: str
) -> None:
    rule = dict.fromkeys(BROKEN[name][0], 0)
    upstream.rule(contains=question, times=2, **rule)
    upstream.rule(contains=question, answer=ANSWER)
    job = ask(build(openai_read_timeout_seconds=0.3), new_actor(), question)
    assert (job.status, job.answer, job.attempt) == (JobStatus.SUCCEEDED, ANSWER, 1)
    assert len(upstream.journal(contains=question)) == 3
    check_money(db)


@pytest.mark.parametrize("status", [429, 500])
def test_a_refusal_that_passes_is_tried_again(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, status: int
) -> None:
    upstream.rule(contains=question, times=2, status=status, headers={"Retry-After": "0"})
    upstream.rule(contains=question, answer=ANSWER)
    assert ask(container, new_actor(), question).answer == ANSWER


NO_STREAM = {
    "html": "<html>",
    "nothing": "",
    "a list": "data: []\n\n",
    "a number": "data: 5\n\n",
    "text as choices": 'data: {"choices": "pong"}\n\n',
    "text as delta": 'data: {"choices": [{"delta": "pong"}]}\n\n',
    "a list as content": 'data: {"choices": [{"delta": {"content": ["pong"]}}]}\n\n',
    "an error": 'data: {"error": {"message": "oops"}}\n\n',
    "a refusal": 'data: {"choices": [{"delta": {"refusal": "I cannot"}}]}\n\n',
    "no text": 'data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
    "deep": "data: " + "[" * 100_000 + "\n\n",
    "an endless line": "data: " + "x" * 1_200_000,
}


def test_what_is_no_stream_is_a_failure_and_free(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    subtests: pytest.Subtests,
) -> None:
    actor = new_actor(5_000)
    for name, body in NO_STREAM.items():
        upstream.clear()
        upstream.rule(contains=question, raw_body=body, content_type="text/event-stream")
        with subtests.test(name):
            job = ask(container, actor, question)
            assert (job.status, job.error_code, job.answer) == (JobStatus.FAILED, "UPSTREAM_ERROR", None)
    assert len(upstream.journal(contains=question)) == len(NO_STREAM)
    assert wallet(container, actor) == (5_000, 0)
    check_money(db)


def chunks(*pieces: str, usage: str = "") -> str:
    lines = [f'data: {{"choices": [{{"delta": {{"content": "{piece}"}}}}]}}' for piece in pieces]
    lines += ['data: {"choices": [{"delta": {}, "finish_reason": "stop"}]}', usage, ": a comment"]
    return "\r\n\r\n".join(lines)


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["\\ud83c", "\\udf0a!"], "🌊!"),
        (["a\\ud83c", "b"], "a\ufffdb"),
        (["\\udf0a"], "\ufffd"),
        (["a\u2028", "b\x85c"], "a\u2028b\x85c"),
    ],
)
def test_pieces_of_characters_become_whole(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    pieces: list[str],
    text: str,
) -> None:
    upstream.rule(contains=question, raw_body=chunks(*pieces), content_type="text/event-stream")
    job = ask(container, new_actor(), question)
    assert (job.status, job.answer) == (JobStatus.SUCCEEDED, text)
    assert seen(container.follow(job)) == text


@pytest.mark.parametrize("rule", [{"usage": None}, {"usage": {"prompt_tokens": -1, "completion_tokens": 1}}])
def test_an_answer_without_a_usage_is_counted_here(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, rule: dict
) -> None:
    upstream.rule(answer=ANSWER, **rule)
    job = ask(container, new_actor(), "ping")
    expected = Usage(prompt_tokens=job.prompt_tokens, completion_tokens=count_tokens(ANSWER), estimated=True)
    assert (job.usage, job.charged) == (expected, expected.total_tokens)
    check_money(db)


def test_a_provider_that_knows_no_stream_options_is_asked_without(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, refuse_params=["stream_options"])
    upstream.rule(contains=question, answer=ANSWER)
    job = ask(build(), new_actor(), question)
    assert (job.answer, job.usage.estimated) == (ANSWER, True)
    assert ["stream_options" in call["body"] for call in upstream.journal(contains=question)] == [True, False]


class Slow:
    """A provider that shows these pieces, calls `then`, and waits."""

    def __init__(self, *pieces: str, then: Callable[[], object] = lambda: None) -> None:
        self.pieces = pieces
        self.then = then

    def answer(self, request: ChatRequest) -> ChatAnswer:
        raise NotImplementedError

    def stream(self, request: ChatRequest, show: Callable[[str], None]) -> ChatAnswer:
        for piece in self.pieces:
            show(piece)
        self.then()
        gevent.sleep(20)
        raise AssertionError("nobody stopped it")


def test_a_cancel_keeps_and_charges_what_was_shown(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(5_000)
    job = submit(container, actor, stream=True)
    runner_with(container, Slow("one ", "two ", then=lambda: container.jobs.cancel(actor, job.id)))(job.id)

    done = container.jobs.get(actor, job.id)

    counted = Usage(prompt_tokens=job.prompt_tokens, completion_tokens=count_tokens("one two "), estimated=True)
    assert (done.status, done.answer, done.finish_reason) == (JobStatus.CANCELLED, "one two ", "cancelled")
    assert (done.usage, done.charged) == (counted, counted.total_tokens)
    assert wallet(container, actor) == (5_000 - done.charged, 0)
    assert container.contexts.get(actor, None)[-1].content == "one two "
    assert seen(container.follow(done)) == "one two "
    check_money(db)


def test_a_cancel_before_anything_was_shown_is_free(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(5_000)
    job = submit(container, actor, stream=True)
    runner_with(container, Slow(then=lambda: container.jobs.cancel(actor, job.id)))(job.id)
    done = container.jobs.get(actor, job.id)
    assert (done.status, done.answer, done.charged, done.usage) == (JobStatus.CANCELLED, None, 0, None)
    check_money(db)


def lost_while_showing(container: Container, db: Database, job: Job, *pieces: str) -> Showing:
    """A worker that claimed the job, showed this, and was not heard of again."""
    claimed = MongoJobs().claim(job.id, "a lost worker", 30)
    assert claimed is not None
    showing = container.run._showing(claimed)
    for piece in pieces:
        showing(piece)
    db.jobs.update_one({"_id": job.id}, {"$set": {"lease_until": datetime.now(UTC) - timedelta(minutes=1)}})
    return showing


def test_an_answer_that_was_begun_is_not_begun_again(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(5_000)
    job = submit(container, actor, stream=True)
    lost_while_showing(container, db, job, "one ", "two ")
    assert seen(container.follow(job), 8) == "one two "

    container.upkeep()

    done = container.jobs.get(actor, job.id)
    assert (done.status, done.error_code, done.charged) == (JobStatus.FAILED, "INTERRUPTED", 0)
    assert (done.answer, done.attempt, done.shown) == ("one two ", 1, None)
    assert wallet(container, actor) == (5_000, 0)
    assert seen(container.follow(done, 4)) == "two "
    check_money(db)


def test_without_redis_what_the_database_knows_of_it_is_kept(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    actor = new_actor(5_000)
    job = submit(container, actor, stream=True)
    lost_while_showing(container, db, job, "one ", "two ")
    assert seen(container.follow(job), 8) == "one two "
    with Redis.from_url(redis.uri) as client:
        client.flushall()
    container.upkeep()
    done = container.jobs.get(actor, job.id)
    assert (done.error_code, done.answer) == ("INTERRUPTED", "one ")
    *_, end = container.follow(job, after=8)
    assert end.id == 9, "who has seen more than was kept still hears of the end"


def test_a_worker_that_was_only_slow_shows_nothing_more(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    job = submit(container, new_actor(), stream=True)
    slow = lost_while_showing(container, db, job, "one ")
    assert seen(container.follow(job), 4) == "one "
    container.upkeep()
    slow("two ")
    slow.end()
    slow._next_checkpoint = 0.0
    with pytest.raises(ClaimLost):
        slow("three")
    with Redis.from_url(redis.uri) as client:
        assert [entry[1].get(b"t") for entry in client.xrange(stream_key(job.id))] == [b"one ", None]
    assert seen(container.follow(MongoJobs().get(job.id))) == "one "


def test_a_cancel_asked_of_a_lost_worker_keeps_what_was_shown_for_free(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(5_000)
    job = submit(container, actor, stream=True)
    lost_while_showing(container, db, job, "one ")
    container.jobs.cancel(actor, job.id)
    container.upkeep()
    done = container.jobs.get(actor, job.id)
    assert (done.status, done.answer, done.charged) == (JobStatus.CANCELLED, "one ", 0)
    check_money(db)


def test_an_attempt_that_lost_its_claim_shows_nothing(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor, stream=True)
    stale = lost_while_showing(container, db, job)
    container.upkeep()
    current = MongoJobs().claim(job.id, "the next worker", 30)
    with pytest.raises(ClaimLost):
        stale("of the first")
    container.run._showing(current)("of the second")
    assert seen(container.follow(job), 5) == "of the second"
    assert not MongoJobs().requeue(current), "it has shown something meanwhile"


def test_a_run_that_lost_its_claim_ends_without_a_word(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor, stream=True)

    class Thief(Slow):
        def stream(self, request: ChatRequest, show: Callable[[str], None]) -> ChatAnswer:
            db.jobs.update_one({"_id": job.id}, {"$inc": {"attempt": 1}})
            show("too late")
            raise AssertionError("it was let through")

    assert runner_with(container, Thief())(job.id) is None
    assert container.jobs.get(actor, job.id).status is JobStatus.RUNNING


class Forgetful(MongoJobs):
    """Away whenever something is to be shown."""

    def show(self, job: Job, text: str) -> bool:
        raise AutoReconnect("away")


def test_nothing_is_shown_before_the_database_knows(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    actor = new_actor()
    job = submit(container, actor, stream=True)
    runner = runner_with(container, Slow("one ", then=lambda: container.jobs.cancel(actor, job.id)))
    runner._jobs = Forgetful()
    runner(job.id)
    done = container.jobs.get(actor, job.id)
    assert (done.status, done.answer, done.charged) == (JobStatus.CANCELLED, None, 0)
    with Redis.from_url(redis.uri) as client:
        assert not client.exists(stream_key(job.id))
