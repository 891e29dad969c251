"""Talking message by message, as over a WebSocket: what is refused before a question is a job, and going on later."""

import math

from service.domain.accounts import Actor, Role
from service.domain.errors import Forbidden, RateLimited
from service.domain.jobs import Job
from service.usecases import ports
from service.usecases.jobs import JobService, Submission, check_message
from service.usecases.owners import Party
from service.usecases.places import Places

CHANNEL = "socket"
# Free for guests, within limits.
ASSISTANT = "stream"
# Among so many of the newest questions of an account the last one of a talk is looked for.
LOOK_BACK = 20


class TalkService:
    def __init__(
        self,
        *,
        jobs: JobService,
        places: Places,
        pauses: ports.Pauses,
        pause_milliseconds: int,
    ) -> None:
        self._jobs = jobs
        self._places = places
        self._pauses = pauses
        self._pause_milliseconds = pause_milliseconds

    def say(self, actor: Actor, message: str) -> Job:
        """Accept the next message of the actor's dialog; its answer is shown while it is written.

        Raises as `pause` and `JobService.submit` do.
        """
        self.pause(actor, message)
        return self._jobs.submit(actor, Submission(message=message, channel=CHANNEL, assistant=ASSISTANT, stream=True))

    def pause(self, actor: Actor, message: str) -> None:
        """Begin the time in which the actor may send no other message.

        Raises RateLimited if it isn't over since the last one, and InvalidMessage: one that is empty or too long
        begins no pause.
        """
        check_message(message)
        self._pause("account", actor.account_id)
        if actor.role is Role.GUEST:
            # Else a new guest for each message would need no pause.
            self._pause("address", actor.address)

    def stop(self, actor: Actor, job_id: str) -> None:
        """Stop an answer, as `JobService.cancel` does."""
        self._jobs.cancel(actor, job_id)

    def check_session(self, actor: Actor, session_id: str) -> None:
        """Raises Forbidden unless this is the actor's own dialog; what doesn't exist is nobody's."""
        if self._places.default(Party(actor.account_id), CHANNEL).session_id != session_id:
            raise Forbidden("not a session of this account")

    def last(self, actor: Actor, session_id: str | None = None) -> Job | None:
        """The newest question that the actor asked in this way, or in a session, running or not."""
        recent = self._jobs.page(actor, ports.JobQuery(limit=LOOK_BACK))
        for job in recent.items:
            if job.channel == CHANNEL if session_id is None else job.session_id == session_id:
                return self._jobs.get(actor, job.id)
        return None

    def _pause(self, name: str, key: str) -> None:
        left = self._pauses.begin(f"socket-{name}", key, self._pause_milliseconds)
        if left is not None:
            seconds = math.ceil(left / 1000)
            raise RateLimited(name, retry_after_seconds=seconds, params={"seconds": seconds})
