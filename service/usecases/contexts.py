"""The saved context of an account: the window of its default dialog that the next question continues."""

from collections.abc import Sequence

from service.domain.accounts import Actor
from service.domain.chat import ChatMessage, CountTokens, window
from service.domain.errors import ContextNotFound
from service.usecases import ports
from service.usecases.owners import Owners
from service.usecases.places import Places

CHANNEL = "api"


class ContextService:
    def __init__(
        self,
        *,
        dialogs: ports.Dialogs,
        places: Places,
        catalog: ports.Catalog,
        owners: Owners,
        count_tokens: CountTokens,
        history_messages: int,
    ) -> None:
        self._dialogs = dialogs
        self._places = places
        self._catalog = catalog
        self._owners = owners
        self._count = count_tokens
        self._history_messages = history_messages

    def get(self, actor: Actor, user_id: str | None) -> tuple[ChatMessage, ...]:
        """The window that the next question will be sent with. Raises Forbidden, NotFound, ContextNotFound."""
        party = self._owners.party(actor, user_id, "context.read")
        place = self._places.default(party, CHANNEL)
        if place.opens is not None:
            raise ContextNotFound()
        return self._window(place.context)

    def save(self, actor: Actor, user_id: str | None, context: Sequence[ChatMessage]) -> None:
        """Replace the saved context by the newest messages of `context`. Raises Forbidden, NotFound."""
        party = self._owners.party(actor, user_id, "context.save")
        newest = context[-self._history_messages :]
        place = self._places.default(party, CHANNEL)
        if place.opens is not None:
            self._dialogs.create(place.opens)
        if place.chat_id is not None:
            self._dialogs.save_context(place.chat_id, newest)

    def reset(self, actor: Actor, user_id: str | None) -> None:
        """Forget the saved context; the dialog itself stays stored."""
        self.save(actor, user_id, ())

    def _window(self, context: Sequence[ChatMessage]) -> tuple[ChatMessage, ...]:
        assistant = self._catalog.assistant("chat")
        model = self._catalog.model(assistant.model) if assistant else None
        budget = model.context_tokens - assistant.output_tokens if assistant and model else 0
        return window(context, max_messages=self._history_messages, budget_tokens=budget, count=self._count)
