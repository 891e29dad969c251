"""Bodies and parameters of `/api/tracks`."""

from typing import Any, ClassVar

from marshmallow import fields

from service.api.fields import Choice, Flag, Moment, Number, Record, SnakeInput, SnakeOutput, Text, Whole
from service.api.schemas import EXAMPLE_ID, EXAMPLE_TIME, PAGE_ITEMS, PAGE_MAX_ITEMS, OwnerId
from service.domain.tracks import Difficulty, ModuleStatus, TrackStatus

TITLE_MAX_CHARACTERS = 200
TEXT_MAX_CHARACTERS = 5000
MAX_HOURS = 10_000
MAX_PAGES = 10_000
_EXAMPLE: dict[str, Any] = {
    "title": "Python с нуля",
    "description": "Основы языка и первые программы",
    "skill_area": "Программирование",
    "difficulty_level": "beginner",
    "estimated_duration_hours": 12.5,
    "user_expectations": "Хочу автоматизировать отчёты",
}


class TrackChanges(SnakeInput):
    """What may be changed; only what is named changes."""

    EXAMPLE: ClassVar[Any] = {"status": "archived", "estimated_duration_hours": 20}

    title = Text(min_length=1, max_length=TITLE_MAX_CHARACTERS)
    description = Text(max_length=TEXT_MAX_CHARACTERS)
    skill_area = Text(max_length=TITLE_MAX_CHARACTERS)
    difficulty_level = Choice(tuple(Difficulty))
    estimated_duration_hours = Number(0, MAX_HOURS, above=True, allow_none=True)
    user_expectations = Text(max_length=TEXT_MAX_CHARACTERS)
    status = Choice(tuple(TrackStatus))


class NewTrack(SnakeInput):
    EXAMPLE = _EXAMPLE

    user_id = OwnerId()
    title = Text(required=True, min_length=1, max_length=TITLE_MAX_CHARACTERS)
    description = Text(load_default="", max_length=TEXT_MAX_CHARACTERS)
    skill_area = Text(load_default="", max_length=TITLE_MAX_CHARACTERS)
    difficulty_level = Choice(tuple(Difficulty), load_default=Difficulty.BEGINNER.value)
    estimated_duration_hours = Number(0, MAX_HOURS, above=True, allow_none=True, load_default=None)
    user_expectations = Text(
        load_default="", max_length=TEXT_MAX_CHARACTERS, metadata={"description": "What the learner wants of it."}
    )


class TrackFilter(SnakeInput):
    user_id = OwnerId()
    status = Choice(tuple(TrackStatus), load_default=None)
    page = Whole(least=1, most=MAX_PAGES, load_default=1)
    limit = Whole(least=1, most=PAGE_MAX_ITEMS, load_default=PAGE_ITEMS)


class TrackView(SnakeInput):
    include_content = Flag(load_default=False, metadata={"description": "With the material of the lessons."})


class TrackSummary(SnakeOutput):
    """A track without its modules."""

    EXAMPLE: ClassVar[Any] = {
        "id": EXAMPLE_ID,
        "user_id": EXAMPLE_ID,
        **_EXAMPLE,
        "status": "active",
        "progress": 50,
        "created_at": EXAMPLE_TIME,
        "updated_at": EXAMPLE_TIME,
    }

    id = fields.String(required=True)
    user_id = fields.String(required=True, metadata={"description": "For an API key, as it named its end user."})
    title = fields.String(required=True)
    description = fields.String(required=True)
    skill_area = fields.String(required=True)
    difficulty_level = fields.String(required=True, metadata={"enum": list(Difficulty)})
    estimated_duration_hours = fields.Float(required=True, allow_none=True)
    user_expectations = fields.String(required=True)
    status = fields.String(required=True, metadata={"enum": list(TrackStatus)})
    progress = fields.Integer(
        required=True, metadata={"description": "Completed modules in percent. At 100 the track is completed."}
    )
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class LessonBody(SnakeOutput):
    id = fields.String(required=True)
    title = fields.String(required=True)
    description = fields.String(required=True)
    duration_minutes = fields.Integer(required=True)
    content = fields.Dict(metadata={"description": "The material, with `include_content` and once there is one."})


class ModuleBody(SnakeOutput):
    id = fields.String(required=True)
    title = fields.String(required=True)
    description = fields.String(required=True)
    position = fields.Integer(required=True, metadata={"description": "From 0."})
    status = fields.String(required=True, metadata={"enum": list(ModuleStatus)})
    lessons = fields.List(Record(LessonBody), required=True)
    chat_id = fields.String(metadata={"description": "Where it is learned, once somebody began."})


class TrackBody(TrackSummary):
    """A track with its modules."""

    EXAMPLE: ClassVar[Any] = {
        **TrackSummary.EXAMPLE,
        "modules": [
            {
                "id": "3c1a5e7f9b2d4068a4c6e8f0b1d3a5c7",
                "title": "Первые шаги",
                "description": "Установка и первая программа",
                "position": 0,
                "status": "completed",
                "lessons": [
                    {
                        "id": "8e0f2a4c6b1d43958d7f9a0b2c4e6f81",
                        "title": "Переменные",
                        "description": "Что это и зачем",
                        "duration_minutes": 30,
                    }
                ],
                "chat_id": EXAMPLE_ID,
            }
        ],
    }

    modules = fields.List(Record(ModuleBody), required=True)


class TrackList(SnakeOutput):
    EXAMPLE: ClassVar[Any] = {"tracks": [TrackSummary.EXAMPLE], "total": 1, "page": 1, "limit": PAGE_ITEMS}

    tracks = fields.List(Record(TrackSummary), required=True)
    total = fields.Integer(required=True)
    page = fields.Integer(required=True)
    limit = fields.Integer(required=True)
