"""Answers that were begun and not finished: cancels, lost workers and lost claims, and what none of them leads to."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from redis import Redis

from devstack.servers import RedisServer
from service.adapters.mongo.jobs import MongoJobs
from service.adapters.redis.streams import stream_key
from service.adapters.tokenizer import count_tokens
from service.bootstrap import Container
from service.domain.chat import Usage
from service.domain.jobs import Job, JobStatus
from service.usecases.ports import ChatAnswer, ChatRequest
from service.usecases.showing import ClaimLost, Showing
from tests.core.checker import check_money
from tests.core.streaming import Slow, seen
from tests.core.support import NewActor, runner_with, submit, wallet


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
