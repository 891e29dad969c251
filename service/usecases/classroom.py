"""Talking with the tutor: about a course that is being planned, and in the chats of its modules."""

from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

import structlog

from service.domain import briefing
from service.domain.accounts import Actor
from service.domain.catalog import Assistant
from service.domain.dialogs import Chat, ChatKind, Message
from service.domain.errors import NotFound, ValidationFailed
from service.domain.jobs import Job
from service.domain.tracks import Module, Track
from service.usecases import ports
from service.usecases.asking import CHANNEL, NO_LINE, Asking, Line, Terms
from service.usecases.jobs import Submission, check_message
from service.usecases.owners import Party
from service.usecases.places import NewSession, Places
from service.usecases.tracks import TrackService
from service.usecases.tutor import TutorService

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something said to the tutor. Without a chat it begins a session, of the track if there is one."""

    message: str
    line: Line = NO_LINE
    track_id: str | None = None
    module_id: str | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True)
class ModuleTalk:
    """A module, its chat if it was begun, and a page of what was said in it."""

    module: Module
    chat: Chat | None
    page: ports.Page[Message]


class ClassroomService:
    """What asks raises as `JobService.submit` does; all raise NotFound, and Forbidden for what is somebody else's."""

    def __init__(
        self,
        *,
        asking: Asking,
        tracks: TrackService,
        track_store: ports.Tracks,
        dialogs: ports.Dialogs,
        places: Places,
        tutor: TutorService,
    ) -> None:
        self._asking = asking
        self._tracks = tracks
        self._track_store = track_store
        self._dialogs = dialogs
        self._places = places
        self._tutor = tutor

    def respond(self, actor: Actor, remark: Remark, terms: Terms) -> Job:
        """Answer in the chat that is named, or in a new session."""
        check_message(remark.message)

        def prepare(party: Party) -> Submission:
            named = None if remark.track_id is None else self._asking.track(actor, party, remark.track_id)
            chat = self._asking.chat(party, remark.line)
            if chat is not None:
                return self._said(party, chat, named or self._asking.track_of(chat), self._module_of(chat), remark)
            opened = NewSession(title="" if named is None else named.title, track_id=remark.track_id)
            place = self._places.new(party, CHANNEL, opened)
            return replace(self._remark(party, named, None, remark), place=place)

        return self._asking.ask(actor, terms, prepare)

    def say(self, actor: Actor, remark: Remark, terms: Terms) -> Job:
        """Answer in the chat of a module, which is named by the module or by the chat; a module is begun if it wasn't.

        Raises ValidationFailed for a chat that isn't the module's, or no module's.
        """
        check_message(remark.message)

        def prepare(party: Party) -> Submission:
            chat = self._asking.chat(party, remark.line)
            if remark.module_id is not None:
                track, module = self._asking.module(actor, party, remark.module_id)
                if chat is not None and chat.id != module.chat_id:
                    raise ValidationFailed(details={"chat_id": ["not_module_chat"]})
                return self._said(party, self._begin(track, module), track, module, remark)
            if chat is None:
                raise ValidationFailed(details={"module_id": ["required"]})
            if chat.kind is not ChatKind.MODULE:
                raise ValidationFailed(details={"chat_id": ["not_module_chat"]})
            found = self._module_of(chat)
            if found is None:
                raise NotFound("module")
            return self._said(party, chat, self._asking.track_of(chat), found, remark)

        return self._asking.ask(actor, terms, prepare)

    def tutor_in(self, chat: Chat, asked: Job) -> Assistant:
        """The tutor for a question of this chat that is asked once more, told what the chat is about."""
        party = Party(asked.account_id, end_user_id=asked.end_user_id)
        return self._briefed(party, self._asking.track_of(chat), self._module_of(chat))

    def begin(self, actor: Actor, module_id: str, limit: int) -> ModuleTalk:
        """Begin to learn a module, or go on: its chat is made once, however often and however many ask for it."""
        track, module = self._tracks.module(actor, module_id)
        chat = self._begin(track, module)
        begun = self._track_store.module(module_id)
        if begun is None:
            raise NotFound("module")
        return ModuleTalk(begun, chat, self._dialogs.messages(chat, None, limit))

    def history(self, actor: Actor, module_id: str, cursor: str | None, limit: int) -> ModuleTalk:
        """What was said in the chat of a module; nothing before it began."""
        _, module = self._tracks.module(actor, module_id)
        chat = None if module.chat_id is None else self._dialogs.chat(module.chat_id)
        nothing: ports.Page[Message] = ports.Page([], None)
        return ModuleTalk(module, chat, nothing if chat is None else self._dialogs.messages(chat, cursor, limit))

    def _begin(self, track: Track, module: Module) -> Chat:
        known = None if module.chat_id is None else self._dialogs.chat(module.chat_id)
        if known is not None:
            return known
        fresh = self._asking.fresh(track)
        # A session's default chat is its oldest, as far as the database can tell.
        now = fresh.chat.created_at + timedelta(milliseconds=1)
        chat = Chat(
            id=uuid4().hex,
            session_id="",
            account_id=track.account_id,
            created_at=now,
            updated_at=now,
            kind=ChatKind.MODULE,
            title=module.title,
            module_id=module.id,
            end_user_id=track.end_user_id,
        )
        begun = self._track_store.begin(track, module.id, fresh, chat)
        if begun.id == chat.id:
            log.info("module begun", track_id=track.id, module_id=module.id)
        return begun

    def _module_of(self, chat: Chat) -> Module | None:
        return None if chat.module_id is None else self._track_store.module(chat.module_id)

    def _said(self, party: Party, chat: Chat, track: Track | None, module: Module | None, remark: Remark) -> Submission:
        return replace(self._remark(party, track, module, remark), place=Places.at(chat))

    def _remark(self, party: Party, track: Track | None, module: Module | None, remark: Remark) -> Submission:
        return Submission(
            message=remark.message,
            channel=CHANNEL,
            assistant=self._briefed(party, track, module),
            stream=remark.stream,
        )

    def _briefed(self, party: Party, track: Track | None, module: Module | None) -> Assistant:
        """The tutor as the party wants it, told what this is about."""
        tutor = self._tutor.assistant_for(party)
        if track is None:
            return tutor
        persona = briefing.briefed(
            tutor.persona,
            course=briefing.course(briefing.facts_of(track)),
            modules=briefing.titles(self._track_store.modules(track.id)),
            module=None if module is None else briefing.module(module),
        )
        return replace(tutor, persona=persona)
