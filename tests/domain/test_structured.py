"""The formats of structured answers: schemas that OpenAI takes as strict, and what is an answer in them."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from devstack.upstream_instances import instance_of
from service.domain import structured

# What OpenAI's structured outputs know of JSON Schema, of the words that we might use.
KNOWN = {"$defs", "$ref", "additionalProperties", "items", "maxItems", "maximum", "minItems", "minimum", "properties"}
KNOWN |= {"required", "title", "type"}
PLAN = {
    "title": "Питон",
    "description": "",
    "modules": [
        {
            "title": "Начало",
            "description": "С нуля",
            "lessons": [{"title": "Переменные", "description": "", "duration_minutes": 30}],
        }
    ],
}


def schemas(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all those in it."""
    yield schema
    inner = [*schema.get("$defs", {}).values(), *schema.get("properties", {}).values()]
    for each in [*inner, *([schema["items"]] if "items" in schema else [])]:
        yield from schemas(each)


@pytest.mark.parametrize("output_format", sorted(structured.FORMATS))
def test_schemas_are_of_the_strict_subset(output_format: str) -> None:
    whole = structured.schema(output_format)
    Draft202012Validator.check_schema(whole)
    assert whole["type"] == "object"
    for schema in schemas(whole):
        assert schema.keys() <= KNOWN
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])


@pytest.mark.parametrize("output_format", sorted(structured.FORMATS))
def test_what_fits_the_schema_is_an_answer(output_format: str) -> None:
    schema = structured.schema(output_format)
    answer = instance_of(schema, schema, "Питон")
    assert structured.parse(output_format, json.dumps(answer)) == answer
    assert json.loads(structured.dump(answer)) == answer


def test_how_the_provider_is_asked() -> None:
    assert structured.options(None) == {}
    asked = structured.options("plan")["response_format"]
    assert (asked["type"], asked["json_schema"]["name"], asked["json_schema"]["strict"]) == (
        "json_schema",
        "plan",
        True,
    )
    assert asked["json_schema"]["schema"] == structured.schema("plan")


def changed(*path: Any, to: Any = None) -> dict[str, Any]:
    """The plan with another value at this path, or without what is there."""
    plan = deepcopy(PLAN)
    *way, last = path
    place: Any = plan
    for step in way:
        place = place[step]
    if to is None:
        del place[last]
    else:
        place[last] = to
    return plan


LESSON = ("modules", 0, "lessons", 0)


@pytest.mark.parametrize(
    "answer",
    [
        changed("title"),
        changed("title", to=7),
        changed("title", to=" \n"),
        changed("extra", to="x"),
        changed("modules", to=[]),
        changed("modules", to={}),
        changed("modules", 0, "lessons", to=[]),
        changed("modules", 0, "lessons", to=[PLAN["modules"][0]["lessons"][0]] * 51),
        changed(*LESSON, "duration_minutes", to="30"),
        changed(*LESSON, "duration_minutes", to=0),
        changed(*LESSON, "duration_minutes", to=1.5),
        changed(*LESSON, "duration_minutes", to=True),
        changed(*LESSON, "description"),
    ],
)
def test_what_breaks_the_format_is_no_answer(answer: dict[str, Any]) -> None:
    assert structured.parse("plan", json.dumps(PLAN)) == PLAN
    with pytest.raises(structured.InvalidAnswer):
        structured.parse("plan", json.dumps(answer))


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", '"plan"', "```json\n{}\n```", '{"title": "\\ud800"}', "[" * 10_000]
)
def test_what_is_no_object_is_no_answer(text: str) -> None:
    with pytest.raises(structured.InvalidAnswer):
        structured.parse("plan", text)


def test_a_mistake_is_told_without_the_answer() -> None:
    with pytest.raises(structured.InvalidAnswer) as mistake:
        structured.parse("plan", json.dumps({**PLAN, "secret name": "secret text", "title": 5}))
    assert str(mistake.value) == "2 mistakes: extra_forbidden, string_type"


def test_an_unknown_format_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        structured.parse("poem", "{}")


def test_a_chat_shows_a_welcome_as_its_words_and_what_it_proposes() -> None:
    shown = structured.said("welcome", {"message": "Привет!", "plan": PLAN})
    assert shown == "Привет!\n\nПитон\n1. Начало\n   - Переменные"


@pytest.mark.parametrize("output_format", ["plan", "lesson"])
def test_a_chat_shows_anything_else_as_it_is_stored(output_format: str) -> None:
    assert structured.said(output_format, PLAN) == structured.dump(PLAN)
