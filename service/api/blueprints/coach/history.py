"""`/api/chat/history`: what an account has talked about, in short."""

from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint
from service.api.dialogs import EXAMPLE_SESSION, MANY_ITEMS, session_body, speaks_french
from service.api.fields import Input, Moment, Output, Record, Text, Whole
from service.api.schemas import CURSOR_MAX_CHARACTERS, EXAMPLE_CURSOR, NextCursor, OwnerId
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope
from service.usecases.dialogs import SessionFilter

blueprint = ApiBlueprint("history", __name__, url_prefix="/api/chat/history", description="The coach")
speaks_french(blueprint)


class HistoryQuery(Input):
    user_id = OwnerId()
    cursor = Text(load_default=None, max_length=CURSOR_MAX_CHARACTERS)
    limit = Whole(least=1, most=MANY_ITEMS, load_default=MANY_ITEMS, metadata={"description": "Sessions at most."})


class PastSession(Output):
    id = fields.String(required=True)
    title = fields.String(required=True)
    preview = fields.String(required=True, attribute="last_message")
    message_count = fields.Integer(required=True)
    created_at = Moment(required=True)
    updated_at = Moment(required=True)


class Totals(Output):
    total_sessions = fields.Integer(required=True)
    total_messages = fields.Integer(required=True)


class History(Output):
    EXAMPLE = {
        "history": [
            {
                "id": EXAMPLE_SESSION["id"],
                "title": "Conversation récente",
                "preview": "Aperçu du contenu...",
                "messageCount": 15,
                "createdAt": EXAMPLE_SESSION["createdAt"],
                "updatedAt": EXAMPLE_SESSION["updatedAt"],
            }
        ],
        "stats": {"totalSessions": 5, "totalMessages": 47},
        "nextCursor": EXAMPLE_CURSOR,
    }

    history = fields.List(Record(PastSession), required=True)
    stats = Record(Totals, required=True)
    next_cursor = NextCursor()


@blueprint.route("", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(HistoryQuery, location="query")
@blueprint.response(200, History, description="The sessions, newest first, and how much has been said in all")
def history(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Show what was talked about"""
    wanted = SessionFilter(user_id=query["user_id"], cursor=query["cursor"], limit=query["limit"])
    page, (sessions, messages) = services().dialogs.history(actor, wanted)
    return {
        "history": [session_body(session) for session in page.items],
        "stats": {"total_sessions": sessions, "total_messages": messages},
        "next_cursor": page.next_cursor,
    }
