"""`/api/assistants`: whom one may ask."""

from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint
from service.api.fields import Output, Record
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.billing import Meter
from service.domain.keys import Scope
from service.domain.texts import LOCALES

blueprint = ApiBlueprint("assistants", __name__, url_prefix="/api/assistants", description="Whom one may ask")


class AssistantView(Output):
    id = fields.String(required=True, metadata={"description": "`assistant` of `POST /api/chat`."})
    meter = fields.String(
        required=True,
        metadata={
            "enum": list(Meter),
            "description": "What an answer costs the caller: the tokens that it used, one credit, or nothing.",
        },
    )
    locale = fields.String(required=True, metadata={"enum": list(LOCALES), "description": "Its own language."})


class Assistants(Output):
    EXAMPLE = {
        "assistants": [
            {"id": "chat", "meter": "tokens", "locale": "ru"},
            {"id": "coach", "meter": "credits", "locale": "fr"},
        ]
    }

    assistants = fields.List(Record(AssistantView), required=True)


@blueprint.route("", methods=["GET"])
@authenticated("self", Scope.CHAT)
@blueprint.response(200, Assistants, description="The assistants, the usual one first")
def list_assistants(*, actor: Actor) -> dict[str, Any]:
    """List the assistants that one may ask

    Those that answer in plain text whatever one asks by `POST /api/chat`. What is free for guests costs others tokens.
    """
    return {"assistants": services().catalog.offer.assistants(actor)}
