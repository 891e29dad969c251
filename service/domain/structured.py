"""Answers that programs read: what a plan, a lesson and a welcome look like, and whether an answer is one.

The provider is asked for each by a JSON Schema of OpenAI's strict subset: every property required, no others allowed.
A schema can't say all, so an answer is checked here whatever the provider promised.
"""

import json
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import GenerateJsonSchema

PLAN = "plan"
LESSON = "lesson"
WELCOME = "welcome"
MAX_MODULES = 50
# They are stored inside their module.
MAX_LESSONS = 50
MAX_LESSON_MINUTES = 10_000


class InvalidAnswer(Exception):
    """The text is no answer in this format; says of what kind the mistake is and quotes nothing."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("blank")
    return text


# A schema of the strict subset has no word for it.
_Text = Annotated[str, AfterValidator(_not_blank)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Lesson(_Strict):
    title: _Text
    description: str
    duration_minutes: int = Field(ge=1, le=MAX_LESSON_MINUTES)


class Module(_Strict):
    title: _Text
    description: str
    lessons: list[Lesson] = Field(min_length=1, max_length=MAX_LESSONS)


class Plan(_Strict):
    title: _Text
    description: str
    modules: list[Module] = Field(min_length=1, max_length=MAX_MODULES)


class Section(_Strict):
    heading: _Text
    content: _Text


class LessonMaterial(_Strict):
    title: _Text
    objectives: list[_Text]
    sections: list[Section] = Field(min_length=1)
    exercises: list[_Text]
    summary: str


class Welcome(_Strict):
    message: _Text
    plan: Plan


_MODELS: dict[str, type[_Strict]] = {PLAN: Plan, LESSON: LessonMaterial, WELCOME: Welcome}
FORMATS = frozenset(_MODELS)


class _Untitled(GenerateJsonSchema):
    """Without the titles that repeat each property's name: they would be paid for with every prompt."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@cache
def schema(output_format: str) -> dict[str, Any]:
    """The JSON Schema of a format. Raises KeyError for one that there is not."""
    return _MODELS[output_format].model_json_schema(schema_generator=_Untitled)


def options(output_format: str | None) -> dict[str, Any]:
    """How the provider is asked for this format, as options of `service/domain/options.py`; none if it is None."""
    if output_format is None:
        return {}
    asked = {"name": output_format, "strict": True, "schema": schema(output_format)}
    return {"response_format": {"type": "json_schema", "json_schema": asked}}


def parse(output_format: str, text: str) -> dict[str, Any]:
    """The object that the text is. Raises InvalidAnswer, and KeyError for a format that there is not."""
    try:
        return _MODELS[output_format].model_validate_json(text).model_dump()
    except ValidationError as error:
        kinds = sorted({str(each["type"]) for each in error.errors(include_input=False, include_url=False)})
        raise InvalidAnswer(f"{error.error_count()} mistakes: {', '.join(kinds)}") from None


def dump(answer: dict[str, Any]) -> str:
    """The text of an object, as it is stored."""
    return json.dumps(answer, ensure_ascii=False)


def said(output_format: str, answer: dict[str, Any]) -> str:
    """What a chat shows of it: a welcome as its words and what it proposes, anything else as it is stored."""
    return f"{answer['message']}\n\n{outline(answer['plan'])}" if output_format == WELCOME else dump(answer)


def outline(plan: dict[str, Any]) -> str:
    """A plan as people read it: its modules, numbered, with the titles of their lessons."""
    lines = [plan["title"]]
    for number, module in enumerate(plan["modules"], 1):
        lines.append(f"{number}. {module['title']}")
        lines += [f"   - {lesson['title']}" for lesson in module["lessons"]]
    return "\n".join(lines)
