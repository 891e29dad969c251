"""Questions and tokens a minute, of an account, an API key and a model."""

from functools import partial

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import Forbidden, RateLimited
from service.domain.jobs import Job
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import ROOT, NewActor, at_once, key, kinds, limits_left, new_key, program_of, submit


def refused(container: Container, actor: Actor, **fields: object) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        submit(container, actor, **fields)
    assert 1 <= caught.value.retry_after_seconds <= 60
    return caught.value


def test_a_quota_counts_down(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(rate_limit_per_minute=3), new_actor()
    assert limits_left(container, anna) == (3, 3)
    for left in (2, 1, 0):
        submit(container, anna)
        assert limits_left(container, anna) == (3, left)
    refused(container, anna)
    assert limits_left(container, anna) == (3, 0)
    assert 1 <= container.jobs.quota(anna, None).reset_seconds <= 60
    assert limits_left(container, new_actor()) == (3, 3)
    with pytest.raises(Forbidden):
        container.jobs.quota(anna, "somebody")


def test_the_tokens_of_a_minute_are_counted_when_a_question_is_accepted(
    build: Build, db: Database, new_actor: NewActor
) -> None:
    container, anna = build(tokens_per_minute=2_500), new_actor()
    assert [submit(container, anna).hold // 1_000 for _ in range(2)] == [1, 1]
    refused(container, anna)
    submit(container, new_actor())
    check_money(db)


def test_a_question_beyond_a_minutes_tokens_takes_them_all(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(tokens_per_minute=10), new_actor()
    submit(container, anna)
    refused(container, anna)


def test_a_model_is_limited_for_everybody_together(build: Build, db: Database, new_actor: NewActor) -> None:
    by_questions, by_tokens = build(model_rate_limit_per_minute=2), build(model_tokens_per_minute=1_500)
    for _ in range(2):
        submit(by_questions, new_actor())
    refused(by_questions, new_actor())
    submit(by_tokens, new_actor())
    refused(by_tokens, new_actor())


def test_a_key_is_limited_with_all_its_end_users(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(key_rate_limit_per_minute=2), new_actor()
    bot, other = (program_of(new_key(container, anna)) for _ in range(2))
    for number in range(3):
        container.billing.top_up(bot, f"user {number}", 10_000, None)
    submit(container, bot, user_id="user 0")
    submit(container, bot, user_id="user 1")
    refused(container, bot, user_id="user 2")
    assert limits_left(container, bot, "user 2") == (2, 0)
    submit(container, other)
    submit(container, anna)


def test_a_key_may_set_less_but_not_more(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(key_rate_limit_per_minute=5, rate_limit_per_minute=100), new_actor()
    for wanted, got in ((3, 3), (50, 5), (None, 5)):
        bot = program_of(new_key(container, anna, requests_per_minute=wanted))
        assert limits_left(container, bot) == (got, got)


def test_a_key_limits_its_tokens(container: Container, db: Database, new_actor: NewActor) -> None:
    bot = program_of(new_key(container, new_actor(), tokens_per_minute=1_500))
    submit(container, bot)
    refused(container, bot)


def test_a_key_doesnt_lift_the_limit_of_its_account(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(rate_limit_per_minute=2), new_actor()
    bot = program_of(new_key(container, anna, requests_per_minute=50))
    submit(container, bot)
    submit(container, anna)
    refused(container, bot)


def test_a_refused_question_holds_nothing_and_leaves_its_idempotency_key(
    build: Build, db: Database, new_actor: NewActor
) -> None:
    container, anna = build(tokens_per_minute=1_500), new_actor()
    submit(container, anna)
    refused(container, anna, idempotency=key(anna))
    assert db.idempotency.count_documents({}) == 0
    assert db.jobs.count_documents({}) == 1
    check_money(db)


def test_parallel_questions_share_a_limit(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(rate_limit_per_minute=4), new_actor()
    results = at_once([partial(submit, container, anna)] * 12)
    assert kinds(results) == {Job.__name__: 4, RateLimited.__name__: 8}
    check_money(db)


def test_without_redis_limits_are_counted_in_the_process(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(redis_url="redis://127.0.0.1:1/0", rate_limit_per_minute=2), new_actor()
    submit(container, anna)
    assert limits_left(container, anna) == (2, 1)
    submit(container, anna)
    refused(container, anna)


def test_an_operator_asks_at_the_cost_of_the_account(build: Build, db: Database, new_actor: NewActor) -> None:
    container, anna = build(rate_limit_per_minute=1), new_actor()
    submit(container, ROOT, user_id=anna.account_id)
    refused(container, anna)
