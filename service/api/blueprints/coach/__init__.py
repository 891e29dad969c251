"""The coach: `/api/chat/send`, `/api/chat/history` and `/api/user/stats`. Its sessions are everybody's (`dialogs`)."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.coach import history, send, stats

BLUEPRINTS: tuple[ApiBlueprint, ...] = (send.blueprint, history.blueprint, stats.blueprint)
