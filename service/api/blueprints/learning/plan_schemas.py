"""Plans, lessons and welcomes: the bodies that ask for them, and what they look like."""

from typing import Any, ClassVar

from marshmallow import fields, validate

from service.api.blueprints.learning.asking import EXAMPLE_REPLIED, InChat, Question, Replied
from service.api.blueprints.learning.track_schemas import (
    MAX_HOURS,
    TEXT_MAX_CHARACTERS,
    TITLE_MAX_CHARACTERS,
    TrackBody,
)
from service.api.fields import Choice, Items, Number, Record, SnakeInput, SnakeOutput, Text, Whole
from service.api.schemas import EXAMPLE_ID, Id
from service.domain.structured import MAX_LESSON_MINUTES, MAX_LESSONS, MAX_MODULES
from service.domain.tracks import Difficulty

# Beyond what a model writes, so that a plan of ours can be sent back as it came.
PLAN_TITLE_CHARACTERS = 1000
PLAN_TEXT_CHARACTERS = 10_000
EXAMPLE_PLAN: dict[str, Any] = {
    "title": "Python с нуля",
    "description": "От первой программы до отчёта, который собирается сам",
    "modules": [
        {
            "title": "Первые шаги",
            "description": "Установка и первая программа",
            "lessons": [{"title": "Переменные", "description": "Что это и зачем", "duration_minutes": 30}],
        }
    ],
}
_MODULE: dict[str, Any] = TrackBody.EXAMPLE["modules"][0]


class Facts(SnakeInput):
    """What is known of a course."""

    title = Text(load_default="", max_length=TITLE_MAX_CHARACTERS)
    description = Text(load_default="", max_length=TEXT_MAX_CHARACTERS)
    skill_area = Text(load_default="", max_length=TITLE_MAX_CHARACTERS)
    difficulty_level = Choice(tuple(Difficulty), load_default=None)
    user_expectations = Text(load_default="", max_length=TEXT_MAX_CHARACTERS)


class PlanQuestion(Question, InChat, Facts):
    EXAMPLE: ClassVar[Any] = {
        "title": "Python с нуля",
        "description": "Основы языка и первые программы",
        "skill_area": "Программирование",
        "difficulty_level": "beginner",
        "estimated_duration_hours": 12.5,
        "user_expectations": "Хочу автоматизировать отчёты",
    }

    estimated_duration_hours = Number(0, MAX_HOURS, above=True, allow_none=True, load_default=None)
    track_id = Id(load_default=None, metadata={"description": "Its fields then fill what is missing."})


class PlanLesson(SnakeOutput):
    title = fields.String(required=True)
    description = fields.String(required=True)
    duration_minutes = fields.Integer(required=True)


class PlanModule(SnakeOutput):
    title = fields.String(required=True)
    description = fields.String(required=True)
    lessons = fields.List(Record(PlanLesson), required=True)


class CoursePlan(SnakeOutput):
    EXAMPLE: ClassVar[Any] = EXAMPLE_PLAN

    title = fields.String(required=True)
    description = fields.String(required=True)
    modules = fields.List(Record(PlanModule), required=True)


class PlanReply(CoursePlan, Replied):
    EXAMPLE: ClassVar[Any] = {**EXAMPLE_PLAN, **EXAMPLE_REPLIED}


class LessonQuestion(Question, Facts):
    EXAMPLE: ClassVar[Any] = {"module_id": _MODULE["id"], "lesson_id": _MODULE["lessons"][0]["id"]}

    module_id = Id(load_default=None)
    lesson_id = Id(
        load_default=None, metadata={"description": "One of the module's lessons: the material is kept with it."}
    )


class LessonSection(SnakeOutput):
    heading = fields.String(required=True)
    content = fields.String(required=True)


class LessonReply(Replied):
    EXAMPLE: ClassVar[Any] = {
        "title": "Переменные",
        "objectives": ["Объяснять, что такое переменная"],
        "sections": [{"heading": "Зачем имена", "content": "Переменная — имя для значения…"}],
        "exercises": ["Заведите переменную с вашим именем и выведите её."],
        "summary": "Переменная хранит значение под именем.",
        "module_id": _MODULE["id"],
        "lesson_id": _MODULE["lessons"][0]["id"],
        **EXAMPLE_REPLIED,
    }

    title = fields.String(required=True)
    objectives = fields.List(fields.String(), required=True)
    sections = fields.List(Record(LessonSection), required=True)
    exercises = fields.List(fields.String(), required=True)
    summary = fields.String(required=True)
    module_id = fields.String(metadata={"description": "Where the material is kept, if it is."})
    lesson_id = fields.String()


class WelcomeQuestion(Question, InChat):
    EXAMPLE: ClassVar[Any] = {"track_id": EXAMPLE_ID}

    track_id = Id(required=True)


class WelcomeReply(Replied):
    EXAMPLE: ClassVar[Any] = {
        "message": "Здравствуйте! Вот с чего можно начать.\n\nPython с нуля\n1. Первые шаги\n   - Переменные",
        "plan": EXAMPLE_PLAN,
        "chat_id": EXAMPLE_ID,
        "session_id": EXAMPLE_ID,
        "message_id": f"{EXAMPLE_REPLIED['job_id']}:assistant",
        **EXAMPLE_REPLIED,
    }

    message = fields.String(required=True, metadata={"description": "As it is in the chat: with the plan's outline."})
    plan = Record(CoursePlan, required=True)
    chat_id = fields.String(required=True)
    session_id = fields.String(required=True)
    message_id = fields.String(required=True)


class GivenLesson(SnakeInput):
    title = Text(required=True, min_length=1, max_length=PLAN_TITLE_CHARACTERS)
    description = Text(load_default="", max_length=PLAN_TEXT_CHARACTERS)
    duration_minutes = Whole(required=True, least=1, most=MAX_LESSON_MINUTES)


class GivenModule(SnakeInput):
    title = Text(required=True, min_length=1, max_length=PLAN_TITLE_CHARACTERS)
    description = Text(load_default="", max_length=PLAN_TEXT_CHARACTERS)
    lessons = Items(
        Record(GivenLesson),
        required=True,
        validate=[
            validate.Length(min=1, error="not_empty"),
            validate.Length(max=MAX_LESSONS, error=f"max_items:{MAX_LESSONS}"),
        ],
    )


class GivenPlan(SnakeInput):
    title = Text(required=True, min_length=1, max_length=PLAN_TITLE_CHARACTERS)
    description = Text(load_default="", max_length=PLAN_TEXT_CHARACTERS)
    modules = Items(
        Record(GivenModule),
        required=True,
        validate=[
            validate.Length(min=1, error="not_empty"),
            validate.Length(max=MAX_MODULES, error=f"max_items:{MAX_MODULES}"),
        ],
    )


class FinalQuestion(Question, InChat):
    EXAMPLE: ClassVar[Any] = {"track_id": EXAMPLE_ID, "plan": EXAMPLE_PLAN}

    track_id = Id(required=True)
    plan = Record(
        GivenPlan,
        allow_none=True,
        load_default=None,
        metadata={"description": "Stored as it is. Without it the model makes one of the conversation."},
    )


class FinalReply(SnakeOutput):
    EXAMPLE: ClassVar[Any] = {
        "track": {**TrackBody.EXAMPLE, "modules": [{**_MODULE, "status": "pending"}]},
        "plan": EXAMPLE_PLAN,
        **EXAMPLE_REPLIED,
    }

    track = Record(TrackBody, required=True)
    plan = Record(CoursePlan, required=True)
    job_id = fields.String(metadata={"description": "If the model was asked."})
    tokens_used = fields.Integer()
