"""Sessions and their chats, as people keep them: list, begin, read, rename, archive."""

from dataclasses import dataclass
from uuid import uuid4

from service.domain.accounts import Actor, Role
from service.domain.dialogs import MAX_CHATS, MAX_SESSIONS, Chat, ChatKind, Dialog, DialogStatus, Message, Session
from service.domain.errors import Forbidden, NotFound, RegistrationRequired, ValidationFailed
from service.domain.jobs import Job
from service.domain.tracks import Track
from service.usecases import ports
from service.usecases.owners import Owners, Party
from service.usecases.places import NewSession, Places


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """A page of somebody's sessions, the one that was talked in last first."""

    user_id: str | None = None
    status: DialogStatus | None = None
    track_id: str | None = None
    cursor: str | None = None
    limit: int = 20


class DialogService:
    def __init__(
        self,
        *,
        dialogs: ports.Dialogs,
        jobs: ports.Jobs,
        tracks: ports.Tracks,
        owners: Owners,
        places: Places,
        clock: ports.Clock,
    ) -> None:
        self._dialogs = dialogs
        self._jobs = jobs
        self._tracks = tracks
        self._owners = owners
        self._places = places
        self._clock = clock

    def page(self, actor: Actor, wanted: SessionFilter) -> ports.Page[Session]:
        """Raises Forbidden, NotFound."""
        return self._page(self._scope(actor, wanted.user_id, "sessions.read"), wanted)

    def history(self, actor: Actor, wanted: SessionFilter) -> tuple[ports.Page[Session], tuple[int, int]]:
        """`page` and `totals`, as one look."""
        scope = self._scope(actor, wanted.user_id, "sessions.read")
        return self._page(scope, wanted), self._dialogs.totals(scope)

    def totals(self, actor: Actor, user_id: str | None) -> tuple[int, int]:
        """How many sessions somebody has, and how many messages are in them. Raises Forbidden, NotFound."""
        return self._dialogs.totals(self._scope(actor, user_id, "sessions.read"))

    def create(self, actor: Actor, user_id: str | None, channel: str, wanted: NewSession) -> Dialog:
        """Begin a session in which nothing is said yet.

        Raises Forbidden, NotFound, also for the track, and ValidationFailed beyond `MAX_SESSIONS`.
        """
        party = self._owners.party(actor, user_id, "session.create")
        if self._dialogs.count(scope_of(party), MAX_SESSIONS) >= MAX_SESSIONS:
            raise ValidationFailed(details={"title": [f"too_many_sessions:{MAX_SESSIONS}"]})
        if wanted.track_id is not None:
            track = self._tracks.get(wanted.track_id)
            if track is None:
                raise NotFound("track")
            check_track(party, track)
        dialog = self._places.begin(party, channel, uuid4().hex, wanted)
        self._dialogs.create(dialog)
        return dialog

    def session(self, actor: Actor, session_id: str, action: str = "session.read") -> Session:
        """Raises NotFound, and Forbidden if it is somebody else's."""
        session = self._dialogs.session(session_id)
        if session is None:
            raise NotFound("session")
        named = (session.account_id, session.external_user_id, action)
        self._owners.check(actor, *named, end_user_id=session.end_user_id, goes_on=True, session_id=session_id)
        return session

    def chat(self, actor: Actor, chat_id: str, action: str = "session.read") -> Chat:
        """Raises as `session` does."""
        chat = self._dialogs.chat(chat_id)
        if chat is None:
            raise NotFound("chat")
        self.session(actor, chat.session_id, action)
        return chat

    def chat_in(self, session: Session, chat_id: str) -> Chat:
        """A chat of a session that the actor has looked at already: no other look. Raises NotFound."""
        chat = self._dialogs.chat(chat_id)
        if chat is None or chat.session_id != session.id:
            raise NotFound("chat")
        return chat

    def other_chat(self, actor: Actor, session_id: str, chat_id: str) -> Chat:
        """Another chat of this session, as a look of its own. Raises as `session` does."""
        chat = self.chat(actor, chat_id)
        if chat.session_id != session_id:
            raise NotFound("chat")
        return chat

    def visit(self, chat: Chat) -> None:
        """From now on it is the chat of its session that was talked in last, for an actor who has looked at it."""
        self._dialogs.visit(chat)

    def messages(self, actor: Actor, chat_id: str, cursor: str | None, limit: int) -> ports.Page[Message]:
        """The newest messages of a chat, oldest first; the next page has those before them. Raises as `session`."""
        return self.messages_in(self.chat(actor, chat_id), cursor, limit)

    def messages_in(self, chat: Chat, cursor: str | None, limit: int) -> ports.Page[Message]:
        """`messages` of a chat that the actor has looked at already: no other look."""
        return self._dialogs.messages(chat, cursor, limit)

    def running(self, session: Session) -> Job | None:
        """The job that is being answered in the default chat of a session; the newest one if there are several."""
        return self._jobs.newest_open(session.account_id, session.id)

    def rename(self, actor: Actor, session_id: str, title: str) -> Session:
        """Raises ValidationFailed if the title is blank, and as `session` does."""
        if not title.strip():
            raise ValidationFailed(details={"title": ["not_empty"]})
        self.session(actor, session_id, "session.rename")
        return _found(self._dialogs.rename(session_id, title.strip()))

    def set_status(self, actor: Actor, session_id: str, status: DialogStatus) -> Session:
        """Not for guests. Raises RegistrationRequired, and as `session` does."""
        if actor.role is Role.GUEST:
            raise RegistrationRequired()
        self.session(actor, session_id, "session.status")
        return _found(self._dialogs.set_status(session_id, status))

    def chats(self, actor: Actor, session_id: str, cursor: str | None, limit: int) -> ports.Page[Chat]:
        self.session(actor, session_id)
        return self._dialogs.chats(session_id, cursor, limit)

    def add_chat(self, actor: Actor, session_id: str, title: str) -> Chat:
        """One more chat of a session. Raises as `session` does, and ValidationFailed beyond `MAX_CHATS`."""
        session, now = self.session(actor, session_id, "chat.create"), self._clock.now()
        if self._dialogs.count_chats(session_id, MAX_CHATS) >= MAX_CHATS:
            raise ValidationFailed(details={"title": [f"too_many_chats:{MAX_CHATS}"]})
        return self._dialogs.add_chat(
            Chat(
                id=uuid4().hex,
                session_id=session.id,
                account_id=session.account_id,
                created_at=now,
                updated_at=now,
                kind=ChatKind.EXTRA,
                title=title,
                end_user_id=session.end_user_id,
            )
        )

    def set_chat_status(self, actor: Actor, chat_id: str, status: DialogStatus) -> Chat:
        chat = self.chat(actor, chat_id, "chat.status")
        changed = self._dialogs.set_chat_status(chat.id, status)
        if changed is None:
            raise NotFound("chat")
        return changed

    def _page(self, scope: ports.DialogScope, wanted: SessionFilter) -> ports.Page[Session]:
        query = ports.SessionQuery(scope, wanted.status, wanted.track_id, wanted.cursor, wanted.limit)
        return self._dialogs.page(query)

    def _scope(self, actor: Actor, user_id: str | None, action: str) -> ports.DialogScope:
        return scope_of(self._owners.party(actor, user_id, action))


def scope_of(party: Party) -> ports.DialogScope:
    """What a party sees of the sessions of its account."""
    return ports.DialogScope(party.account_id, party.end_user_id)


def check_track(party: Party, track: Track) -> None:
    """Raises Forbidden unless the track is the party's own: what somebody may see isn't yet what they may build on."""
    if track.account_id != party.account_id or party.end_user_id not in (None, track.end_user_id):
        raise Forbidden("somebody else's track")


def _found(session: Session | None) -> Session:
    if session is None:
        raise NotFound("session")
    return session
