"""Without Redis, or with one that hangs: questions are accepted, soon, and answered late at worst."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymongo.database import Database

from devstack.servers import RedisServer, free_port
from devstack.upstream_control import UpstreamControl
from service.adapters.redis.client import LEAVE_ALONE_SECONDS
from service.bootstrap import Container
from service.domain.errors import Overloaded, RateLimited
from service.domain.jobs import JobStatus
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import NewActor, at_once, submit

# A hanging Redis costs one time-out of 0.3 s each for the limits and for the ring, and the rest is MongoDB's.
SOON_SECONDS = 2.0
DAMAGES: dict[str, Callable[[RedisServer], None]] = {"hanging": RedisServer.pause, "killed": RedisServer.kill}


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that only this test damages."""
    with RedisServer(tmp_path) as server:
        yield server


def taking(call: Callable[[], object]) -> Callable[[], float]:
    """The call, changed to say how many seconds it took."""

    def timed() -> float:
        started = time.monotonic()
        call()
        return time.monotonic() - started

    return timed


def forget_that_redis_was_away(container: Container) -> None:
    """As after a second in which nobody tried it."""
    container.jobs._doorbell._best_effort._away_until = 0.0


@pytest.mark.parametrize("damage", list(DAMAGES))
@pytest.mark.parametrize("was_used", [True, False], ids=["used before", "never used"])
def test_a_question_is_accepted_without_redis(
    build: Build,
    db: Database,
    new_actor: NewActor,
    own_redis: RedisServer,
    upstream: UpstreamControl,
    damage: str,
    was_used: bool,
) -> None:
    container, actor = build(redis_url=own_redis.uri), new_actor(1_000_000)
    if was_used:
        submit(container, actor)
    DAMAGES[damage](own_redis)

    seconds = taking(lambda: submit(container, actor))()

    assert seconds < SOON_SECONDS
    job = db.jobs.find_one({}, sort=[("created_at", -1)])
    container.run(job["_id"])
    assert container.jobs.get(actor, job["_id"]).status is JobStatus.SUCCEEDED
    check_money(db)


def test_a_process_starts_without_redis_and_accepts_questions(build: Build, db: Database, new_actor: NewActor) -> None:
    container = build(redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert submit(container, new_actor()).status is JobStatus.QUEUED
    check_money(db)


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_ring_gives_up_soon_even_if_redis_went_away_just_before_it(
    build: Build, container: Container, own_redis: RedisServer, damage: str
) -> None:
    doorbell = build(redis_url=own_redis.uri).jobs._doorbell
    doorbell.ring(["no job"])
    DAMAGES[damage](own_redis)
    assert max(at_once([taking(lambda: doorbell.ring(["no job"]))] * 20)) < SOON_SECONDS
    assert doorbell.waiting() is None


def test_rings_do_not_wait_for_each_others_connections(
    build: Build, container: Container, own_redis: RedisServer
) -> None:
    other = build(redis_url=own_redis.uri)
    taken = [other.celery.pool.acquire(block=True) for _ in range(other.celery.pool.limit)]
    assert taking(lambda: other.jobs._doorbell.ring(["no job"]))() < SOON_SECONDS
    for connection in taken:
        connection.release()
    forget_that_redis_was_away(other)
    other.jobs._doorbell.ring(["no job"])
    assert other.jobs._doorbell.waiting() == 1


def test_a_redis_that_failed_is_left_alone_for_a_moment_and_then_used_again(
    build: Build, db: Database, new_actor: NewActor, own_redis: RedisServer
) -> None:
    container, actor = build(redis_url=own_redis.uri), new_actor(1_000_000)
    own_redis.pause()
    submit(container, actor)
    away_until = container.jobs._doorbell._best_effort._away_until
    assert 0 < away_until - time.monotonic() <= LEAVE_ALONE_SECONDS
    assert taking(lambda: submit(container, actor))() < 0.3, "nobody else waits for it"

    own_redis.resume()
    forget_that_redis_was_away(container)
    submit(container, actor)
    assert container.jobs._doorbell.waiting() == 1


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_limits_are_kept_without_redis(
    build: Build, db: Database, new_actor: NewActor, own_redis: RedisServer, damage: str
) -> None:
    container, actor = build(redis_url=own_redis.uri, rate_limit_per_minute=3), new_actor(1_000_000)
    DAMAGES[damage](own_redis)
    for _ in range(3):
        submit(container, actor)
    with pytest.raises(RateLimited) as refused:
        submit(container, actor)
    assert 0 < refused.value.retry_after_seconds <= 60


def test_limits_are_counted_by_account(build: Build, db: Database, new_actor: NewActor) -> None:
    container, actor = build(rate_limit_per_minute=2), new_actor(1_000_000)
    submit(container, actor)
    submit(container, actor)
    with pytest.raises(RateLimited):
        submit(container, actor)
    assert submit(container, new_actor()).status is JobStatus.QUEUED
    assert db.jobs.count_documents({"account_id": actor.account_id}) == 2
    check_money(db)


def test_a_full_queue_is_refused(build: Build, db: Database, new_actor: NewActor) -> None:
    container, actor = build(max_queue_length=2), new_actor(1_000_000)
    submit(container, actor)
    submit(container, actor)
    with pytest.raises(Overloaded) as refused:
        submit(container, actor)
    assert refused.value.retry_after_seconds
    assert db.jobs.count_documents({"account_id": actor.account_id}) == 2
    check_money(db)


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_upkeep_works_without_redis_and_rings_when_it_is_back(
    build: Build, db: Database, new_actor: NewActor, own_redis: RedisServer, damage: str
) -> None:
    container, actor = build(redis_url=own_redis.uri), new_actor(1_000_000)
    DAMAGES[damage](own_redis)
    jobs = [submit(container, actor) for _ in range(3)]
    assert container.upkeep()

    own_redis.resume()
    own_redis.start()
    forget_that_redis_was_away(container)
    db.jobs.update_many({}, {"$set": {"announced_at": datetime.now(UTC) - timedelta(seconds=3)}})
    assert container.upkeep()
    assert container.jobs._doorbell.waiting() == len(jobs)


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_health_says_what_is_away(build: Build, container: Container, own_redis: RedisServer, damage: str) -> None:
    other = build(redis_url=own_redis.uri)
    assert other.health.check()["status"] == "ok"
    DAMAGES[damage](own_redis)
    started = time.monotonic()
    state = other.health.check()
    assert time.monotonic() - started < SOON_SECONDS
    assert state["status"] == "degraded"
    states = {name: dependency["status"] for name, dependency in state["dependencies"].items()}
    assert states == {"mongodb": "up", "redis": "down", "upstream": "up"}
