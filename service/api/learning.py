"""Tracks as a client sees them: the fields of `TrackSummary` and `TrackBody`, absent where there is nothing to say."""

from dataclasses import asdict
from typing import Any

from service.domain.accounts import Actor
from service.domain.tracks import Module, Track
from service.usecases.tracks import TrackWithModules


def track_body(found: TrackWithModules, actor: Actor) -> dict[str, Any]:
    """The track with its modules."""
    return {**track_summary(found.track, actor), "modules": [module_body(module) for module in found.modules]}


def track_summary(track: Track, actor: Actor) -> dict[str, Any]:
    """The track, with its account by the name under which the reader knows it."""
    owner = actor.name_of(track.account_id, track.external_user_id, track.end_user_id)
    return {**asdict(track), "user_id": owner}


def module_body(module: Module) -> dict[str, Any]:
    lessons = [_present(asdict(lesson)) for lesson in module.lessons]
    return {**_present(asdict(module)), "lessons": lessons}


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
