"""`/api/context`: the saved context that the next question continues."""

from typing import Any, ClassVar

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.fields import Input, Items, Output, Record
from service.api.schemas import EXAMPLE_CONTEXT, ContextItem, OwnerId, OwnerQuery, Success
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.chat import ChatMessage
from service.domain.keys import Scope

blueprint = ApiBlueprint("context", __name__, url_prefix="/api/context", description="The saved context")


class Owner(Input):
    # Empty, because the reference page sends it as it is: an example id would be refused.
    EXAMPLE: ClassVar[Any] = {}

    user_id = OwnerId()


class NewContext(Owner):
    EXAMPLE = {"context": EXAMPLE_CONTEXT}

    context = Items(Record(ContextItem), required=True)


class SavedContext(Output):
    EXAMPLE = {"context": EXAMPLE_CONTEXT}

    context = fields.List(Record(ContextItem), required=True)


@blueprint.route("", methods=["POST"])
@authenticated("owner", Scope.CONTEXT)
@blueprint.arguments(NewContext)
@blueprint.response(200, Success, description="Saved")
def save(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Save the context

    Replaces what is saved; of a long context the newest messages are kept.
    """
    services().contexts.save(actor, given["user_id"], [ChatMessage(**item) for item in given["context"]])
    return {"success": True}


@blueprint.route("", methods=["GET"])
@authenticated("owner", Scope.CONTEXT)
@fails_with(404)
@blueprint.arguments(OwnerQuery, location="query")
@blueprint.response(200, SavedContext, description="What the next question will be sent with")
def get(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Read the saved context

    Empty after a reset; 404 only if the user never had one.
    """
    return {"context": services().contexts.get(actor, query["user_id"])}


@blueprint.route("/reset", methods=["POST"])
@authenticated("owner", Scope.CONTEXT)
@blueprint.arguments(Owner, required=False)
@blueprint.response(200, Success, description="Forgotten")
def reset(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Forget the saved context

    The next question starts afresh; the dialog itself stays stored.
    """
    services().contexts.reset(actor, given["user_id"])
    return {"success": True}
