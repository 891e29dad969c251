"""`/v1/models`: the names that programs may use, with what answers to each today."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.openai.schemas import OfferedModel, OfferedModels
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.catalog import ChatModel
from service.domain.keys import Scope

blueprint = ApiBlueprint("openai-models", __name__, url_prefix="/v1/models", description="Models, as OpenAI lists them")


@blueprint.route("", methods=["GET"])
@authenticated("self", Scope.CHAT)
@blueprint.response(200, OfferedModels, description="All models on offer")
def list_models(*, actor: Actor) -> dict[str, Any]:
    """List the models"""
    return {"object": "list", "data": [_model(model) for model in services().completions.models()]}


@blueprint.route("/<model>", methods=["GET"])
@authenticated("self", Scope.CHAT)
@fails_with(404)
@blueprint.response(200, OfferedModel, description="The model")
def get_model(*, actor: Actor, model: str) -> dict[str, Any]:
    """Show a model"""
    return _model(services().completions.model(model))


def _model(model: ChatModel) -> dict[str, Any]:
    return {
        "id": model.alias,
        "object": "model",
        "created": 0,
        "owned_by": "talkmeter",
        "answered_by": model.upstream_id,
        "context_window": model.context_tokens,
        "max_output_tokens": model.output_tokens,
    }
