"""What is sent to the model provider: parameters that each model takes, and nothing about the person who asks."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.jobs import JobStatus
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import NewActor, ask, submit


@pytest.fixture
def house_model(db: Database) -> Iterator[dict[str, Any]]:
    """A model and an assistant of its own, to be changed before they are used: `offer(**fields of the model)`."""
    yield {}
    db.models.delete_many({"_id": {"$regex": "^house"}})
    db.assistants.delete_many({"_id": {"$regex": "^house"}})


def offer(db: Database, **fields: Any) -> str:
    """Put a model on offer; the id of the assistant that uses it."""
    model = {**db.models.find_one({"_id": "gpt-6-luna"}), "_id": "house", "upstream_id": "house-1", **fields}
    db.models.insert_one(model)
    assistant = {**db.assistants.find_one({"_id": "chat"}), "_id": "house", "model": "house", "temperature": 0.7}
    db.assistants.insert_one(assistant)
    return "house"


def bodies(upstream: UpstreamControl, question: str) -> list[dict[str, Any]]:
    return [call["body"] for call in upstream.journal(contains=question)]


def test_a_call_names_the_request_and_hides_the_account(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    someone = new_actor()
    actor = Actor(account_id=someone.account_id, role=someone.role, request_id="req-4711")
    job = ask(container, actor, question)

    (call,) = upstream.journal(contains=question)

    assert call["request_id"] == "req-4711"
    safety_id = call["body"]["safety_identifier"]
    assert safety_id == hashlib.sha256(actor.account_id.encode()).hexdigest()
    assert len(safety_id) <= 64
    everything = json.dumps(call)
    for private in (actor.account_id, job.id, job.session_id):
        assert private not in everything


def test_a_plain_call_has_the_models_parameters_and_no_others(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    ask(build(), new_actor(1_000_000), question)
    (body,) = bodies(upstream, question)
    assert {name: value for name, value in body.items() if name not in ("messages", "safety_identifier")} == {
        "model": "gpt-6-luna",
        "max_completion_tokens": 1000,
        "reasoning_effort": "none",
    }
    assert [set(message) for message in body["messages"]] == [{"role", "content"}] * 2


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_output_limit_goes_by_the_models_name_for_it(
    build: Build,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    house_model: dict,
    name: str,
) -> None:
    assistant = offer(db, output_parameter=name, output_tokens=77)
    ask(build(), new_actor(), question, assistant=assistant)
    (body,) = bodies(upstream, question)
    assert {key: body.get(key) for key in ("max_tokens", "max_completion_tokens") if key in body} == {name: 77}
    assert body["model"] == "house-1"


@pytest.mark.parametrize("accepts", [True, False])
@pytest.mark.parametrize("effort", [None, "low"])
def test_optional_parameters_go_to_models_that_take_them(
    build: Build,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    house_model: dict,
    accepts: bool,
    effort: str | None,
) -> None:
    assistant = offer(db, accepts_temperature=accepts, reasoning_effort=effort)
    ask(build(), new_actor(), question, assistant=assistant)
    (body,) = bodies(upstream, question)
    assert body.get("temperature") == (0.7 if accepts else None)
    assert body.get("reasoning_effort") == effort


def test_a_refused_parameter_is_left_out_at_once_and_from_then_on(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, house_model: dict
) -> None:
    container, assistant = build(), offer(db)
    upstream.rule(model="house-1", refuse_params=["temperature"])
    actor = new_actor(1_000_000)

    for _ in range(2):
        assert ask(container, actor, question, assistant=assistant).status is JobStatus.SUCCEEDED

    assert ["temperature" in body for body in bodies(upstream, question)] == [True, False, False]
    ask(container, actor, f"{question} again", assistant="tutor")
    assert "temperature" in bodies(upstream, f"{question} again")[0], "other models still get it"
    check_money(db)


def test_several_refused_parameters_are_left_out_one_by_one(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, house_model: dict
) -> None:
    optional = ["temperature", "reasoning_effort", "safety_identifier"]
    assistant = offer(db, reasoning_effort="low")
    upstream.rule(model="house-1", refuse_params=optional)
    assert ask(build(), new_actor(), question, assistant=assistant).status is JobStatus.SUCCEEDED
    assert [len(set(optional) & set(body)) for body in bodies(upstream, question)] == [3, 2, 1, 0]


@pytest.mark.parametrize("parameter", ["max_completion_tokens", "model", "messages"])
def test_a_parameter_that_the_answer_needs_is_never_left_out(
    build: Build,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    question: str,
    house_model: dict,
    parameter: str,
) -> None:
    """Without the output limit an answer could cost more than was held for it."""
    assistant = offer(db)
    upstream.rule(model="house-1", refuse_params=[parameter])
    job = ask(build(), new_actor(), question, assistant=assistant)
    assert (job.status, job.charged) == (JobStatus.FAILED, 0)
    assert len(bodies(upstream, question)) == 1


def test_a_parameter_that_is_refused_though_it_was_left_out_ends_the_call(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, house_model: dict
) -> None:
    assistant = offer(db)
    error = {"code": "unsupported_value", "type": "invalid_request_error", "param": "temperature", "message": ""}
    upstream.rule(model="house-1", status=400, error=error)
    assert ask(build(), new_actor(), question, assistant=assistant).status is JobStatus.FAILED
    assert len(bodies(upstream, question)) == 2


@pytest.mark.parametrize("name", ["house-of-cards", "gpt-5.4-mini", "org/model:free"])
def test_the_installations_model_is_sent_whether_the_catalog_knows_it_or_not(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, name: str
) -> None:
    job = ask(build(openai_model=name), new_actor(), question)
    assert (job.status, job.model, job.upstream_model) == (JobStatus.SUCCEEDED, name, name)
    (body,) = bodies(upstream, question)
    assert body["model"] == name
    check_money(db)


def test_a_model_that_is_gone_from_the_catalog_fails_its_jobs_for_free(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str, house_model: dict
) -> None:
    actor, assistant = new_actor(), offer(db)
    job = submit(build(), actor, question, assistant=assistant)
    db.models.delete_one({"_id": "house"})
    worker = build()
    worker.run(job.id)
    done = worker.jobs.get(actor, job.id)
    assert (done.status, done.error_code, done.charged) == (JobStatus.FAILED, "UPSTREAM_ERROR", 0)
    assert bodies(upstream, question) == []
    check_money(db)
