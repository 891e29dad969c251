"""Dialogs as people keep them: sessions, chats and messages under `/api/chat`."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.dialogs import deletion

BLUEPRINTS: tuple[ApiBlueprint, ...] = (deletion.blueprint,)
