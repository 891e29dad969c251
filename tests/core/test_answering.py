"""A job from acceptance to its settled end, without processes between: the rules of money and of context."""

from collections.abc import Callable

from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.jobs import Job, JobStatus
from service.usecases.jobs import Submission
from tests.core.checker import check_money

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
