"""Where a question is said: which chat it continues, or which dialog it begins."""

from dataclasses import dataclass
from uuid import uuid4

from service.domain.chat import ChatMessage
from service.domain.dialogs import Chat, Dialog, default_session_id, new_dialog
from service.domain.errors import Forbidden, NotFound
from service.usecases import ports
from service.usecases.owners import Party


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that begins with a question. Without a `title` it is named after that question."""

    title: str = ""
    track_id: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A chat, or none; the dialog to be stored with the question if it is new; whether it takes one at a time."""

    session_id: str | None = None
    chat_id: str | None = None
    context: tuple[ChatMessage, ...] = ()
    context_version: int = 0
    opens: Dialog | None = None
    exclusive: bool = False


NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Named:
    """A chat by its id, which is that of its session if it is the session's first; of this session if one is given."""

    chat_id: str
    session_id: str | None = None


# What a question may say of where it belongs; None is the dialog in which its party talks that names none.
Wanted = Place | Named | NewSession | None


def named(session_id: str | None, chat_id: str | None) -> Named | None:
    """What a client means that may give either id, both or neither."""
    wanted = chat_id or session_id
    return None if wanted is None else Named(wanted, session_id)


class Places:
    def __init__(self, *, dialogs: ports.Dialogs, clock: ports.Clock) -> None:
        self._dialogs = dialogs
        self._clock = clock

    def find(self, party: Party, channel: str, wanted: Wanted) -> Place:
        """Where the party's question belongs. Raises NotFound, Forbidden."""
        match wanted:
            case Place():
                return wanted
            case Named(chat_id, session_id):
                return self.at(self.chat(party, chat_id, session_id))
            case NewSession():
                return self.new(party, channel, wanted)
            case None:
                return self.default(party, channel)

    def default(self, party: Party, channel: str) -> Place:
        """The dialog in which a party talks that names none; it takes any number of questions at once."""
        chat_id = party.dialog_id or default_session_id(party.account_id)
        chat = self._dialogs.chat(chat_id)
        if chat is None and (successor_id := self._dialogs.successor(chat_id)) is not None:
            chat_id, chat = successor_id, self._dialogs.chat(successor_id)
        if chat is not None:
            return _place(chat)
        dialog = self.begin(party, channel, chat_id)
        return _place(dialog.chat, opens=dialog)

    @staticmethod
    def at(chat: Chat) -> Place:
        """A chat that is known to be the party's; it takes one question at a time."""
        return _place(chat, exclusive=True)

    @staticmethod
    def beside(chat: Chat) -> Place:
        """Nowhere, but knowing what was said in this chat: for a question about it that is no part of it."""
        return Place(chat.session_id, context=chat.context)

    def new(self, party: Party, channel: str, wanted: NewSession) -> Place:
        dialog = self.begin(party, channel, uuid4().hex, wanted)
        return _place(dialog.chat, opens=dialog, exclusive=True)

    def chat(self, party: Party, chat_id: str, session_id: str | None = None) -> Chat:
        """The party's chat, of this session if one is named. Raises NotFound, Forbidden."""
        chat = self._dialogs.chat(chat_id)
        if chat is None or session_id not in (None, chat.session_id):
            raise NotFound("chat")
        if chat.account_id != party.account_id or party.end_user_id not in (None, chat.end_user_id):
            raise Forbidden("somebody else's dialog")
        return chat

    def begin(self, party: Party, channel: str, session_id: str, wanted: NewSession | None = None) -> Dialog:
        """A dialog of this party that is stored nowhere yet."""
        wanted = wanted or NewSession()
        return new_dialog(
            session_id,
            party.account_id,
            channel,
            self._clock.now(),
            title=wanted.title,
            track_id=wanted.track_id,
            end_user_id=party.end_user_id,
            external_user_id=party.external_user_id,
        )


def _place(chat: Chat, *, opens: Dialog | None = None, exclusive: bool = False) -> Place:
    return Place(chat.session_id, chat.id, chat.context, chat.context_version, opens, exclusive)
