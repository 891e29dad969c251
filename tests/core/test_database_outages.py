"""MongoDB dies or hangs: what was accepted is answered and charged once, what wasn't is refused soon."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import AutoReconnect, OperationFailure

from devstack.servers import MongoServer
from devstack.upstream_control import UpstreamControl
from service.adapters.outages import OUTAGES
from service.bootstrap import Container
from service.domain.jobs import Job, JobStatus
from service.usecases.ports import IdempotencyKey, Money
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import NewActor, key, submit, wallet
from tests.stack.stack import eventually

PATIENCE_SECONDS = 30.0


@pytest.fixture
def database_server(mongo: MongoServer) -> Iterator[MongoServer]:
    """The server itself, which runs again afterwards whatever the test did to it."""
    yield mongo
    mongo.resume()
    mongo.start()


def revive(server: MongoServer) -> None:
    server.resume()
    server.start()


def test_an_answer_outlives_the_database_that_was_killed_when_it_came(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    database_server: MongoServer,
    question: str,
) -> None:
    actor = new_actor(5_000)
    usage = {"prompt_tokens": 20, "completion_tokens": 18}
    upstream.rule(contains=question, hold="gate", answer="pong", usage=usage)
    job = submit(container, actor, question)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(container.run, job.id)
        upstream.wait_for_calls(1, contains=question)
        database_server.kill()
        upstream.release("gate")
        upstream.wait_for_calls(1, contains=question, finished=True)
        revive(database_server)
        settled = run.result(PATIENCE_SECONDS)

    assert settled is not None
    assert (settled.status, settled.answer, settled.charged) == (JobStatus.SUCCEEDED, "pong", 38)
    assert len(upstream.journal(contains=question)) == 1, "nothing is asked twice"
    assert wallet(container, actor) == (5_000 - 38, 0)
    check_money(db)


def test_without_the_database_a_question_is_refused_soon_and_can_be_asked_again(
    container: Container, db: Database, new_actor: NewActor, database_server: MongoServer
) -> None:
    actor = new_actor(5_000)
    database_server.pause()
    started = time.monotonic()
    with pytest.raises(container.outages):
        submit(container, actor, idempotency=key(actor))
    assert time.monotonic() - started < container.settings.mongodb_timeout_seconds + 1
    state = container.health.check()
    assert (state["status"], state["dependencies"]["mongodb"]["status"]) == ("down", "down")

    revive(database_server)
    job = submit(container, actor, idempotency=key(actor))

    assert submit(container, actor, idempotency=key(actor)).id == job.id
    assert db.jobs.count_documents({"account_id": actor.account_id}) == 1
    assert container.health.check()["status"] == "ok"
    check_money(db)


class Forgetful:
    """Money in a database whose reply to a commit never comes: `stored` says whether the commit itself did."""

    def __init__(self, money: Money, *, stored: bool) -> None:
        self._money = money
        self._stored = stored

    def reserve(self, job: Job, idempotency: IdempotencyKey | None) -> Job:
        if self._stored:
            self._money.reserve(job, idempotency)
        raise AutoReconnect("no reply")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._money, name)


@pytest.fixture
def forgetful(build: Build) -> Callable[[bool], Container]:
    def make(stored: bool) -> Container:
        container = build()
        container.jobs._money = Forgetful(container.jobs._money, stored=stored)
        return container

    return make


def test_a_question_that_was_refused_but_stored_is_taken_back(
    forgetful: Callable[[bool], Container], db: Database, new_actor: NewActor
) -> None:
    actor, container = new_actor(5_000), forgetful(True)
    with pytest.raises(AutoReconnect):
        submit(container, actor)
    job = db.jobs.find_one({"account_id": actor.account_id})

    eventually(lambda: container.jobs.get(actor, job["_id"]).status is JobStatus.CANCELLED)

    assert wallet(container, actor) == (5_000, 0)
    eventually(lambda: not container.jobs._withdrawals._doubts)
    check_money(db)


def test_a_question_that_was_refused_and_not_stored_is_soon_forgotten(
    forgetful: Callable[[bool], Container], db: Database, new_actor: NewActor
) -> None:
    actor, container = new_actor(5_000), forgetful(False)
    with pytest.raises(AutoReconnect):
        submit(container, actor)
    assert len(container.jobs._withdrawals._doubts) == 1
    eventually(lambda: not container.jobs._withdrawals._doubts)
    assert wallet(container, actor) == (5_000, 0)


def test_a_question_with_a_key_that_was_refused_but_stored_is_found_by_the_next_try(
    container: Container, forgetful: Callable[[bool], Container], db: Database, new_actor: NewActor
) -> None:
    actor, once = new_actor(5_000), key(new_actor(0))
    with pytest.raises(AutoReconnect):
        submit(forgetful(True), actor, idempotency=once)

    again = submit(container, actor, idempotency=once)

    assert again.status is JobStatus.QUEUED
    assert db.jobs.count_documents({"account_id": actor.account_id}) == 1
    check_money(db)


def test_a_transaction_that_lived_too_long_for_the_server_is_an_outage(container: Container, db: Database) -> None:
    """Not a defect: an answer is not given up for it, and nobody is told of an internal error."""

    def too_long(_: ClientSession) -> None:
        raise OperationFailure("the transaction exceeded the configured 'transactionLifetimeLimitSeconds'", 290)

    with pytest.raises(OUTAGES):
        container.jobs._money._transactions.run(too_long)  # type: ignore[attr-defined]
