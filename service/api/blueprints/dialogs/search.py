"""`/api/chat/search`: find what was said."""

from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint
from service.api.fields import Moment, Output, Record, Text
from service.api.schemas import EXAMPLE_ID, EXAMPLE_JOB_ID, EXAMPLE_TIME, Cursor, NextCursor, OwnerQuery
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope
from service.domain.search import QUERY_MAX_CHARACTERS

blueprint = ApiBlueprint("search", __name__, url_prefix="/api/chat/search", description="Dialogs: search")


class SearchQuery(Cursor, OwnerQuery):
    q = Text(
        required=True,
        max_length=QUERY_MAX_CHARACTERS,
        metadata={"minLength": 1, "description": "Words, in any form and order. There are no operators."},
    )


class FoundMessage(Output):
    message_id = fields.String(required=True)
    session_id = fields.String(required=True)
    chat_id = fields.String(required=True)
    role = fields.String(required=True, metadata={"enum": ["user", "assistant"]})
    snippet = fields.String(required=True, metadata={"description": "Plain text around what was found, in one line."})
    title = fields.String(required=True, metadata={"description": "The session's."})
    created_at = Moment(required=True)


class Results(Output):
    EXAMPLE = {
        "results": [
            {
                "messageId": f"{EXAMPLE_JOB_ID}:assistant",
                "sessionId": EXAMPLE_ID,
                "chatId": EXAMPLE_ID,
                "role": "assistant",
                "snippet": "«Прибой»: коротко и сразу понятно, где она.",
                "title": "Как назвать кофейню у моря?",
                "createdAt": EXAMPLE_TIME,
            }
        ],
        "nextCursor": None,
    }

    results = fields.List(Record(FoundMessage), required=True)
    next_cursor = NextCursor()


@blueprint.route("", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(SearchQuery, location="query")
@blueprint.response(200, Results, description="What was found, the most relevant first")
def search(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Search in one's dialogs

    In all messages, also of branches that aren't shown. With an API key in what it said for that end user. Of words
    that are in very many messages, some of these are found.
    """
    page = services().search(actor, query["user_id"], query["q"], query["cursor"], query["limit"])
    results = [
        {
            "message_id": found.message.id,
            "session_id": found.message.session_id,
            "chat_id": found.message.chat_id,
            "role": found.message.role,
            "snippet": found.snippet,
            "title": found.session.title,
            "created_at": found.message.created_at,
        }
        for found in page.items
    ]
    return {"results": results, "next_cursor": page.next_cursor}
