"""Sessions and what is said in them: `/api/chat/sessions` and `/api/chat/history` as the coach has them,
`/api/chat/chats` as the learning platform does."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.dialogs import chats, deletion, export, history, messages, search, sessions

BLUEPRINTS: tuple[ApiBlueprint, ...] = (
    sessions.blueprint,
    chats.blueprint,
    history.blueprint,
    messages.blueprint,
    search.blueprint,
    export.blueprint,
    deletion.blueprint,
)
