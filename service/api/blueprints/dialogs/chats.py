"""`/api/chat/chats`: the lines of talk in a session, spelled as the learning platform does."""

from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.dialogs import STATUSES, ChatFields, LearningMessage, message_bodies
from service.api.fields import Choice, Record, SnakeInput, SnakeOutput, Text
from service.api.schemas import EXAMPLE_CURSOR, EXAMPLE_ID, EXAMPLE_TIME, PAGE_ITEMS, Cursor, Id
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.dialogs import TITLE_MAX_CHARACTERS, DialogStatus
from service.domain.keys import Scope

blueprint = ApiBlueprint("chats", __name__, url_prefix="/api/chat/chats", description="Chats of a session")

EXAMPLE_CHAT: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "session_id": EXAMPLE_ID,
    "title": "Планирование",
    "kind": "extra",
    "module_id": None,
    "status": "active",
    "message_count": 2,
    "created_at": EXAMPLE_TIME,
    "updated_at": EXAMPLE_TIME,
}


class Chat(ChatFields, SnakeOutput):
    EXAMPLE = EXAMPLE_CHAT


class NewChat(SnakeInput):
    EXAMPLE = {"session_id": EXAMPLE_ID, "title": "Планирование"}

    session_id = Id(required=True)
    title = Text(load_default="", max_length=TITLE_MAX_CHARACTERS)


class ChatStatus(SnakeInput):
    EXAMPLE = {"status": "completed"}

    status = Choice(STATUSES, required=True)


class ChatMessages(SnakeOutput):
    EXAMPLE = {
        "chat_id": EXAMPLE_ID,
        "messages": [
            {
                "id": f"{EXAMPLE_ID}:user",
                "role": "user",
                "content": "С чего начать?",
                "created_at": EXAMPLE_TIME,
                "parent_id": None,
                "siblings": [f"{EXAMPLE_ID}:user"],
            }
        ],
        "next_cursor": EXAMPLE_CURSOR,
    }

    chat_id = fields.String(required=True)
    messages = fields.List(Record(LearningMessage), required=True)
    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "Leads to the messages before these."}
    )


@blueprint.route("", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(NewChat)
@blueprint.response(200, Chat, description="The new chat")
def create(given: dict[str, Any], *, actor: Actor) -> Any:
    """Begin another chat in a session"""
    return services().dialogs.add_chat(actor, given["session_id"], given["title"].strip())


@blueprint.route("/<chat_id>/messages", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(Cursor, location="query")
@blueprint.response(200, ChatMessages, description=f"The newest messages, {PAGE_ITEMS} if not said otherwise")
def messages(query: dict[str, Any], *, actor: Actor, chat_id: str) -> dict[str, Any]:
    """Read the messages of a chat

    The newest ones, oldest first; `next_cursor` leads to those before them.
    """
    page = services().dialogs.messages(actor, chat_id, query["cursor"], query["limit"])
    return {"chat_id": chat_id, "messages": message_bodies(page.items), "next_cursor": page.next_cursor}


@blueprint.route("/<chat_id>/status", methods=["PUT"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(ChatStatus)
@blueprint.response(200, Chat, description="The chat with its new status")
def set_status(given: dict[str, Any], *, actor: Actor, chat_id: str) -> Any:
    """Archive, complete or take up a chat"""
    return services().dialogs.set_chat_status(actor, chat_id, DialogStatus(given["status"]))
