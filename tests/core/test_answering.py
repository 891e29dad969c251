"""A job from acceptance to its settled end, without processes between: the rules of money and of context."""

from collections.abc import Callable

from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.jobs import Job, JobStatus
from service.usecases.jobs import Submission
from service.usecases.ports import ChatAnswer, ChatRequest, JobQuery, RunHandedBack
from tests.core.checker import check_money
from tests.core.support import runner_with, submit, wallet

NewActor = Callable[..., Actor]


def ask(container: Container, actor: Actor, message: str, **fields: object) -> Job:
    """Submit and run a job in this process."""
    job = container.jobs.submit(actor, Submission(message=message, channel="api", **fields))
    container.run(job.id)
    return container.jobs.get(actor, job.id)


def test_answer_is_charged_by_the_providers_count(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18, "total_tokens": 38})

    job = ask(container, actor, "ping")

    assert job.status is JobStatus.SUCCEEDED
    assert (job.answer, job.charged, job.finish_reason) == ("pong", 38, "stop")
    statement = container.billing.statement(actor, None)
    assert (statement.wallet.available, statement.wallet.held) == (1_000_000 - 38, 0)
    assert statement.wallet.total_tokens == 38
    assert job.balance_after == 1_000_000 - 38
    check_money(db)


class CancelledAsItIsHandedBack:
    """A provider whose answer is given up at the moment in which somebody cancels it."""

    def __init__(self, container: Container, actor: Actor) -> None:
        self._container = container
        self._actor = actor

    def answer(self, request: ChatRequest) -> ChatAnswer:
        (job,) = self._container.jobs.page(self._actor, JobQuery(status=JobStatus.RUNNING)).items
        self._container.jobs.cancel(self._actor, job.id)
        raise RunHandedBack()


def test_a_cancel_that_meets_the_end_of_its_worker_is_carried_out(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(5_000)
    job = submit(container, actor)
    runner_with(container, CancelledAsItIsHandedBack(container, actor))(job.id)
    assert container.jobs.get(actor, job.id).status is JobStatus.CANCELLED
    assert wallet(container, actor) == (5_000, 0)
    check_money(db)
