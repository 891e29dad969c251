"""What all questions of the learning platform have in common: whose course they are about, and that a repeated request
is looked up before anything else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from service.domain.accounts import Actor
from service.domain.dialogs import Chat, Dialog, new_dialog
from service.domain.errors import NotFound
from service.domain.jobs import Job
from service.domain.tracks import Module, Track
from service.usecases import ports
from service.usecases.dialogs import check_track
from service.usecases.jobs import JobService, Submission
from service.usecases.owners import Party
from service.usecases.places import Places
from service.usecases.tracks import TrackService

CHANNEL = "learning"


@dataclass(frozen=True, slots=True)
class Terms:
    """For whom a question is asked, and how its client hears of the answer."""

    user_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str | None = None
    idempotency: ports.IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The chat that a client names, by its own id or as the default one of a session; or none."""

    chat_id: str | None = None
    session_id: str | None = None


NO_LINE = Line()


class Asking:
    def __init__(
        self,
        *,
        jobs: JobService,
        tracks: TrackService,
        track_store: ports.Tracks,
        dialogs: ports.Dialogs,
        places: Places,
        clock: ports.Clock,
    ) -> None:
        self._jobs = jobs
        self._tracks = tracks
        self._track_store = track_store
        self._dialogs = dialogs
        self._places = places
        self._clock = clock

    def ask(self, actor: Actor, terms: Terms, prepare: Callable[[Party], Submission]) -> Job:
        """Accept what `prepare` makes of it for whoever pays. Raises as it does, and as `JobService.submit`."""

        def accept(party: Party) -> Job:
            earlier = self._jobs.earlier(terms.idempotency)
            if earlier is not None:
                return earlier
            submission = replace(
                prepare(party),
                user_id=terms.user_id,
                metadata=terms.metadata,
                callback_url=terms.callback_url,
                idempotency=terms.idempotency,
            )
            return self._jobs.accept(actor, party, submission)

        return self._jobs.on_behalf(actor, terms.user_id, accept)

    def track(self, actor: Actor, party: Party, track_id: str) -> Track:
        """The party's own track. Raises NotFound, Forbidden."""
        track = self._tracks.get(actor, track_id)
        check_track(party, track)
        return track

    def module(self, actor: Actor, party: Party, module_id: str) -> tuple[Track, Module]:
        """A module of the party's own, and its track. Raises NotFound, Forbidden."""
        track, module = self._tracks.module(actor, module_id)
        check_track(party, track)
        return track, module

    def chat(self, party: Party, line: Line) -> Chat | None:
        """The party's chat that is named, if any is. Raises NotFound, Forbidden."""
        named = line.chat_id or line.session_id
        return None if named is None else self._places.chat(party, named, line.session_id)

    def track_of(self, chat: Chat) -> Track | None:
        """The track that a chat is about, if it is about one of its own account's."""
        session = self._dialogs.session(chat.session_id)
        track_id = None if session is None else session.track_id
        track = None if track_id is None else self._track_store.get(track_id)
        return None if track is None or track.account_id != chat.account_id else track

    def open(self, track: Track) -> Chat:
        """The default chat of the session that the track is planned and learned in. Raises NotFound if it goes away."""
        chat = self._dialogs.chat(self._track_store.open(track, self.fresh(track)))
        if chat is None:
            raise NotFound("chat")
        return chat

    def opened(self, track: Track) -> Chat | None:
        """The same, if there is one already."""
        return None if track.session_id is None else self._dialogs.chat(track.session_id)

    def fresh(self, track: Track) -> Dialog:
        """A session of a track, for whoever the track is for, that is stored nowhere yet."""
        return new_dialog(
            uuid4().hex,
            track.account_id,
            CHANNEL,
            self._clock.now(),
            title=track.title,
            track_id=track.id,
            end_user_id=track.end_user_id,
            external_user_id=track.external_user_id,
        )
