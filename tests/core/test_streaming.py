"""Answers that are shown while they are written: what clients see, from anywhere and again, and what it costs."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database
from redis import Redis

from devstack.servers import RedisServer
from devstack.upstream_control import UpstreamControl
from service.adapters.metrics import FIRST_SHOWN_SECONDS, STREAMS_OPEN
from service.adapters.mongo.jobs import MongoJobs
from service.adapters.redis.streams import KEPT_SECONDS, stream_key
from service.bootstrap import Container
from service.domain.chat import Usage
from service.domain.jobs import JobStatus
from service.usecases.follow import Chunk, Ended
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.streaming import ANSWER, FOUR_WORDS, ask, running, seen, seen_next
from tests.core.support import NewActor, submit, wallet


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
