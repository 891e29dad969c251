"""`DELETE /api/chat/sessions/{sessionId}`: a dialog is deleted for good."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.schemas import Success
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope

blueprint = ApiBlueprint("session-deletion", __name__, url_prefix="/api/chat", description="Dialogs: delete them")


@blueprint.route("/sessions/<session_id>", methods=["DELETE"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.response(200, Success, description="The session is gone")
def delete_session(*, actor: Actor, session_id: str) -> dict[str, Any]:
    """Delete a session

    It is gone at once, with its chats and messages; questions that are being answered in it are cancelled. Within
    minutes the texts of its jobs are erased too. What they cost stays in the ledger. A deleted default dialog begins
    anew with the next question.
    """
    services().erase.session(actor, session_id)
    return {"success": True}
