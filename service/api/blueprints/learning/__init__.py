"""The learning platform: `/api/tracks` and `/api/ai`, in snake_case."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.learning import modules, plans, talking, tracks, tutor

BLUEPRINTS: tuple[ApiBlueprint, ...] = (
    tracks.blueprint,
    plans.blueprint,
    talking.blueprint,
    modules.blueprint,
    tutor.blueprint,
)
