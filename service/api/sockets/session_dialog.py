"""The sockets at `/ws/chat/{session_id}`: a session of the learning platform, chat by chat."""

from service.api.sockets import learning_frames
from service.api.sockets.frames import Frame
from service.api.sockets.learning_frames import SWITCH
from service.api.sockets.line import Line
from service.api.sockets.talk import Talk
from service.domain.accounts import Actor
from service.domain.dialogs import Chat
from service.domain.jobs import Job
from service.usecases.asking import Line as NamedLine
from service.usecases.asking import Terms
from service.usecases.classroom import Remark

HISTORY_MESSAGES = 50


class SessionDialog(Talk):
    """Whoever comes gets the history of a chat, and talks there until a frame names another one.

    It is the session's default chat, or with `restores` the one that was talked in last. `after` so many characters of
    the last answer a client that comes back gets the rest of it.
    """

    def __init__(self, line: Line, token: str | None, session_id: str, after: int | None, *, restores: bool) -> None:
        super().__init__(line, token, learning_frames)
        self._session_id = session_id
        self._after = after
        self._restores = restores
        self._chat_id: str | None = None

    @property
    def needs_name(self) -> bool:
        """A session is somebody's: nobody talks here without a name."""
        return not self.caller.is_known

    def greet(self) -> None:
        if self.caller.is_known:
            actor = self.caller.actor()
            self.admit(actor)
            self._enter(actor)
        else:
            self.admit_nobody()

    def recognised(self) -> None:
        self._enter(self.caller.actor())

    def ask(self, frame: Frame) -> Job:
        actor = self.caller.actor()
        chat_id = frame.chat_id or self._chat_id or self._session_id
        self.container.talks.pause(actor, frame.text)
        line = NamedLine(chat_id, self._session_id)
        job = self.container.classroom.respond(actor, Remark(frame.text, line, stream=True), Terms())
        self._chat_id = chat_id
        return job

    def act(self, frame: Frame) -> None:
        if frame.type != SWITCH:
            raise ValueError(frame.type)
        self._show_chat(self.container.dialogs.other_chat(self.caller.actor(), self._session_id, frame.text))

    def _enter(self, actor: Actor) -> None:
        session = self.container.dialogs.session(actor, self._session_id)
        chat_id = session.last_chat_id if self._restores else None
        self._show_chat(self.container.dialogs.chat_in(session, chat_id or session.id))
        job = None if self._after is None else self.container.talks.last(actor, session.id)
        if job is not None:
            self.follow(job, self._after or 0)
            self._after = None

    def _show_chat(self, chat: Chat) -> None:
        """In which one talks from now on, and has looked at already."""
        self.container.dialogs.visit(chat)
        page = self.container.dialogs.messages_in(chat, None, HISTORY_MESSAGES)
        self._chat_id = chat.id
        self.line.send(learning_frames.history(self._session_id, chat.id, page))
