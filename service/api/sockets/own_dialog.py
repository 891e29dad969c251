"""The socket at `/` and `/ws`: an account's, or a guest's, own dialog."""

from service.api.sockets import frames
from service.api.sockets.frames import Frame
from service.api.sockets.line import Line
from service.api.sockets.talk import Talk
from service.domain.accounts import Actor
from service.domain.jobs import Job
from service.usecases.jobs import check_message


class OwnDialog(Talk):
    """`session_id` is the dialog that the client means to go on with, `after` so many characters of its last answer."""

    def __init__(self, line: Line, token: str | None, session_id: str | None, after: int | None) -> None:
        super().__init__(line, token, frames)
        self._session_id = session_id
        self._after = after

    def greet(self) -> None:
        if self.caller.is_known or self._session_id is not None:
            self._resume(self.caller.actor())
        else:
            self.admit_nobody()

    def ask(self, frame: Frame) -> Job:
        # Before somebody becomes a guest for it.
        check_message(frame.text)
        actor = self.caller.actor_or_guest()
        self.admit(actor)
        return self.container.talks.say(actor, frame.text)

    def _resume(self, actor: Actor) -> None:
        self.admit(actor)
        if self._session_id is not None:
            self.container.talks.check_session(actor, self._session_id)
        job = None if self._after is None else self.container.talks.last(actor)
        if job is not None:
            self.follow(job, self._after or 0)
