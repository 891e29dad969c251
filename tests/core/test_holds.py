"""What is reserved before a question is accepted: never more than there is, enough for whatever the answer costs."""

import os

import pytest
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.billing import OUTPUT_FLOOR_TOKENS
from service.domain.errors import InsufficientTokens, InvalidMessage, NotFound, ValidationFailed
from service.domain.jobs import JobStatus
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, ask, at_once, kinds, set_balance, spread, submit, wallet

ACCEPTED, ASKED = 7, 20
# 100 of 100 were exact when it was last run so often: MONEY_REPETITIONS=100.
REPETITIONS = int(os.environ.get("MONEY_REPETITIONS", "10"))
# What the assistant `chat` may answer at most.
FULL_OUTPUT = 1000


def cost_of(container: Container, new_actor: NewActor, message: str = "ping") -> tuple[int, int]:
    """How many tokens the prompt of this first question is, and how many are held for it."""
    actor = new_actor(1_000_000)
    job = submit(container, actor, message)
    container.jobs.cancel(actor, job.id)
    return job.prompt_tokens, job.hold


@pytest.mark.parametrize("repetition", range(REPETITIONS))
def test_of_parallel_questions_exactly_as_many_are_accepted_as_are_paid_for(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor, repetition: int
) -> None:
    _, hold = cost_of(container, new_actor)
    actor = new_actor(ACCEPTED * hold + repetition)

    results = at_once(spread(submit, processes, ASKED, actor))

    assert kinds(results) == {"Job": ACCEPTED, "InsufficientTokens": ASKED - ACCEPTED}
    assert wallet(container, actor) == (repetition, ACCEPTED * hold)
    check_money(db)


def test_parallel_questions_and_answers_of_one_account_keep_its_balance(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    actor = new_actor(1_000_000)

    results = at_once(spread(ask, processes, 8, actor))

    assert [job.status for job in results] == [JobStatus.SUCCEEDED] * 8
    assert wallet(container, actor) == (1_000_000 - 8 * 38, 0)
    check_money(db)


def test_a_hold_is_the_prompt_and_the_longest_answer(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(5_000)
    job = submit(container, actor)

    assert job.output_tokens == FULL_OUTPUT
    assert job.hold == job.prompt_tokens + FULL_OUTPUT
    assert wallet(container, actor) == (5_000 - job.hold, job.hold)
    entry = db.ledger.find_one({"_id": f"{job.id}:hold"})
    assert (entry["kind"], entry["amount"], entry["job_id"]) == ("hold", 0, job.id)
    assert (entry["available_delta"], entry["held_delta"]) == (-job.hold, job.hold)
    check_money(db)


@pytest.mark.parametrize("output", [OUTPUT_FLOOR_TOKENS, OUTPUT_FLOOR_TOKENS + 1, 500, FULL_OUTPUT - 1])
def test_the_answer_is_as_long_as_the_account_can_pay_for(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, output: int
) -> None:
    prompt, _ = cost_of(container, new_actor)
    actor = new_actor(prompt + output)
    upstream.rule(answer="word " * 2000, usage={"prompt_tokens": prompt, "completion_tokens": output})

    job = ask(container, actor)

    assert (job.output_tokens, job.hold) == (output, prompt + output)
    assert upstream.journal(contains="ping")[-1]["body"]["max_completion_tokens"] == output
    assert (job.status, job.finish_reason, job.charged) == (JobStatus.SUCCEEDED, "length", prompt + output)
    assert wallet(container, actor) == (0, 0)
    check_money(db)


def test_whoever_cannot_pay_for_a_short_answer_is_refused(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    prompt, _ = cost_of(container, new_actor)
    required = prompt + OUTPUT_FLOOR_TOKENS
    actor = new_actor(required - 1)

    with pytest.raises(InsufficientTokens) as refused:
        submit(container, actor)

    assert refused.value.extra == {"required": required, "available": required - 1, "held": 0}
    assert db.jobs.count_documents({"account_id": actor.account_id}) == 0
    assert wallet(container, actor) == (required - 1, 0)
    check_money(db)


def test_a_refusal_says_what_is_held_by_jobs_that_still_run(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    prompt, hold = cost_of(container, new_actor)
    actor = new_actor(hold + 10)
    running = submit(container, actor)

    with pytest.raises(InsufficientTokens) as refused:
        submit(container, actor)

    assert refused.value.extra == {"required": prompt + OUTPUT_FLOOR_TOKENS, "available": 10, "held": hold}
    container.jobs.cancel(actor, running.id)
    assert submit(container, actor).hold == hold


def test_an_empty_account_is_refused(container: Container, db: Database, new_actor: NewActor) -> None:
    with pytest.raises(InsufficientTokens):
        submit(container, new_actor(0))
    check_money(db)


def test_weights_multiply_the_hold_and_are_kept_with_the_job(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    weights = {"version": 7, "input_milli": 500, "cached_milli": 50, "output_milli": 2500}
    model = {**db.models.find_one({"_id": "gpt-6-luna"}), "_id": "dear", "weights": weights}
    assistant = {**db.assistants.find_one({"_id": "chat"}), "_id": "dear", "model": "dear"}
    db.models.insert_one(model)
    db.assistants.insert_one(assistant)
    usage = {"prompt_tokens": 21, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 10}}
    upstream.rule(answer="pong", usage=usage)
    try:
        actor = new_actor()
        job = submit(container, actor, assistant="dear")
        # Whoever changes the price now doesn't change it for who asked before.
        db.models.update_one({"_id": "dear"}, {"$set": {"weights.output_milli": 1_000_000, "weights.version": 8}})
        container.run(job.id)
        done = container.jobs.get(actor, job.id)
    finally:
        db.models.delete_one({"_id": "dear"})
        db.assistants.delete_one({"_id": "dear"})

    assert job.hold == -(-(job.prompt_tokens * 500 + FULL_OUTPUT * 2500) // 1000)
    assert done.charged == 14  # 11 × 0.5 + 10 × 0.05 + 3 × 2.5 = 13.5
    assert done.weights.version == 7
    check_money(db)


def test_a_job_is_accepted_once(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor)
    with pytest.raises(DuplicateKeyError):
        container.jobs._money.reserve(job, None)
    check_money(db)


def test_an_admin_may_not_ask_for_nobody(container: Container, db: Database) -> None:
    with pytest.raises(NotFound):
        submit(container, ROOT, user_id="nobody")
    check_money(db)


@pytest.mark.parametrize("message", ["", " \n\t\u00a0", "x" * 10_001])
def test_messages_are_neither_empty_nor_too_long(container: Container, new_actor: NewActor, message: str) -> None:
    with pytest.raises(InvalidMessage):
        submit(container, new_actor(), message)


def test_a_message_may_have_ten_thousand_characters(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(1_000_000)
    assert submit(container, actor, "🙂" * 10_000).status is JobStatus.QUEUED
    check_money(db)


@pytest.mark.parametrize("assistant", ["nobody", "", "$where"])
def test_only_assistants_that_exist_can_be_asked(container: Container, new_actor: NewActor, assistant: str) -> None:
    with pytest.raises(ValidationFailed):
        submit(container, new_actor(), assistant=assistant)


def test_a_balance_beyond_32_bits_is_counted_exactly(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(0)
    set_balance(container, actor, 2**53 + 1)
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    ask(container, actor)
    assert wallet(container, actor) == (2**53 + 1 - 38, 0)
    check_money(db)
