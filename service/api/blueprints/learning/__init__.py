"""The learning platform: `/api/tracks` and `/api/ai`, in snake_case."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.learning import tracks

BLUEPRINTS: tuple[ApiBlueprint, ...] = (tracks.blueprint,)
