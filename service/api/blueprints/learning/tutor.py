"""`/api/ai`: what somebody sets for their tutor, and whether the model provider is there."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.learning.tutor_schemas import Connection, TutorChanges, TutorOwner, TutorSettings
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope
from service.domain.tutor import TutorConfig

blueprint = ApiBlueprint("tutor", __name__, url_prefix="/api/ai", description="Learning: the tutor")


@blueprint.route("/user-config", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(TutorOwner, location="query")
@blueprint.response(200, TutorSettings, description="What applies: what was set, else the defaults")
def user_config(query: dict[str, Any], *, actor: Actor) -> TutorConfig:
    """Read one's own settings of the tutor"""
    return services().tutor.config(actor, query["user_id"])


@blueprint.route("/user-config", methods=["PUT"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(TutorChanges)
@blueprint.response(200, TutorSettings, description="What applies now")
def change_user_config(body: dict[str, Any], *, actor: Actor) -> TutorConfig:
    """Change one's own settings of the tutor

    Only what is named changes, and `null` brings the default back. They apply to the tutor's answers from the next one
    on; plans and lessons are as long as they need to be.
    """
    return services().tutor.change(actor, body.pop("user_id"), body)


@blueprint.route("/default-config", methods=["GET"])
@authenticated("self", Scope.CHAT)
@blueprint.response(200, TutorSettings, description="What applies to whoever has set nothing")
def default_config(*, actor: Actor) -> TutorConfig:
    """Read the default settings of the tutor"""
    return services().tutor.default()


@blueprint.route("/test-connection", methods=["POST"])
@authenticated("self", Scope.CHAT)
@fails_with(429)
@blueprint.response(200, Connection, description="The provider answered")
def test_connection(*, actor: Actor) -> dict[str, Any]:
    """Test the connection to the model provider

    Asks the provider for its models, which costs nothing. A provider that is away, takes too long or refuses this
    installation is a 500 with the reason. At most 10 times a minute.
    """
    found = services().tutor.test_connection(actor)
    return {
        "success": found.has_model,
        "model": found.model,
        "model_available": found.has_model,
        "latency_ms": round(found.seconds * 1000),
    }
