"""The models and assistants that the service comes with make sense together."""

import json
from datetime import date
from importlib import resources
from typing import Any

import pytest

from service.domain.billing import OUTPUT_FLOOR_TOKENS
from service.domain.catalog import DEFAULT_MODEL
from service.domain.structured import FORMATS

CATALOG: dict[str, list[dict[str, Any]]] = json.loads(
    resources.files("service.data").joinpath("catalog.json").read_text(encoding="utf-8")
)
MODELS = {model["id"]: model for model in CATALOG["models"]}
ASSISTANTS = {assistant["id"]: assistant for assistant in CATALOG["assistants"]}

each_model = pytest.mark.parametrize("model", CATALOG["models"], ids=list(MODELS))
each_assistant = pytest.mark.parametrize("assistant", CATALOG["assistants"], ids=list(ASSISTANTS))


def test_ids_are_unique() -> None:
    assert len(MODELS) == len(CATALOG["models"])
    assert len(ASSISTANTS) == len(CATALOG["assistants"])
    assert DEFAULT_MODEL in MODELS


def test_every_surface_has_its_assistant() -> None:
    meters = {name: assistant["meter"] for name, assistant in ASSISTANTS.items()}
    shaped = dict.fromkeys(("planner", "lesson", "welcome"), "tokens")
    talking = {"chat": "tokens", "bizlevel": "free", "coach": "credits", "tutor": "tokens", "stream": "free"}
    assert meters == talking | shaped


def test_those_whose_answers_programs_read_have_a_format() -> None:
    formats = {name: assistant.get("response_format") for name, assistant in ASSISTANTS.items()}
    shaped = {name: found for name, found in formats.items() if found is not None}
    assert shaped == {"planner": "plan", "lesson": "lesson", "welcome": "welcome"}
    assert set(shaped.values()) == FORMATS


@each_assistant
def test_an_assistant_fits_its_model(assistant: dict[str, Any]) -> None:
    model = MODELS[assistant["model"]]
    assert assistant["persona"].strip()
    assert assistant["locale"] in ("ru", "en", "fr")
    assert OUTPUT_FLOOR_TOKENS <= assistant["output_tokens"] <= model["output_tokens"]
    assert assistant["output_tokens"] < model["context_tokens"]
    assert assistant["history_messages"] == 20
    assert assistant["temperature"] is None or 0 <= assistant["temperature"] <= 2


@each_model
def test_a_model_can_be_sent(model: dict[str, Any]) -> None:
    assert bool(model["upstream_id"]) == (model["id"] != DEFAULT_MODEL)
    assert model["output_parameter"] in ("max_completion_tokens", "max_tokens")
    assert 0 < model["output_tokens"] < model["context_tokens"]
    assert model["weights"]["version"] >= 1
    assert all(type(weight) is int and weight >= 0 for weight in model["weights"].values())


@each_model
def test_a_model_that_ends_has_a_successor_that_lives_longer(model: dict[str, Any]) -> None:
    assert (model["shutdown_on"] is None) == (model["successor"] is None)
    if model["successor"] is not None:
        end = date.fromisoformat(model["shutdown_on"])
        successor = MODELS[model["successor"]]
        assert successor["shutdown_on"] is None or date.fromisoformat(successor["shutdown_on"]) > end


@pytest.mark.parametrize(
    ("alias", "end", "successor"),
    [
        ("gpt-3.5-turbo", "2026-10-23", "gpt-5.6-terra"),
        ("gpt-4-turbo", "2026-10-23", "gpt-5.6-sol"),
        ("gpt-4o-mini", "2027-01-14", "gpt-6-luna"),
    ],
)
def test_models_at_the_end_of_their_life_are_mapped(alias: str, end: str, successor: str) -> None:
    assert (MODELS[alias]["shutdown_on"], MODELS[alias]["successor"]) == (end, successor)
