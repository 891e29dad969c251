"""`/api/ai`: talking with the tutor, about a course that is being planned and in the chats of modules."""

from typing import Any, ClassVar

from flask import Response
from marshmallow import fields

from service.api.answering import PATIENT_SECONDS, answer
from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.learning.asking import (
    EXAMPLE_REPLIED,
    InChat,
    Question,
    Replied,
    line,
    question_route,
    said,
    terms,
)
from service.api.blueprints.learning.modules import ModuleName
from service.api.blueprints.learning.track_schemas import ModuleBody, TrackBody
from service.api.dialogs import LearningMessage, message_bodies
from service.api.fields import Flag, Record, SnakeOutput, Text, Whole
from service.api.learning import module_body
from service.api.schemas import (
    CURSOR_MAX_CHARACTERS,
    EXAMPLE_ID,
    EXAMPLE_TIME,
    PAGE_ITEMS,
    PAGE_MAX_ITEMS,
    Id,
)
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.chat import MESSAGE_MAX_CHARACTERS
from service.domain.jobs import Job
from service.domain.keys import Scope
from service.usecases.asking import Line
from service.usecases.classroom import ModuleTalk, Remark

blueprint = ApiBlueprint("tutoring", __name__, url_prefix="/api/ai", description="Learning: talking with the tutor")
_MODULE: dict[str, Any] = TrackBody.EXAMPLE["modules"][0]


class RemarkBody(Question):
    message = Text(required=True, metadata={"minLength": 1, "maxLength": MESSAGE_MAX_CHARACTERS})
    stream = Flag(load_default=False, metadata={"description": "Show the answer in the job's events as it is written."})


class ChatRemark(RemarkBody, InChat):
    EXAMPLE: ClassVar[Any] = {"message": "Можно больше практики?", "chat_id": EXAMPLE_ID}

    track_id = Id(load_default=None, metadata={"description": "What it is about, if the session doesn't say."})


class ModuleRemark(RemarkBody):
    EXAMPLE: ClassVar[Any] = {"module_id": _MODULE["id"], "message": "Чем список отличается от кортежа?"}

    module_id = Id(load_default=None, metadata={"description": "This or `chat_id`."})
    chat_id = Id(load_default=None)


class ChatReply(Replied):
    EXAMPLE: ClassVar[Any] = {
        "message": "Конечно: добавим по задаче к каждому уроку.",
        "chat_id": EXAMPLE_ID,
        "session_id": EXAMPLE_ID,
        "message_id": f"{EXAMPLE_REPLIED['job_id']}:assistant",
        **EXAMPLE_REPLIED,
    }

    message = fields.String(required=True)
    chat_id = fields.String(required=True, metadata={"description": "To go on with."})
    session_id = fields.String(required=True)
    message_id = fields.String(required=True)


class ModuleReply(ChatReply):
    EXAMPLE: ClassVar[Any] = {**ChatReply.EXAMPLE, "module_id": _MODULE["id"]}

    module_id = fields.String(required=True)


class HistoryQuestion(ModuleName):
    cursor = Text(load_default=None, max_length=CURSOR_MAX_CHARACTERS, allow_none=True)
    limit = Whole(least=1, most=PAGE_MAX_ITEMS, load_default=PAGE_ITEMS)


class ModuleHistory(SnakeOutput):
    EXAMPLE: ClassVar[Any] = {
        "module_id": _MODULE["id"],
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
        "next_cursor": None,
    }

    module_id = fields.String(required=True)
    chat_id = fields.String(required=True, allow_none=True, metadata={"description": "`null` before it began."})
    messages = fields.List(Record(LearningMessage), required=True)
    next_cursor = fields.String(
        required=True, allow_none=True, metadata={"description": "Leads to the messages before these."}
    )


class ModuleBegun(ModuleHistory):
    EXAMPLE: ClassVar[Any] = {
        "module": {**_MODULE, "status": "in_progress"},
        **ModuleHistory.EXAMPLE,
        "session_id": EXAMPLE_ID,
        "messages": [],
    }

    module = Record(ModuleBody, required=True)
    chat_id = fields.String(required=True)
    session_id = fields.String(required=True)


_CHAT, _MODULE_REPLY = ChatReply(), ModuleReply()


@question_route(
    blueprint,
    "/chat-response",
    ChatRemark,
    ChatReply,
    "The tutor's answer, and where to go on",
    errors=(402, 404, 409, 429),
)
def respond(given: dict[str, Any], *, actor: Actor) -> Response:
    """Talk with the tutor

    In the chat or session that is named, else in a new session, of the track if there is one; `chat_id` of the answer
    leads on. The tutor knows the track and is as `user-config` says. Waits for the answer, for 55 seconds unless
    `Prefer` says otherwise.
    """
    remark = Remark(given["message"], line(given), given["track_id"], stream=given["stream"])
    asked = terms(given, actor)

    def submit() -> Job:
        return services().classroom.respond(actor, remark, asked)

    return answer(actor, submit, _CHAT, said, wait_seconds=PATIENT_SECONDS)


@blueprint.route("/module-learning-start", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(ModuleName)
@blueprint.response(200, ModuleBegun, description="The module, its chat and the newest messages in it")
def start(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Begin to learn a module, or go on

    The first time makes the module's chat, in the track's session, and the module is `in_progress`; again changes
    nothing.
    """
    talk = services().classroom.begin(actor, given["module_id"], PAGE_ITEMS)
    session_id = None if talk.chat is None else talk.chat.session_id
    return {"module": module_body(talk.module), "session_id": session_id, **_history(talk)}


@question_route(blueprint, "/module-chat", ModuleRemark, ModuleReply, "The tutor's answer", errors=(402, 404, 409, 429))
def say(given: dict[str, Any], *, actor: Actor) -> Response:
    """Talk with the tutor in the chat of a module

    The tutor knows the module, its lessons and their material. A module that wasn't begun is begun. Waits for the
    answer as `chat-response` does.
    """
    remark = Remark(given["message"], Line(given["chat_id"]), module_id=given["module_id"], stream=given["stream"])
    asked = terms(given, actor)

    def replied_in_module(job: Job) -> dict[str, Any]:
        module_id = given["module_id"] or services().dialogs.chat(actor, job.chat_id or "").module_id
        return {**said(job), "module_id": module_id}

    def submit() -> Job:
        return services().classroom.say(actor, remark, asked)

    return answer(actor, submit, _MODULE_REPLY, replied_in_module, wait_seconds=PATIENT_SECONDS)


@blueprint.route("/module-chat-history", methods=["POST"])
@authenticated("owner", Scope.CHAT)
@fails_with(404)
@blueprint.arguments(HistoryQuestion)
@blueprint.response(200, ModuleHistory, description=f"The newest messages, {PAGE_ITEMS} if not said otherwise")
def history(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Read what was said in the chat of a module

    The newest messages, oldest first; `next_cursor` leads to those before them.
    """
    return _history(services().classroom.history(actor, given["module_id"], given["cursor"], given["limit"]))


def _history(talk: ModuleTalk) -> dict[str, Any]:
    return {
        "module_id": talk.module.id,
        "chat_id": None if talk.chat is None else talk.chat.id,
        "messages": message_bodies(talk.page.items),
        "next_cursor": talk.page.next_cursor,
    }
