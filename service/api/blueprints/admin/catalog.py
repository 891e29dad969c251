"""`/api/admin/models` and `/api/admin/assistants`: what is on offer, at which price."""

from dataclasses import asdict
from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.admin.catalog_schemas import (
    AdminAssistant,
    AdminAssistants,
    AdminModel,
    AdminModels,
    AssistantChanges,
    ModelChanges,
)
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.catalog import AssistantEntry
from service.usecases.catalog_desk import ModelState

blueprint = ApiBlueprint("admin-catalog", __name__, url_prefix="/api/admin", description="Operators: what is on offer")


@blueprint.route("/models", methods=["GET"])
@authenticated("support")
@blueprint.response(200, AdminModels, description="All models by their aliases")
def list_models(*, actor: Actor) -> dict[str, Any]:
    """List the models

    With their prices, when they end, and what is wrong. The provider is asked once a day which models it has.
    """
    desk = services().catalog.desk
    return {
        "models": [_model(state) for state in desk.models(actor)],
        "default_model": desk.default_model,
        "provider_read_at": desk.provider_read_at(actor),
    }


@blueprint.route("/models/<path:alias>", methods=["PATCH"])
@authenticated("admin")
@fails_with(404, 409)
@blueprint.arguments(ModelChanges)
@blueprint.response(200, AdminModel, description="The model as it is now")
def change_model(given: dict[str, Any], *, actor: Actor, alias: str) -> dict[str, Any]:
    """Change a model or its price

    For questions that are asked from now on, on every process within five seconds. What was accepted before costs what
    it would have.
    """
    expected = given.pop("expected_version")
    if given.get("shutdown_on") is not None:
        given["shutdown_on"] = given["shutdown_on"].isoformat()
    return _model(services().catalog.desk.change_model(actor, alias, expected, given))


@blueprint.route("/assistants", methods=["GET"])
@authenticated("support")
@blueprint.response(200, AdminAssistants, description="All assistants by their ids")
def list_assistants(*, actor: Actor) -> dict[str, Any]:
    """List the assistants with their personas"""
    return {"assistants": services().catalog.desk.assistants(actor)}


@blueprint.route("/assistants/<assistant_id>", methods=["PATCH"])
@authenticated("admin")
@fails_with(404, 409)
@blueprint.arguments(AssistantChanges)
@blueprint.response(200, AdminAssistant, description="The assistant as it is now")
def change_assistant(given: dict[str, Any], *, actor: Actor, assistant_id: str) -> AssistantEntry:
    """Change an assistant

    For questions that are asked from now on, on every process within five seconds.
    """
    expected = given.pop("expected_version")
    return services().catalog.desk.change_assistant(actor, assistant_id, expected, given)


def _model(state: ModelState) -> dict[str, Any]:
    return {
        **asdict(state.entry.model),
        "sent_id": None if state.sent is None else state.sent.upstream_id,
        "provider_shutdown_on": state.provider_shutdown_on,
        "days_left": state.days_left,
        "warning": state.warning,
        "is_default": state.entry.model.alias == services().catalog.desk.default_model,
        "assistants": state.assistants,
        "version": state.entry.version,
    }
