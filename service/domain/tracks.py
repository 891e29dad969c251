"""Tracks: courses that somebody takes, their modules and lessons, and how far they have come."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

MAX_TRACKS = 10_000
COMPLETE = 100


class Difficulty(StrEnum):
    BEGINNER = "beginner"
    INTERMEDIATE = "intermediate"
    ADVANCED = "advanced"


class TrackStatus(StrEnum):
    ACTIVE = "active"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class ModuleStatus(StrEnum):
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Track:
    """A course of one account. `progress` is in whole percent; the duration, in hours, is None if nobody said.

    `session_id` is the dialog that it is planned and learned in, once somebody began.
    `end_user_id` is for whom an API key's program made it, if it did, and `external_user_id` what the program calls
    them.
    """

    id: str
    account_id: str
    title: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    skill_area: str = ""
    difficulty_level: Difficulty = Difficulty.BEGINNER
    estimated_duration_hours: float | None = None
    user_expectations: str = ""
    status: TrackStatus = TrackStatus.ACTIVE
    progress: int = 0
    session_id: str | None = None
    end_user_id: str | None = None
    external_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Lesson:
    """`content` is its material, an object of the format `lesson`, once there is one and if it was asked for."""

    id: str
    title: str
    description: str
    duration_minutes: int
    content: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Module:
    """One part of a track, at this place from 0; `chat_id` is where it is learned, once somebody began."""

    id: str
    track_id: str
    position: int
    title: str
    description: str
    lessons: tuple[Lesson, ...]
    status: ModuleStatus = ModuleStatus.PENDING
    chat_id: str | None = None


def planned(track_id: str, plan: Mapping[str, Any]) -> tuple[Module, ...]:
    """The modules of a track by a plan of `service/domain/structured.py`.

    A module's id is made of what it says, so that the same plan has the same modules and a changed one keeps those that
    it didn't change. Twins are numbered.
    """
    twins: Counter[str] = Counter()
    return tuple(_module(track_id, position, given, twins) for position, given in enumerate(plan["modules"]))


def progress(statuses: Sequence[ModuleStatus]) -> int:
    """The share of completed modules in whole percent, rounded down; 100 means all of them."""
    return COMPLETE * sum(status is ModuleStatus.COMPLETED for status in statuses) // len(statuses) if statuses else 0


def status_at(status: TrackStatus, reached: int) -> TrackStatus:
    """What becomes of a track's status when its progress has changed to this: an archived one stays so."""
    if status is TrackStatus.ARCHIVED:
        return status
    return TrackStatus.COMPLETED if reached == COMPLETE else TrackStatus.ACTIVE


def _module(track_id: str, position: int, given: Mapping[str, Any], twins: Counter[str]) -> Module:
    said = json.dumps(given, sort_keys=True)
    module_id = _id(track_id, said, str(twins[said]))
    twins[said] += 1
    lessons = tuple(
        Lesson(_id(module_id, str(number)), lesson["title"], lesson["description"], lesson["duration_minutes"])
        for number, lesson in enumerate(given["lessons"])
    )
    return Module(module_id, track_id, position, given["title"], given["description"], lessons)


def _id(*parts: str) -> str:
    """As hard to guess as the track's own id."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
