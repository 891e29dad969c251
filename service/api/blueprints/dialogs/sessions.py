"""`/api/chat/sessions`: the dialogs of an account."""

from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.dialogs import (
    EXAMPLE_MESSAGE,
    EXAMPLE_SESSION,
    MANY_ITEMS,
    STATUSES,
    ChatInSession,
    SessionView,
    SessionWithMessages,
    message_bodies,
    running_job_body,
    session_body,
    speaks_french,
)
from service.api.fields import Choice, Input, Output, Record, Text, Whole
from service.api.schemas import CURSOR_MAX_CHARACTERS, Cursor, Id, NextCursor, OwnerId
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.dialogs import TITLE_MAX_CHARACTERS, DialogStatus
from service.domain.keys import Scope
from service.usecases.dialogs import SessionFilter
from service.usecases.places import NewSession

blueprint = ApiBlueprint("sessions", __name__, url_prefix="/api/chat/sessions", description="Dialogs")
speaks_french(blueprint)

CHANNEL = "api"


class SessionQuery(Input):
    user_id = OwnerId()
    status = Choice(STATUSES, load_default=None)
    track_id = Id(load_default=None, metadata={"description": "Of one learning track alone."})
    cursor = Text(load_default=None, max_length=CURSOR_MAX_CHARACTERS)
    limit = Whole(least=1, most=MANY_ITEMS, load_default=MANY_ITEMS)


class Sessions(Output):
    EXAMPLE = {"sessions": [EXAMPLE_SESSION], "nextCursor": None}

    sessions = fields.List(Record(SessionView), required=True)
    next_cursor = NextCursor()


class NewSessionBody(Input):
    EXAMPLE = {"title": "Ma conversation"}

    user_id = OwnerId()
    title = Text(load_default="", max_length=TITLE_MAX_CHARACTERS, allow_none=True)
    track_id = Id(load_default=None, metadata={"description": "The learning track that it is for."})


class OneSession(Output):
    EXAMPLE = {"session": EXAMPLE_SESSION}

    session = Record(SessionView, required=True)


class WholeSession(Output):
    EXAMPLE = {"session": {**EXAMPLE_SESSION, "runningJob": None, "messages": [EXAMPLE_MESSAGE]}, "nextCursor": None}

    session = Record(SessionWithMessages, required=True)
    next_cursor = NextCursor()


class MessageQuery(Input):
    cursor = Text(load_default=None, max_length=CURSOR_MAX_CHARACTERS)
    limit = Whole(least=1, most=MANY_ITEMS, load_default=MANY_ITEMS)


class NewTitle(Input):
    EXAMPLE = {"title": "Nouveau titre"}

    title = Text(required=True, min_length=1, max_length=TITLE_MAX_CHARACTERS)


class NewStatus(Input):
    EXAMPLE = {"status": "archived"}

    status = Choice(STATUSES, required=True)


class Chats(Output):
    EXAMPLE = {
        "chats": [
            {
                "id": EXAMPLE_SESSION["id"],
                "sessionId": EXAMPLE_SESSION["id"],
                "title": "",
                "runningJobId": None,
                "kind": "default",
                "moduleId": None,
                "status": "active",
                "messageCount": 2,
                "createdAt": EXAMPLE_SESSION["createdAt"],
                "updatedAt": EXAMPLE_SESSION["updatedAt"],
            }
        ],
        "nextCursor": None,
    }

    chats = fields.List(Record(ChatInSession), required=True)
    next_cursor = NextCursor()


@blueprint.route("", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@blueprint.arguments(SessionQuery, location="query")
@blueprint.response(200, Sessions, description="The sessions, the one that was talked in last first")
def list_sessions(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List one's sessions"""
    status = query["status"]
    page = services().dialogs.page(
        actor,
        SessionFilter(
            user_id=query["user_id"],
            status=DialogStatus(status) if status else None,
            track_id=query["track_id"],
            cursor=query["cursor"],
            limit=query["limit"],
        ),
    )
    return {"sessions": [session_body(session) for session in page.items], "next_cursor": page.next_cursor}


@blueprint.route("", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(NewSessionBody)
@blueprint.response(200, OneSession, description="The new session")
def create(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Begin a session

    Without a title it is named after its first question.
    """
    wanted = NewSession(title=(given["title"] or "").strip(), track_id=given["track_id"])
    dialog = services().dialogs.create(actor, given["user_id"], CHANNEL, wanted)
    return {"session": session_body(dialog.session)}


@blueprint.route("/<session_id>", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(MessageQuery, location="query")
@blueprint.response(200, WholeSession, description="The session with the newest messages of its default chat")
def get(query: dict[str, Any], *, actor: Actor, session_id: str) -> dict[str, Any]:
    """Read a session

    Its newest messages come oldest first; `nextCursor` leads to those before them. An answer that isn't there yet is
    `runningJob`.
    """
    session = services().dialogs.session(actor, session_id)
    # Before the messages: one that ends in between is seen twice rather than never.
    running = services().dialogs.running(session)
    chat = services().dialogs.chat_in(session, session_id)
    page = services().dialogs.messages_in(chat, query["cursor"], query["limit"])
    return {
        "session": {
            **session_body(session),
            "running_job": None if running is None else running_job_body(running),
            "messages": message_bodies(page.items),
        },
        "next_cursor": page.next_cursor,
    }


@blueprint.route("/<session_id>", methods=["PATCH"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(NewTitle)
@blueprint.response(200, OneSession, description="The session with its new title")
def rename(given: dict[str, Any], *, actor: Actor, session_id: str) -> dict[str, Any]:
    """Rename a session"""
    return {"session": session_body(services().dialogs.rename(actor, session_id, given["title"]))}


@blueprint.route("/<session_id>/status", methods=["PUT"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(NewStatus)
@blueprint.response(200, OneSession, description="The session with its new status")
def set_status(given: dict[str, Any], *, actor: Actor, session_id: str) -> dict[str, Any]:
    """Archive, complete or take up a session

    Not for guests.
    """
    changed = services().dialogs.set_status(actor, session_id, DialogStatus(given["status"]))
    return {"session": session_body(changed)}


@blueprint.route("/<session_id>/chats", methods=["GET"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(Cursor, location="query")
@blueprint.response(200, Chats, description="The chats of the session, the default one first")
def list_chats(query: dict[str, Any], *, actor: Actor, session_id: str) -> dict[str, Any]:
    """List the chats of a session"""
    page = services().dialogs.chats(actor, session_id, query["cursor"], query["limit"])
    return {"chats": page.items, "next_cursor": page.next_cursor}
