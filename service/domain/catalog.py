"""What is on offer: model aliases with their prices and abilities, and assistants.

Both are data, kept in the database and first filled from `service/data/catalog.json`.
"""

from dataclasses import dataclass

from service.domain.billing import PriceWeights

DEFAULT_MODEL = "default"


@dataclass(frozen=True, slots=True)
class ChatModel:
    """An alias that clients may name and what is sent to the provider for it.

    `context_tokens` is the provider's limit for prompt and answer together. `output_parameter` is the name under
    which the provider takes the output limit. `shutdown_on` is the ISO day from which
    `successor` is sent instead.
    """

    alias: str
    upstream_id: str
    weights: PriceWeights
    context_tokens: int
    output_tokens: int
    accepts_temperature: bool
    output_parameter: str
    reasoning_effort: str | None
    shutdown_on: str | None
    successor: str | None


@dataclass(frozen=True, slots=True)
class Assistant:
    """A persona and its limits. `meter` says what an answer costs: `tokens`, `credits` or `free`.

    `response_format` is the format of `service/domain/structured.py` that it answers in; None for plain text. One that
    is `listed` is offered to people who choose whom to ask.
    """

    id: str
    persona: str
    locale: str
    model: str
    temperature: float | None
    output_tokens: int
    history_messages: int
    meter: str
    response_format: str | None = None
    listed: bool = True

    @property
    def is_for_anybody(self) -> bool:
        """Whether a UI may offer it: it answers whatever one asks, in plain text."""
        return self.listed and self.response_format is None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model as it is stored under `id`, whatever its successor. `version` counts its changes.

    `id` is the alias, but for the installation's model when the table doesn't know it: that one is described by
    `default`.
    """

    id: str
    model: ChatModel
    version: int


@dataclass(frozen=True, slots=True)
class AssistantEntry:
    """An assistant as it is stored. `version` counts its changes."""

    assistant: Assistant
    version: int
