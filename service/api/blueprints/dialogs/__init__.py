"""Sessions and what is said in them: `/api/chat/sessions` as the coach has them, `/api/chat/chats` as the learning
platform does."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.dialogs import chats, deletion, export, messages, search, sessions

BLUEPRINTS: tuple[ApiBlueprint, ...] = (
    sessions.blueprint,
    chats.blueprint,
    messages.blueprint,
    search.blueprint,
    export.blueprint,
    deletion.blueprint,
)
