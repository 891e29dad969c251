"""`/api/tracks`: the courses that somebody takes."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.learning.track_schemas import (
    NewTrack,
    TrackBody,
    TrackChanges,
    TrackFilter,
    TrackList,
    TrackView,
)
from service.api.learning import track_body, track_summary
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope
from service.domain.tracks import Difficulty, TrackStatus
from service.usecases.ports import TrackQuery
from service.usecases.tracks import TrackWithModules

blueprint = ApiBlueprint("tracks", __name__, url_prefix="/api/tracks", description="Learning: tracks")


@blueprint.route("", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(TrackFilter, location="query")
@blueprint.response(200, TrackList, description="A page of tracks, without their modules")
def list_tracks(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List one's own tracks, newest first"""
    status, page, limit = query["status"], query["page"], query["limit"]
    wanted = TrackQuery(status=TrackStatus(status) if status else None, page=page, limit=limit)
    tracks, total = services().tracks.page(actor, query["user_id"], wanted)
    return {"tracks": [track_summary(track, actor) for track in tracks], "total": total, "page": page, "limit": limit}


@blueprint.route("", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(NewTrack)
@blueprint.response(201, TrackBody, description="The track, which has no modules yet")
def create(body: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Create a track

    Its modules come with a plan: `POST /api/ai/finalize-course-plan`. At most 10,000 per account.
    """
    user_id = body.pop("user_id")
    given = {**body, "difficulty_level": Difficulty(body["difficulty_level"])}
    return track_body(TrackWithModules(services().tracks.create(actor, user_id, given), []), actor)


@blueprint.route("/<track_id>", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(TrackView, location="query")
@blueprint.response(200, TrackBody, description="The track with its modules and lessons")
def get(query: dict[str, Any], *, actor: Actor, track_id: str) -> dict[str, Any]:
    """Read a track"""
    found = services().tracks.read(actor, track_id, with_content=query["include_content"])
    return track_body(found, actor)


@blueprint.route("/<track_id>", methods=["PUT"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(TrackChanges)
@blueprint.response(200, TrackBody, description="The track as it is now")
def change(body: dict[str, Any], *, actor: Actor, track_id: str) -> dict[str, Any]:
    """Change a track

    Only what is named changes; `progress` follows from the modules.
    """
    return track_body(services().tracks.change(actor, track_id, body), actor)


@blueprint.route("/<track_id>", methods=["DELETE"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.response(204, description="Gone, with its modules and what was said in its chats")
def delete(*, actor: Actor, track_id: str) -> None:
    """Delete a track

    What its answers used stays in the usage and the ledger.
    """
    services().tracks.delete(actor, track_id)
