"""The same key and body is the same job, however often and however simultaneously it comes."""

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.errors import IdempotencyMismatch, InsufficientTokens
from service.domain.jobs import JobStatus
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, ask, at_once, key, kinds, spread, submit, wallet


def test_the_same_key_and_body_is_the_same_job(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    first = submit(container, actor, idempotency=key(actor))
    assert submit(container, actor, idempotency=key(actor)).id == first.id

    container.run(first.id)
    again = submit(container, actor, idempotency=key(actor))

    assert (again.id, again.status) == (first.id, JobStatus.SUCCEEDED), "as it is now"
    assert db.jobs.count_documents({}) == 1
    check_money(db)


def test_another_body_with_a_used_key_is_refused(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    submit(container, actor, idempotency=key(actor))
    with pytest.raises(IdempotencyMismatch):
        submit(container, actor, "something else", idempotency=key(actor, fingerprint="another body"))
    assert db.jobs.count_documents({}) == 1
    check_money(db)


@pytest.mark.parametrize("repetition", range(5))
def test_parallel_questions_with_one_key_are_one_job_and_one_hold(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor, repetition: int
) -> None:
    actor = new_actor()
    results = at_once(spread(submit, processes, 10, actor, idempotency=key(actor)))
    assert len({job.id for job in results}) == 1
    assert wallet(container, actor)[1] == results[0].hold
    check_money(db)


@pytest.mark.parametrize("repetition", range(5))
def test_parallel_questions_with_one_key_and_money_for_one_are_one_job(
    processes: list[Container], db: Database, new_actor: NewActor, repetition: int
) -> None:
    """Whoever comes second finds the account empty, because of the job that is its own too."""
    actor = new_actor(200)
    results = at_once(spread(submit, processes, 10, actor, idempotency=key(actor)))
    assert kinds(results) == {"Job": 10}
    assert len({job.id for job in results}) == 1
    check_money(db)


def test_parallel_questions_with_one_key_and_two_bodies_are_one_job(
    processes: list[Container], db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(200)
    one, other = (key(actor, fingerprint=body) for body in ("one body", "another"))
    results = at_once(
        spread(submit, processes, 5, actor, idempotency=one) + spread(submit, processes, 5, actor, idempotency=other)
    )
    assert kinds(results) == {"Job": 5, "IdempotencyMismatch": 5}
    assert db.jobs.count_documents({}) == 1
    check_money(db)


def test_a_key_belongs_to_one_account(container: Container, db: Database, new_actor: NewActor) -> None:
    one, other = new_actor(), new_actor()
    first = submit(container, one, idempotency=key(one, "k"))
    second = submit(container, other, idempotency=key(other, "k"))
    assert first.id != second.id
    assert (first.account_id, second.account_id) == (one.account_id, other.account_id)
    check_money(db)


def test_names_that_run_into_each_other_are_two_keys(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    keys = [key(actor, name) for name in ("a", "A", "a ", "a\n", "", "$a", "a.b", "{}", "ä", "a\u0308")]
    assert len({submit(container, actor, idempotency=one).id for one in keys}) == len(keys)


def test_a_refused_question_leaves_its_key_unused(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(0)
    with pytest.raises(InsufficientTokens):
        submit(container, actor, idempotency=key(actor))
    container.billing.top_up(ROOT, actor.account_id, 10_000, None)
    assert submit(container, actor, idempotency=key(actor)).status is JobStatus.QUEUED
    check_money(db)


def test_a_replay_is_free_of_limits_and_money(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    """Whoever asks again after a lost reply must learn of the job, also when nothing new would be accepted."""
    actor = new_actor(200)
    job = ask(container, actor, idempotency=key(actor))
    container.admin.set_balance(ROOT, actor.account_id, 0, "", None)
    container.jobs._breaker.open("no quota")
    assert submit(container, actor, "", idempotency=key(actor)).id == job.id


def test_a_key_of_a_deposit_is_no_key_of_a_question(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    container.billing.top_up(ROOT, actor.account_id, 10_000, key(ROOT, fingerprint="POST /topup {}"))
    with pytest.raises(IdempotencyMismatch):
        submit(container, ROOT, user_id=actor.account_id, idempotency=key(ROOT, fingerprint="POST /chat {}"))


def test_keys_are_forgotten_after_a_day(db: Database, container: Container) -> None:
    ages = [index["expireAfterSeconds"] for index in db.idempotency.list_indexes() if "expireAfterSeconds" in index]
    assert ages == [24 * 3600]
