"""`/api/chat/sessions/{sessionId}/export`: a dialog to take away."""

from typing import Any

from flask import Response

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.export import MARKDOWN, ExportedSession, download
from service.api.fields import Choice, Input
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope

blueprint = ApiBlueprint("export", __name__, url_prefix="/api/chat/sessions", description="Dialogs: take them away")

EXAMPLE = "# Ma conversation\n\n### Vous · 2024-01-15 10:00 UTC\n\n> Bonjour !\n"


class ExportQuery(Input):
    format = Choice(
        ("json", "markdown"),
        load_default="json",
        metadata={"description": "`json` has every branch, `markdown` what is shown."},
    )


@blueprint.route("/<session_id>/export", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(ExportQuery, location="query")
@blueprint.response(200, ExportedSession, description="The file")
@blueprint.alt_response(200, schema={"type": "string"}, content_type=MARKDOWN, example=EXAMPLE, success=True)
def export(query: dict[str, Any], *, actor: Actor, session_id: str) -> Response:
    """Export a session

    All its chats from their beginning, as a download named after its title.
    """
    return download(services().export.session(actor, session_id), query["format"])
