"""The end of a job: charged once, by what was used, and never by a worker that lost its claim."""

from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.tokenizer import count_tokens
from service.bootstrap import Container
from service.domain.billing import LOSS_ACCOUNT_ID, Charge
from service.domain.chat import Usage
from service.domain.jobs import Job, JobStatus, Outcome, cancelled, failed
from service.usecases.ports import ChatAnswer, ChatRequest
from tests.core.checker import check_money
from tests.core.support import NewActor, ask, lose_worker, runner_with, submit, wallet

PONG = Outcome(
    status=JobStatus.SUCCEEDED,
    charge=Charge(5),
    answer="pong",
    usage=Usage(prompt_tokens=3, completion_tokens=2),
    finish_reason="stop",
)


def claim(container: Container, job: Job) -> Job:
    claimed = container.run._jobs.claim(job.id, "a worker", 30)
    assert claimed is not None
    return claimed


def settle(container: Container, job: Job, outcome: Outcome) -> Job | None:
    return container.jobs._money.settle(job, outcome, 20)


def everything(db: Database) -> dict[str, list[dict[str, Any]]]:
    """All that is stored."""
    return {name: sorted(db[name].find(), key=lambda row: str(row["_id"])) for name in db.list_collection_names()}


def test_an_answer_is_charged_and_the_rest_of_the_hold_released(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18, "total_tokens": 999, **details})
    actor = new_actor(5_000)

    job = ask(container, actor)

    assert job.usage == Usage(prompt_tokens=20, cached_tokens=4, completion_tokens=18, reasoning_tokens=2)
    assert (job.charged, job.balance_after) == (38, 5_000 - 38)
    entry = db.ledger.find_one({"_id": f"{job.id}:final"})
    assert (entry["kind"], entry["amount"], entry["held_delta"]) == ("final", -38, -job.hold)
    (hold,) = db.ledger.find({"_id": f"{job.id}:hold"})
    assert entry["seq"] == hold["seq"] + 1
    assert container.billing.statement(actor, None).wallet.total_tokens == 38
    check_money(db)


def test_an_explicit_usage_of_zero_is_free(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0})
    actor = new_actor(5_000)
    job = ask(container, actor)
    assert (job.status, job.charged, job.usage) == (JobStatus.SUCCEEDED, 0, Usage())
    assert wallet(container, actor) == (5_000, 0)
    check_money(db)


NONSENSE: list[Any] = [
    None,
    {},
    {"prompt_tokens": 5},
    {"prompt_tokens": "5", "completion_tokens": 5},
    {"prompt_tokens": -5, "completion_tokens": 5},
    {"prompt_tokens": 5.5, "completion_tokens": 5},
    {"prompt_tokens": True, "completion_tokens": 5},
    {"prompt_tokens": 10**30, "completion_tokens": 1},
    {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
    {"prompt_tokens": 5, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": "all"}},
]


def test_a_usage_that_is_absent_or_nonsense_is_counted_here_and_flagged(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, subtests: pytest.Subtests
) -> None:
    actor, answer_tokens = new_actor(), count_tokens("pong and some more")
    for usage in NONSENSE:
        upstream.clear()
        upstream.rule(answer="pong and some more", usage=usage)
        with subtests.test(usage=usage):
            job = ask(container, actor)
            assert job.usage == Usage(prompt_tokens=job.prompt_tokens, completion_tokens=answer_tokens, estimated=True)
            assert job.charged == job.prompt_tokens + answer_tokens
    check_money(db)


@pytest.mark.parametrize("usage_details", [None, [], "many", 5])
def test_odd_details_of_a_good_usage_are_overlooked(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, usage_details: Any
) -> None:
    upstream.rule(usage={"prompt_tokens": 5, "completion_tokens": 6, "prompt_tokens_details": usage_details})
    job = ask(container, new_actor())
    assert job.status is JobStatus.SUCCEEDED
    assert job.charged == 11 or (job.usage is not None and job.usage.estimated)
    check_money(db)


def test_use_beyond_the_hold_is_the_operators_loss(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 100, "completion_tokens": 1_000_000})
    actor, other = new_actor(5_000), new_actor(5_000)

    first, second = ask(container, actor), ask(container, other)

    assert first.charged == first.hold
    assert wallet(container, actor) == (5_000 - first.hold, 0)
    losses = list(db.ledger.find({"account_id": LOSS_ACCOUNT_ID}).sort("seq", 1))
    assert [entry["_id"] for entry in losses] == [f"{first.id}:loss", f"{second.id}:loss"]
    assert losses[0]["amount"] == 1_000_100 - first.hold
    assert losses[0]["job_id"] == first.id
    check_money(db)


class UnstorableAnswers:
    """A model provider whose answers no database takes."""

    def answer(self, request: ChatRequest) -> ChatAnswer:
        return ChatAnswer(text="\ud83d", finish_reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=1))


def test_an_answer_that_cannot_be_stored_ends_its_job_at_once(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(5_000)
    job = submit(container, actor)

    runner_with(container, UnstorableAnswers())(job.id)

    done = container.jobs.get(actor, job.id)
    assert (done.status, done.error_code, done.attempt) == (JobStatus.FAILED, "INTERNAL_ERROR", 1)
    assert wallet(container, actor) == (5_000, 0)
    check_money(db)


def test_a_failure_costs_nothing(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(status=400, error={"code": "context_length_exceeded", "type": "invalid_request_error"})
    actor = new_actor(5_000)
    job = ask(container, actor)
    assert (job.status, job.error_code, job.charged) == (JobStatus.FAILED, "UPSTREAM_ERROR", 0)
    assert (job.answer, job.usage, job.balance_after) == (None, None, 5_000)
    assert wallet(container, actor) == (5_000, 0)
    check_money(db)


@pytest.mark.parametrize("outcome", [PONG, cancelled(), failed("X")], ids=lambda outcome: outcome.status)
@pytest.mark.parametrize("again", [PONG, cancelled(), failed("X")], ids=lambda outcome: outcome.status)
def test_a_second_settlement_changes_nothing(
    container: Container, db: Database, new_actor: NewActor, outcome: Outcome, again: Outcome
) -> None:
    job = claim(container, submit(container, new_actor()))
    settled = settle(container, job, outcome)
    assert settled is not None
    assert settled.status is outcome.status
    before = everything(db)

    assert settle(container, job, again) is None

    assert everything(db) == before
    check_money(db)


def test_a_worker_that_lost_its_claim_changes_nothing(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    queued = submit(container, actor)
    lose_worker(container, db, queued)
    stale = container.jobs.get(actor, queued.id)
    container.upkeep()
    before = everything(db)

    assert settle(container, stale, PONG) is None
    assert settle(container, queued, PONG) is None, "queued as it was once, but since claimed and given back"
    assert everything(db) == before

    current = claim(container, queued)
    before = everything(db)
    assert settle(container, stale, PONG) is None
    assert settle(container, stale, cancelled()) is None
    assert not container.run._jobs.requeue(stale)
    assert everything(db) == before

    assert settle(container, current, PONG) is not None
    assert container.jobs.get(actor, queued.id).attempt == 2
    check_money(db)


def test_a_lost_lease_is_not_renewed_by_its_old_owner(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor)
    lose_worker(container, db, job)
    container.upkeep()
    container.run._jobs.claim(job.id, "the next worker", 30)
    before = everything(db)

    container.run._jobs.renew([job.id], "a lost worker", 3_000)

    assert everything(db) == before


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_what_is_final_is_never_claimed_renewed_or_cancelled(
    container: Container, db: Database, new_actor: NewActor, status: str
) -> None:
    outcomes = {"succeeded": PONG, "failed": failed("X"), "cancelled": cancelled()}
    actor = new_actor()
    job = claim(container, submit(container, actor))
    settle(container, job, outcomes[status])
    before = everything(db)

    assert container.run(job.id) is None
    container.run._jobs.renew([job.id], "a worker", 30)
    container.run._jobs.mark_announced([job.id])
    assert container.jobs.cancel(actor, job.id).status == status

    assert everything(db) == before


def test_a_job_that_does_not_exist_is_nothing_to_run(container: Container, db: Database) -> None:
    assert container.run("no such job") is None
