"""Upkeep: what a lost worker, a lost message or an emptied Redis leave behind is found and finished."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pymongo.database import Database
from redis import Redis

from devstack.servers import RedisServer
from devstack.upstream_control import UpstreamControl
from service.adapters.queue import CHAT_QUEUE, RUN_JOB_TASK
from service.bootstrap import Container
from service.domain.jobs import MAX_ATTEMPTS, Job, JobStatus
from tests.core.checker import check_money
from tests.core.support import NewActor, at_once, lose_worker, submit, wallet


def announced(db: Database, job: Job, ago: timedelta) -> None:
    """Say that the job was last announced so long ago."""
    db.jobs.update_one({"_id": job.id}, {"$set": {"announced_at": datetime.now(UTC) - ago}})


def rings(redis: RedisServer) -> int:
    with Redis.from_url(redis.uri) as client:
        return int(client.llen(CHAT_QUEUE))


def lose_ring(redis: RedisServer) -> None:
    with Redis.from_url(redis.uri) as client:
        client.lpop(CHAT_QUEUE)


def messages(container: Container) -> list[tuple[list, dict, str]]:
    """Positional and named arguments and the task of each message in the queue, which is empty afterwards."""
    found = []
    with container.celery.connection() as connection, connection.SimpleQueue(CHAT_QUEUE) as queue:
        for _ in range(queue.qsize()):
            message = queue.get(block=False)
            message.ack()
            found.append((*message.payload[:2], message.headers["task"]))
    return found


def flush(redis: RedisServer) -> None:
    with Redis.from_url(redis.uri) as client:
        client.flushall()


def test_a_job_of_a_lost_worker_is_queued_again_and_answered(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    job = submit(container, actor)
    lose_worker(container, db, job)

    assert container.upkeep()

    assert container.jobs.get(actor, job.id).status is JobStatus.QUEUED
    container.run(job.id)
    answered = container.jobs.get(actor, job.id)
    assert (answered.status, answered.attempt) == (JobStatus.SUCCEEDED, 2)
    check_money(db)


def test_a_job_that_loses_its_worker_every_time_fails_for_free(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(50_000)
    job = submit(container, actor)
    for _ in range(MAX_ATTEMPTS):
        assert container.jobs.get(actor, job.id).status is JobStatus.QUEUED
        lose_worker(container, db, job)
        container.upkeep()

    given_up = container.jobs.get(actor, job.id)

    assert (given_up.status, given_up.error_code) == (JobStatus.FAILED, "INTERRUPTED")
    assert (given_up.attempt, given_up.charged) == (MAX_ATTEMPTS, 0)
    assert wallet(container, actor) == (50_000, 0)
    check_money(db)


def test_a_job_that_cannot_be_ended_keeps_no_other_from_its_end(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    broken, sound, unheard = (submit(container, new_actor()) for _ in range(3))
    for job in (broken, sound):
        lose_worker(container, db, job)
    earlier = datetime.now(UTC) - timedelta(hours=1)
    db.jobs.update_one({"_id": broken.id}, {"$set": {"attempt": MAX_ATTEMPTS, "lease_until": earlier}})
    db.wallets.delete_one({"_id": broken.account_id})
    flush(redis)
    announced(db, unheard, timedelta(seconds=3))

    container.upkeep()

    assert db.jobs.find_one({"_id": sound.id})["status"] == "queued"
    assert {arguments[0] for arguments, _, _ in messages(container)} == {sound.id, unheard.id}


def test_a_lease_that_still_runs_is_left_alone(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor)
    container.run._jobs.claim(job.id, "a slow worker", 30)

    container.upkeep()

    running = container.jobs.get(actor, job.id)
    assert (running.status, running.attempt) == (JobStatus.RUNNING, 1)


def test_a_cancel_asked_of_a_lost_worker_is_done_by_upkeep(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(50_000)
    job = submit(container, actor)
    lose_worker(container, db, job)
    assert container.jobs.cancel(actor, job.id).status is JobStatus.RUNNING

    container.upkeep()

    assert container.jobs.get(actor, job.id).status is JobStatus.CANCELLED
    assert wallet(container, actor) == (50_000, 0)
    check_money(db)


def test_a_cancel_between_upkeeps_look_and_its_requeue_is_not_lost(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor()
    job = submit(container, actor)
    lose_worker(container, db, job)
    (seen,) = container.upkeep._jobs.expired(10)
    container.jobs.cancel(actor, job.id)

    assert not container.upkeep._jobs.requeue(seen)

    container.upkeep()
    assert container.jobs.get(actor, job.id).status is JobStatus.CANCELLED
    check_money(db)


def test_a_lost_ring_is_repeated(container: Container, db: Database, new_actor: NewActor, redis: RedisServer) -> None:
    job = submit(container, new_actor())
    flush(redis)
    announced(db, job, timedelta(seconds=3))

    container.upkeep()

    assert rings(redis) == 1


def test_a_message_carries_the_jobs_id_and_nothing_else(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor()
    job = submit(container, actor, "a secret question")
    (message,) = messages(container)
    assert message == ([job.id], {}, RUN_JOB_TASK)


def test_a_question_whose_ring_was_lost_with_all_of_redis_is_answered(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, redis: RedisServer
) -> None:
    actor = new_actor()
    job = submit(container, actor)
    flush(redis)
    announced(db, job, timedelta(seconds=3))
    container.upkeep()

    for arguments, _, _ in messages(container):
        container.run(*arguments)

    assert container.jobs.get(actor, job.id).status is JobStatus.SUCCEEDED
    check_money(db)


def test_a_repeated_ring_is_harmless(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    actor = new_actor()
    job = submit(container, actor, question)
    runs = at_once([lambda: container.run(job.id)] * 8)
    assert [run for run in runs if run is not None] == [container.jobs.get(actor, job.id)]
    assert len(upstream.journal(contains=question)) == 1
    check_money(db)


def test_old_rings_come_first_and_not_all_at_once(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    actor = new_actor(1_000_000)
    jobs = [submit(container, actor) for _ in range(4)]
    flush(redis)
    for age, job in enumerate(jobs):
        announced(db, job, timedelta(seconds=10 + age))
    assert container.upkeep._jobs.due(3, silent_seconds=2) == [job.id for job in reversed(jobs[1:])]


def test_a_fresh_ring_is_given_time(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    submit(container, new_actor())
    flush(redis)

    container.upkeep()

    assert rings(redis) == 0


def test_rings_are_not_repeated_while_the_broker_holds_them(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    actor = new_actor(1_000_000)
    for _ in range(3):
        announced(db, submit(container, actor), timedelta(seconds=29))

    for _ in range(5):
        container.upkeep()

    assert rings(redis) == 3


def test_among_many_rings_a_missing_one_is_repeated_once_in_half_a_minute(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    actor = new_actor(1_000_000)
    missing, _waiting = submit(container, actor), submit(container, actor)
    announced(db, missing, timedelta(seconds=31))
    lose_ring(redis)

    for _ in range(5):
        container.upkeep()

    assert rings(redis) == 2


def test_no_ring_is_repeated_while_the_broker_holds_one_for_each_job(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    actor = new_actor(1_000_000)
    for _ in range(3):
        announced(db, submit(container, actor), timedelta(hours=1))

    container.upkeep()

    assert rings(redis) == 3


def test_a_requeued_job_is_announced_at_once(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    actor = new_actor(1_000_000)
    job, _waiting = submit(container, actor), submit(container, actor)
    lose_ring(redis)
    lose_worker(container, db, job)

    container.upkeep()

    assert rings(redis) == 2


def test_a_web_servers_wrong_clock_does_not_delay_a_repeated_ring(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    draft = submit(container, new_actor(1_000_000))
    tomorrow = replace(draft, id="from-tomorrow", created_at=datetime.now(UTC) + timedelta(days=1))

    job = container.jobs._money.reserve(tomorrow, None)

    announced_at = db.jobs.find_one({"_id": job.id})["announced_at"]
    assert abs(announced_at - datetime.now(UTC)) < timedelta(minutes=1)
