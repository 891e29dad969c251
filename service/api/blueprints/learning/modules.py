"""`/api/ai/module-…`: how somebody moves through the modules of a track."""

from typing import Any, ClassVar

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.learning.track_schemas import ModuleBody, TrackBody, TrackSummary
from service.api.fields import Record, SnakeInput, SnakeOutput
from service.api.learning import module_body, track_summary
from service.api.schemas import Id
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope

blueprint = ApiBlueprint("modules", __name__, url_prefix="/api/ai", description="Learning: modules")


class ModuleName(SnakeInput):
    EXAMPLE: ClassVar[Any] = {"module_id": TrackBody.EXAMPLE["modules"][0]["id"]}

    module_id = Id(required=True, metadata={"description": "One of the track's `modules`."})


class ModuleDone(SnakeOutput):
    EXAMPLE: ClassVar[Any] = {
        "success": True,
        "module": TrackBody.EXAMPLE["modules"][0],
        "track": TrackSummary.EXAMPLE,
    }

    success = fields.Boolean(required=True)
    module = Record(ModuleBody, required=True)
    track = Record(TrackSummary, required=True)


@blueprint.route("/module-complete", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(ModuleName)
@blueprint.response(200, ModuleDone, description="The module, and its track as far as that brings it")
def complete(body: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Complete a module

    Moves the track's `progress`; with its last module the track is completed. Once more changes nothing.
    """
    found = services().tracks.complete(actor, body["module_id"])
    done = next(module for module in found.modules if module.id == body["module_id"])
    return {"success": True, "module": module_body(done), "track": track_summary(found.track, actor)}
