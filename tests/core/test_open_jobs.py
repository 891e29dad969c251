"""How many questions may be open at once, of an account, an API key and a model."""

from functools import partial

import pytest
from pymongo.database import Database
from redis import Redis

from devstack.servers import RedisServer
from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import InsufficientTokens, RateLimited
from service.domain.jobs import Job
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import NewActor, at_once, key, kinds, lose_worker, new_key, program_of, set_balance, submit


@pytest.fixture
def anna(db: Database, new_actor: NewActor) -> Actor:
    return new_actor()


@pytest.fixture
def limited(build: Build, upstream: UpstreamControl) -> Container:
    return build(max_open_jobs=1)


def refused(container: Container, actor: Actor, **fields: object) -> None:
    with pytest.raises(RateLimited) as caught:
        submit(container, actor, **fields)
    assert caught.value.retry_after_seconds


def test_a_final_job_makes_room(limited: Container, db: Database, anna: Actor, new_actor: NewActor) -> None:
    answered = submit(limited, anna)
    refused(limited, anna)
    submit(limited, new_actor())
    limited.run(answered.id)
    cancelled = submit(limited, anna)
    refused(limited, anna)
    limited.jobs.cancel(anna, cancelled.id)
    submit(limited, anna)
    check_money(db)


def test_a_failed_job_makes_room(limited: Container, anna: Actor, upstream: UpstreamControl) -> None:
    upstream.rule(status=400)
    limited.run(submit(limited, anna).id)
    submit(limited, anna)


def test_a_job_given_up_makes_room(limited: Container, db: Database, anna: Actor) -> None:
    job = submit(limited, anna)
    db.jobs.update_one({"_id": job.id}, {"$set": {"attempt": 2}})
    lose_worker(limited, db, job)
    refused(limited, anna)
    limited.upkeep.recover_expired()
    submit(limited, anna)


def test_a_question_that_was_not_accepted_takes_no_room(limited: Container, anna: Actor) -> None:
    set_balance(limited, anna, 0)
    with pytest.raises(InsufficientTokens):
        submit(limited, anna)
    set_balance(limited, anna, 10_000)
    submit(limited, anna)


def test_a_replay_takes_no_room(limited: Container, anna: Actor) -> None:
    first = submit(limited, anna, idempotency=key(anna))
    assert submit(limited, anna, idempotency=key(anna)).id == first.id
    limited.run(first.id)
    submit(limited, anna)


def test_parallel_questions_share_the_room(build: Build, db: Database, anna: Actor) -> None:
    results = at_once([partial(submit, build(max_open_jobs=3), anna)] * 12)
    assert kinds(results) == {Job.__name__: 3, RateLimited.__name__: 9}
    check_money(db)


def test_a_key_has_room_for_all_its_end_users(build: Build, anna: Actor) -> None:
    container = build(key_max_open_jobs=5)
    bot = program_of(new_key(container, anna, max_open_jobs=2))
    for number in range(3):
        container.billing.top_up(bot, f"user {number}", 10_000, None)
    submit(container, bot, user_id="user 0")
    submit(container, bot, user_id="user 1")
    refused(container, bot, user_id="user 2")
    submit(container, program_of(new_key(container, anna, max_open_jobs=50)))


def test_a_model_has_room_for_everybody(build: Build, anna: Actor, new_actor: NewActor) -> None:
    container = build(model_max_open_jobs=1)
    submit(container, anna)
    refused(container, new_actor())


def test_a_place_that_nobody_gives_back_is_forgotten(limited: Container, anna: Actor, redis: RedisServer) -> None:
    submit(limited, anna)
    with Redis.from_url(redis.uri) as client:
        (name,) = client.keys("talkmeter:open:account:*")
        assert 0 < client.ttl(name) <= 900
        (member,) = client.zrange(name, 0, -1)
        client.zadd(name, {member: 1})
    submit(limited, anna)


def test_without_redis_an_accounts_jobs_are_counted_where_they_are_stored(
    build: Build, anna: Actor, new_actor: NewActor
) -> None:
    container = build(redis_url="redis://127.0.0.1:1/0", max_open_jobs=1, model_max_open_jobs=1)
    job = submit(container, anna)
    with pytest.raises(RateLimited):
        submit(container, anna)
    submit(container, new_actor())
    container.jobs.cancel(anna, job.id)
    submit(container, anna)
