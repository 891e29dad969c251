"""Admins change models, prices and assistants: who may, what is refused, and what becomes of questions meanwhile."""

from itertools import pairwise
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.mongo import catalog as remembered
from service.adapters.mongo.catalog import seed
from service.bootstrap import Container
from service.domain.accounts import Role
from service.domain.errors import Forbidden, NotFound, ValidationFailed, VersionChanged
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import ROOT, NewActor, ask, at_once, submit, wallet

MODEL = "gpt-6-luna"
USAGE = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}


def change_model(container: Container, alias: str = MODEL, expected: int = 1, **changes: Any) -> Any:
    return container.catalog.desk.change_model(ROOT, alias, expected, changes)


def change_assistant(container: Container, name: str = "chat", expected: int = 1, **changes: Any) -> Any:
    return container.catalog.desk.change_assistant(ROOT, name, expected, changes)


def prices(container: Container, **milli: int) -> Any:
    return change_model(container, weights={f"{name}_milli": value for name, value in milli.items()})


def test_a_price_is_for_questions_that_come_after_it(
    container: Container, catalog: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    """Also on a worker that knows of the change when it settles."""
    upstream.rule(usage=USAGE)
    anna = new_actor(tokens=100_000)
    early = submit(container, anna)
    held = wallet(container, anna)[1]
    state = prices(container, input=2000, output=3000)
    assert (state.entry.model.weights.version, state.entry.version) == (2, 2)
    assert container.run(early.id).charged == 30
    late = submit(container, anna)
    assert wallet(container, anna)[1] > held, "what is held is the new price too"
    settled = container.run(late.id)
    assert (settled.weights.version, settled.charged) == (2, 20 * 2 + 10 * 3)
    assert wallet(container, anna) == (100_000 - 30 - 70, 0)
    check_money(catalog)


def test_another_process_takes_a_change_up_within_seconds(
    processes: list[Container], catalog: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = processes[:2]
    anna = new_actor(tokens=100_000)
    assert submit(there, anna).weights.version == 1
    prices(here, output=5000)
    assert submit(here, anna).weights.output_milli == 5000, "at once where it was made"
    assert submit(there, anna).weights.output_milli == 1000, "or nothing is remembered, and this test proves nothing"
    later = remembered.time.monotonic() + remembered.REMEMBER_SECONDS + 0.1
    monkeypatch.setattr(remembered.time, "monotonic", lambda: later)
    assert submit(there, anna).weights.output_milli == 5000


def test_an_assistant_is_asked_as_it_is_now(
    container: Container, catalog: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    anna = new_actor(tokens=100_000)
    entry = change_assistant(
        container,
        persona="You are a pirate.",
        model="gpt-6-sol",
        temperature=0.3,
        output_tokens=321,
        history_messages=2,
    )
    assert entry.version == 2
    for message in ("one", "two", question):
        ask(container, anna, message)
    (call,) = upstream.journal(contains=question)
    sent = call["body"]
    assert (sent["model"], sent["temperature"], sent["max_completion_tokens"]) == ("gpt-6-sol", 0.3, 321)
    assert sent["messages"][0] == {"role": "system", "content": "You are a pirate."}
    assert [message["role"] for message in sent["messages"][1:]] == ["user", "assistant", "user"]
    assert sent["messages"][1]["content"] == "two", "two messages of history"


def test_only_admins_change_and_staff_look(container: Container, catalog: Database, new_actor: NewActor) -> None:
    desk = container.catalog.desk
    before = [list(catalog[name].find({})) for name in ("models", "assistants")]
    for role in (Role.USER, Role.SUPPORT):
        actor = new_actor(role=role)
        with pytest.raises(Forbidden):
            desk.change_model(actor, MODEL, 1, {"successor": None})
        with pytest.raises(Forbidden):
            desk.change_assistant(actor, "chat", 1, {"listed": False})
    for look in (desk.models, desk.assistants, desk.provider_read_at):
        look(new_actor(role=Role.SUPPORT))
        with pytest.raises(Forbidden):
            look(new_actor())
    assert before == [list(catalog[name].find({})) for name in ("models", "assistants")]
    assert catalog.audit.count_documents({"action": {"$in": ["model.change", "assistant.change"]}}) == 0


def test_a_change_is_audited_with_what_was_before(container: Container, catalog: Database) -> None:
    prices(container, output=4000)
    change_model(container, "gpt-4o-mini", successor="gpt-6-sol")
    change_assistant(container, temperature=1, listed=False)
    first, second, third = catalog.audit.find({}).sort("created_at", 1)
    assert (first["action"], first["subject_id"], first["outcome"]) == ("model.change", MODEL, "done")
    weights = {"version": 1, "input_milli": 1000, "cached_milli": 1000, "output_milli": 1000}
    assert first["details"] == {
        "before": {"weights": weights},
        "after": {"weights": {**weights, "version": 2, "output_milli": 4000}},
    }
    assert second["details"] == {"before": {"successor": "gpt-6-luna"}, "after": {"successor": "gpt-6-sol"}}
    assert (third["action"], third["subject_id"]) == ("assistant.change", "chat")
    assert third["details"] == {
        "before": {"temperature": None, "listed": True},
        "after": {"temperature": 1, "listed": False},
    }


def test_what_changes_nothing_is_no_change(container: Container, catalog: Database) -> None:
    assert prices(container, output=1000).entry.version == 1
    assert change_assistant(container, output_tokens=1000).version == 1
    assert catalog.audit.count_documents({"action": {"$in": ["model.change", "assistant.change"]}}) == 0


def test_nobody_overwrites_what_they_have_not_seen(processes: list[Container], catalog: Database) -> None:
    prices(processes[0], output=2000)
    with pytest.raises(VersionChanged) as refused:
        prices(processes[1], output=3000)
    assert refused.value.extra == {"version": 2}
    change_assistant(processes[0], output_tokens=900)
    with pytest.raises(VersionChanged):
        change_assistant(processes[1], output_tokens=800)
    assert catalog.models.find_one({"_id": MODEL})["weights"]["output_milli"] == 2000


def test_of_two_at_the_same_moment_one_wins(processes: list[Container], catalog: Database) -> None:
    tries = [lambda each=each, n=n: prices(each, output=2000 + n) for n, each in enumerate(processes)]
    results = at_once(tries)
    assert [type(each) for each in results].count(VersionChanged) == len(processes) - 1
    (winner,) = [each for each in results if not isinstance(each, Exception)]
    stored = catalog.models.find_one({"_id": MODEL})
    assert (stored["version"], stored["weights"]["version"]) == (2, 2)
    assert stored["weights"]["output_milli"] == winner.entry.model.weights.output_milli


@pytest.mark.parametrize("between", [(), ("gpt-5.6-sol", "gpt-5.6-luna")])
def test_successors_that_are_set_at_the_same_moment_never_lead_back(
    processes: list[Container], catalog: Database, between: tuple[str, ...]
) -> None:
    """Directly, and over models that nobody changes."""
    first, second = "gpt-6-luna", "gpt-6-sol"
    here, elsewhere = processes[:2]
    there, back = between or (second, first)
    for middle, end in zip(between, (second, first), strict=False):
        catalog.models.update_one({"_id": middle}, {"$set": {"successor": end}})
    for _ in range(10):
        catalog.models.update_many({"_id": {"$in": [first, second]}}, {"$set": {"successor": None, "version": 1}})
        results = at_once(
            [
                lambda: change_model(here, first, successor=there),
                lambda: change_model(elsewhere, second, successor=back),
            ]
        )
        refused = [each for each in results if isinstance(each, Exception)]
        assert [type(each) for each in refused] == [ValidationFailed], results
        assert refused[0].details == {"successor": ["successor_loop"]}


LINE = [f"t-{name}" for name in "abcdefg"]


@pytest.fixture
def line(catalog: Database) -> list[str]:
    """Seven models without successors, all over."""
    template = {**catalog.models.find_one({"_id": MODEL}), "successor": None, "shutdown_on": "2020-01-01"}
    catalog.models.insert_many([{**template, "_id": alias, "upstream_id": alias} for alias in LINE])
    return LINE


def test_a_successor_too_far_from_a_model_in_front_is_refused(
    container: Container, catalog: Database, line: list[str]
) -> None:
    for alias, successor in pairwise(line[:6]):
        change_model(container, alias, successor=successor)
    first, *_, last, beyond = line
    with pytest.raises(ValidationFailed) as refused:
        change_model(container, last, successor=beyond)
    assert refused.value.details == {"successor": [f"successor_too_far:{first}"]}
    states = {state.entry.model.alias: state for state in container.catalog.desk.models(ROOT)}
    assert states[first].sent.upstream_id == last

    change_model(container, first, 2, successor=line[2])
    change_model(container, last, successor=beyond)
    states = {state.entry.model.alias: state for state in container.catalog.desk.models(ROOT)}
    assert {states[alias].sent.upstream_id for alias in line} == {beyond}


def test_a_line_that_grows_at_two_places_at_once_is_never_too_long(
    processes: list[Container], catalog: Database, line: list[str]
) -> None:
    for alias, successor in zip(line[:5], [*line[1:3], None, *line[4:6]], strict=True):
        catalog.models.update_one({"_id": alias}, {"$set": {"successor": successor}})
    middle, last = line[2], line[5]
    for _ in range(10):
        catalog.models.update_many({"_id": {"$in": [middle, last]}}, {"$set": {"successor": None, "version": 1}})
        results = at_once(
            [
                lambda: change_model(processes[0], middle, successor=line[3]),
                lambda: change_model(processes[1], last, successor=line[6]),
            ]
        )
        refused = [each for each in results if isinstance(each, Exception)]
        assert [type(each) for each in refused] == [ValidationFailed], results
        assert refused[0].details == {"successor": [f"successor_too_far:{line[0]}"]}


@pytest.mark.parametrize(
    ("alias", "changes", "field", "complaint"),
    [
        (MODEL, {"output_tokens": 128_000}, "outputTokens", "range:64:127999"),
        (MODEL, {"context_tokens": 16_384}, "outputTokens", "range:64:16383"),
        (MODEL, {"context_tokens": 6_500, "output_tokens": 6_400}, "contextTokens", "assistant_needs_room:"),
        (MODEL, {"successor": MODEL}, "successor", "successor_loop"),
        (MODEL, {"successor": "gpt-4o-mini"}, "successor", "successor_loop"),
        (MODEL, {"successor": "gpt-0"}, "successor", "unknown_model"),
        (MODEL, {"successor": "default"}, "successor", "unknown_model"),
    ],
)
def test_a_model_must_make_sense(
    container: Container, catalog: Database, alias: str, changes: dict[str, Any], field: str, complaint: str
) -> None:
    before = catalog.models.find_one({"_id": alias})
    with pytest.raises(ValidationFailed) as refused:
        change_model(container, alias, **changes)
    assert list(refused.value.details) == [field]
    assert refused.value.details[field][0].startswith(complaint)
    assert catalog.models.find_one({"_id": alias}) == before


@pytest.mark.parametrize(
    ("changes", "field", "complaint"),
    [
        ({"model": "gpt-0"}, "model", "unknown_model"),
        ({"output_tokens": 16_385}, "outputTokens", "range:64:16384"),
        ({"model": "gpt-4-turbo", "output_tokens": 16_385}, "outputTokens", "range:64:16384"),
        ({"model": "t-small", "output_tokens": 100}, "persona", "no_room:1024"),
        ({"model": "t-cool", "temperature": 0.5}, "temperature", "temperature_not_accepted"),
    ],
)
def test_an_assistant_must_make_sense(
    container: Container, catalog: Database, changes: dict[str, Any], field: str, complaint: str
) -> None:
    template = catalog.models.find_one({"_id": MODEL})
    catalog.models.insert_many(
        [
            {**template, "_id": "t-cool", "accepts_temperature": False},
            {**template, "_id": "t-small", "context_tokens": 1100, "output_tokens": 200},
        ]
    )
    with pytest.raises(ValidationFailed) as refused:
        change_assistant(container, **changes)
    assert refused.value.details == {field: [complaint]}
    assert catalog.assistants.find_one({"_id": "chat"})["version"] == 1


def test_what_is_wrong_already_keeps_nobody_from_other_changes(container: Container, catalog: Database) -> None:
    catalog.assistants.update_one({"_id": "chat"}, {"$set": {"model": "gone", "temperature": 1.0}})
    assert change_assistant(container, listed=False).version == 2
    catalog.models.update_one({"_id": MODEL}, {"$set": {"successor": "gone"}})
    assert prices(container, output=2000).entry.version == 2


def test_what_is_not_there_is_not_found(container: Container, catalog: Database) -> None:
    with pytest.raises(NotFound):
        change_model(container, "gpt-0", successor=None)
    with pytest.raises(NotFound):
        change_assistant(container, "nobody", listed=False)


def test_a_model_that_was_put_there_by_hand_can_be_changed(container: Container, catalog: Database) -> None:
    template = {name: value for name, value in catalog.models.find_one({"_id": MODEL}).items() if name != "version"}
    catalog.models.insert_one({**template, "_id": "t-by-hand"})
    assert change_model(container, "t-by-hand", 0, upstream_id="x").entry.version == 1


def test_setting_up_again_keeps_what_admins_changed(container: Container, catalog: Database) -> None:
    prices(container, output=4000)
    change_assistant(container, persona="Mine.")
    seed()
    assert catalog.models.find_one({"_id": MODEL})["weights"]["output_milli"] == 4000
    assert catalog.assistants.find_one({"_id": "chat"})["persona"] == "Mine."
    assert {entry.version for entry in container.catalog.desk.assistants(ROOT)} == {1, 2}


def test_default_means_the_installations_model(container: Container, catalog: Database, build: Build) -> None:
    states = {state.entry.model.alias: state for state in container.catalog.desk.models(ROOT)}
    assert "default" not in states
    assert container.catalog.desk.default_model == MODEL
    assert states[MODEL].assistants == sorted(row["_id"] for row in catalog.assistants.find({}))
    assert change_model(container, "default", accepts_temperature=False).entry.model.alias == MODEL

    other = build(openai_model="house-of-cards")
    change_model(other, "house-of-cards", weights={"output_milli": 7000})
    found = {state.entry.model.alias: state for state in other.catalog.desk.models(ROOT)}["house-of-cards"]
    assert (found.entry.id, found.sent.upstream_id, found.entry.version) == ("default", "house-of-cards", 2)
    assert other.completions.model("house-of-cards").weights.output_milli == 7000


def test_models_are_listed_with_what_is_wrong(container: Container, catalog: Database) -> None:
    states = {state.entry.model.alias: state for state in container.catalog.desk.models(ROOT)}
    assert states["gpt-4-turbo"].sent.upstream_id == "gpt-5.6-sol"
    assert (states["gpt-4-turbo"].warning, states[MODEL].warning) == ("replaced", None)
    assert states["gpt-4-turbo"].days_left < 0
    catalog.models.update_one({"_id": "gpt-4-turbo"}, {"$set": {"successor": None}})
    states = {state.entry.model.alias: state for state in container.catalog.desk.models(ROOT)}
    assert states["gpt-4-turbo"].warning == "ended"
