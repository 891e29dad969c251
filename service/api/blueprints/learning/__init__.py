"""The learning platform: `/api/tracks` and `/api/ai`, in snake_case."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.learning import modules, tracks, tutor

BLUEPRINTS: tuple[ApiBlueprint, ...] = (tracks.blueprint, tutor.blueprint, modules.blueprint)
