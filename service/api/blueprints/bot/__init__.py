"""The bot profile, for no-code builders: `/api/bot` and, with the key in the path, `/api/bot/<key>`."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.bot import routes

BLUEPRINTS: tuple[ApiBlueprint, ...] = (routes.blueprint,)
