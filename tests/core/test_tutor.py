"""The tutor's settings: whose they are, what may be set, what a model that is gone means; the test of the provider."""

from collections.abc import Iterator

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.errors import Forbidden, RateLimited, UpstreamFailed, UpstreamTimeout, ValidationFailed
from service.domain.tutor import TutorConfig
from service.usecases import tutor as use_case
from tests.core.conftest import Build
from tests.core.support import ROOT, NewActor, at_once, new_key, program_of

DEFAULT = TutorConfig("default", 0.7, 2000, None)
# A provider's list that lacks whatever is asked for.
OTHERS = '{"object": "list", "data": [{"id": "another", "object": "model"}]}'


@pytest.fixture
def small_model(db: Database) -> Iterator[str]:
    db.models.insert_one({**db.models.find_one({"_id": "gpt-6-luna"}), "_id": "tiny", "output_tokens": 300})
    yield "tiny"
    db.models.delete_one({"_id": "tiny"})


def test_settings_are_their_owners(container: Container, db: Database, new_actor: NewActor) -> None:
    anna, boris = new_actor(), new_actor()
    assert container.tutor.default() == container.tutor.config(anna, None) == DEFAULT
    changes = {"model": "gpt-6-sol", "temperature": 0.2, "max_tokens": 500, "language": "fr"}
    assert container.tutor.change(anna, None, changes) == TutorConfig(**changes)
    assert container.tutor.config(anna, None) == TutorConfig(**changes)
    assert container.tutor.config(boris, None) == DEFAULT
    assert container.tutor.config(ROOT, anna.account_id) == TutorConfig(**changes)
    for forbidden in (
        lambda: container.tutor.config(boris, anna.account_id),
        lambda: container.tutor.change(boris, anna.account_id, {"language": "en"}),
    ):
        with pytest.raises(Forbidden):
            forbidden()


def test_only_what_is_named_changes_and_none_is_the_default_again(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    container.tutor.change(anna, None, {"temperature": 0, "language": "en"})
    assert container.tutor.change(anna, None, {"max_tokens": 64}) == TutorConfig("default", 0, 64, "en")
    assert container.tutor.change(anna, None, {}) == TutorConfig("default", 0, 64, "en")
    reset = dict.fromkeys(("model", "temperature", "max_tokens", "language"))
    assert container.tutor.change(anna, None, reset) == DEFAULT


@pytest.mark.parametrize(
    ("changes", "details"),
    [
        ({"model": "gpt-0"}, {"model": ["unknown_model"]}),
        ({"max_tokens": 63}, {"max_tokens": ["range:64:16384"]}),
        ({"max_tokens": 16_385}, {"max_tokens": ["range:64:16384"]}),
        ({"model": "tiny", "max_tokens": 301}, {"max_tokens": ["range:64:300"]}),
    ],
)
def test_what_no_model_can_do_is_refused(
    container: Container, db: Database, new_actor: NewActor, small_model: str, changes: dict, details: dict
) -> None:
    anna = new_actor()
    with pytest.raises(ValidationFailed) as refused:
        container.tutor.change(anna, None, changes)
    assert refused.value.details == details
    assert container.tutor.config(anna, None) == DEFAULT


def test_a_smaller_model_needs_a_smaller_limit(
    container: Container, db: Database, new_actor: NewActor, small_model: str
) -> None:
    anna = new_actor()
    container.tutor.change(anna, None, {"max_tokens": 1000})
    with pytest.raises(ValidationFailed):
        container.tutor.change(anna, None, {"model": small_model})
    assert container.tutor.change(anna, None, {"model": small_model, "max_tokens": 300}).max_tokens == 300


def test_a_model_that_is_gone_is_the_default_again(
    build: Build, db: Database, new_actor: NewActor, small_model: str
) -> None:
    anna = new_actor()
    build().tutor.change(anna, None, {"model": small_model, "max_tokens": 300})
    db.models.update_one({"_id": small_model}, {"$set": {"output_tokens": 200}})
    assert build().tutor.config(anna, None) == TutorConfig(small_model, 0.7, 200, None)
    db.models.delete_one({"_id": small_model})
    fresh = build()
    assert fresh.tutor.config(anna, None) == TutorConfig("default", 0.7, 300, None)
    party = fresh.jobs._owners.party(anna, None, "chat.ask")
    assert fresh.tutor.assistant_for(party).model == "default"


def test_the_assistant_is_the_one_for_whom_it_answers(container: Container, db: Database, new_actor: NewActor) -> None:
    anna = new_actor()
    program = program_of(new_key(container, anna))
    container.tutor.change(program, "4242", {"temperature": 1.5, "language": "en"})
    owners = container.jobs._owners
    of_end_user = container.tutor.assistant_for(owners.party(program, "4242", "chat.ask"))
    assert of_end_user.temperature == 1.5
    assert of_end_user.persona.endswith("Answer in English.")
    assert container.tutor.assistant_for(owners.party(anna, None, "chat.ask")).temperature == 0.7
    planner = container.tutor.assistant_for(owners.party(program, "4242", "chat.ask"), "planner")
    assert (planner.response_format, planner.temperature) == ("plan", 1.5)


def test_changes_at_once_are_all_kept(
    processes: list[Container], container: Container, db: Database, new_actor: NewActor
) -> None:
    anna = new_actor()
    changes = [{"temperature": 0.1}, {"max_tokens": 99}, {"language": "fr"}, {"model": "gpt-6-sol"}]
    results = at_once(
        [
            lambda process=process, c=c: process.tutor.change(anna, None, c)
            for process, c in zip(processes, changes, strict=True)
        ]
    )
    assert not [each for each in results if isinstance(each, Exception)]
    assert container.tutor.config(anna, None) == TutorConfig("gpt-6-sol", 0.1, 99, "fr")


@pytest.mark.parametrize(("model", "has_model"), [("default", True), ("gpt-5.6-sol", True), ("gpt-5.6-sol", False)])
def test_the_provider_is_asked_for_the_model_that_is_set(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, model: str, has_model: bool
) -> None:
    anna = new_actor()
    container.tutor.change(anna, None, {"model": model})
    listed = None if has_model else OTHERS
    upstream.rule(path="/v1/models", delay_seconds=0.1, raw_body=listed, content_type="application/json")
    found = container.tutor.test_connection(anna)
    assert (found.model, found.has_model) == (model, has_model)
    assert found.seconds >= 0.1


def test_a_test_is_limited(
    container: Container, db: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_case, "CHECKS_PER_MINUTE", 2)
    monkeypatch.setattr(use_case, "ALL_CHECKS_PER_MINUTE", 3)
    anna, boris = new_actor(), new_actor()
    for _ in range(2):
        container.tutor.test_connection(anna)
    with pytest.raises(RateLimited) as refused:
        container.tutor.test_connection(anna)
    assert 0 < (refused.value.retry_after_seconds or 0) <= 60
    container.tutor.test_connection(boris)
    with pytest.raises(RateLimited):
        container.tutor.test_connection(boris)


def test_outcomes_are_counted(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(outcome: str) -> float:
        sample = f'llm_checks_total{{outcome="{outcome}"}} '
        lines = container.metrics.render()[0].decode().splitlines()
        return next((float(line.removeprefix(sample)) for line in lines if line.startswith(sample)), 0.0)

    monkeypatch.setattr("service.adapters.openai.check.READ_TIMEOUT_SECONDS", 0.2)
    outcomes = ("ok", "no_model", "key_refused", "timeout")
    before, anna = {outcome: counted(outcome) for outcome in outcomes}, new_actor()
    upstream.rule(path="/v1/models", times=1, status=401)
    upstream.rule(path="/v1/models", times=1, delay_seconds=9)
    for expected in (UpstreamFailed, UpstreamTimeout):
        with pytest.raises(expected):
            container.tutor.test_connection(anna)
    container.tutor.test_connection(anna)
    upstream.rule(path="/v1/models", raw_body=OTHERS, content_type="application/json")
    container.tutor.test_connection(anna)
    assert {outcome: counted(outcome) - before[outcome] for outcome in outcomes} == dict.fromkeys(outcomes, 1.0)
