"""`/v1`: what programs made for OpenAI's API call, so that they work with another base URL and key and nothing else."""

from service.api.blueprint import ApiBlueprint
from service.api.blueprints.openai import completions, models

BLUEPRINTS: tuple[ApiBlueprint, ...] = (completions.blueprint, models.blueprint)
