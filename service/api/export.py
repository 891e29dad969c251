"""A session as a download, in JSON or Markdown. A failure half-way cuts the file off visibly."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any, ClassVar
from urllib.parse import quote

from flask import Response, stream_with_context
from marshmallow import fields

from service.api.dialogs import EXAMPLE_MESSAGE, ChatView, MessageView, SessionView, session_body
from service.api.fields import Moment, Output, Record
from service.api.schemas import EXAMPLE_ID
from service.api.state import locale, services
from service.domain import transcripts
from service.domain.dialogs import ROOT_BRANCH, Chat, Message, Session

JSON, MARKDOWN = "application/json", "text/markdown"


class ExportedMessage(MessageView):
    """A message on any branch; `shown` are those that the chat shows."""

    class Meta(MessageView.Meta):
        exclude = ("siblings",)

    branch = fields.String(required=True, metadata={"description": f"`{ROOT_BRANCH}`, or the job that began it."})
    position = fields.Integer(required=True, metadata={"description": "Counts from the beginning of the chat."})
    shown = fields.Boolean(required=True)


class ExportedChat(ChatView):
    messages = fields.List(Record(ExportedMessage), required=True)


class ExportedSession(Output):
    EXAMPLE: ClassVar[Any] = {
        "session": {
            "id": EXAMPLE_ID,
            "title": "Ma conversation",
            "lastMessage": "",
            "messageCount": 1,
            "status": "active",
            "createdAt": EXAMPLE_MESSAGE["createdAt"],
            "updatedAt": EXAMPLE_MESSAGE["createdAt"],
        },
        "exportedAt": EXAMPLE_MESSAGE["createdAt"],
        "chats": [
            {
                "id": EXAMPLE_ID,
                "sessionId": EXAMPLE_ID,
                "title": "",
                "kind": "default",
                "moduleId": None,
                "status": "active",
                "messageCount": 1,
                "createdAt": EXAMPLE_MESSAGE["createdAt"],
                "updatedAt": EXAMPLE_MESSAGE["createdAt"],
                "messages": [
                    {name: value for name, value in EXAMPLE_MESSAGE.items() if name != "siblings"}
                    | {"branch": ROOT_BRANCH, "position": 0, "shown": True}
                ],
            }
        ],
    }

    session = Record(SessionView, required=True)
    exported_at = Moment(required=True)
    chats = fields.List(Record(ExportedChat), required=True)


_SESSION, _CHAT, _MESSAGE = SessionView(), ChatView(), ExportedMessage()


def download(session: Session, kind: str) -> Response:
    """The whole session: as `json` all branches, as `markdown` those that are shown."""
    pieces = _as_markdown(session) if kind == "markdown" else _as_json(session)
    # The first piece is read before anything is sent, so that an outage is still an error and not an empty file.
    pieces = chain([next(pieces)], pieces)
    media_type, ending = (MARKDOWN, "md") if kind == "markdown" else (JSON, "json")
    response = Response(stream_with_context(pieces), content_type=f"{media_type}; charset=utf-8")
    name = transcripts.file_name(session, locale(), ending)
    response.headers["Content-Disposition"] = _attachment(name, f"dialog.{ending}")
    return response


def _attachment(name: str, plain_name: str) -> str:
    """A file's name for clients that know RFC 6266, and for those that don't."""
    if name.isascii():
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain_name}\"; filename*=UTF-8''{quote(name, safe='')}"


def _as_markdown(session: Session) -> Iterator[str]:
    """A piece for each page of messages."""
    export, language = services().export, locale()
    chats = export.chats(session)
    first = next(chats, None)
    yield transcripts.opening(session, language, export.now())
    for number, chat in enumerate(chain([] if first is None else [first], chats), start=1):
        yield transcripts.chat_heading(chat, number, language)
        for page in export.line(chat):
            yield "".join(transcripts.message(said, language) for said in page)


def _as_json(session: Session) -> Iterator[str]:
    export = services().export
    chats = export.chats(session)
    first = next(chats, None)
    about = ExportedSession().dump({"session": session_body(session), "exported_at": export.now()})
    yield f'{_dump(about)[:-1]},"chats":['
    for number, chat in enumerate(chain([] if first is None else [first], chats)):
        yield f'{"," if number else ""}{_dump(_CHAT.dump(chat))[:-1]},"messages":['
        is_later = False
        for page in export.everything(chat):
            yield "," * is_later + ",".join(_dump(_MESSAGE.dump(_row(chat, said))) for said in page)
            is_later = True
        yield "]}"
    yield "]}\n"


def _row(chat: Chat, said: Message) -> dict[str, Any]:
    return {
        "id": said.id,
        "role": said.role,
        "content": said.content,
        "created_at": said.created_at,
        "parent_id": said.parent_id,
        "branch": said.branch,
        "position": said.position,
        "shown": _is_shown(chat, said),
    }


def _is_shown(chat: Chat, said: Message) -> bool:
    return said.branch == next((each.branch for each in chat.segments if each.until > said.position), None)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
