"""What the use cases need to keep the catalog: its entries as they are stored, and what the provider says of models."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from service.domain.catalog import AssistantEntry, ModelEntry
from service.domain.model_lives import ProviderNews

# Raises what is wrong with a change, given all models by their aliases.
Fits = Callable[[Mapping[str, ModelEntry]], None]


class CatalogDesk(Protocol):
    """The catalog without any memory. Other processes take up a change within seconds, this one at once."""

    @property
    def default_model(self) -> str:
        """The alias that `default` stands for."""

    def models(self) -> dict[str, ModelEntry]:
        """By their aliases, in alphabetical order."""

    def assistants(self) -> dict[str, AssistantEntry]:
        """By their ids, in alphabetical order."""

    def change_model(self, entry: ModelEntry, changes: Mapping[str, Any], fits: Fits) -> ModelEntry | None:
        """Set fields of `ChatModel`; None, and nothing changes, unless it is still of this version.

        With another successor, `fits` is asked with all models as they are at that moment. It may be asked several
        times, and what it raises stops the change: of two changes at once that fit only alone, one does not happen.
        """

    def change_assistant(self, entry: AssistantEntry, changes: Mapping[str, Any]) -> AssistantEntry | None:
        """Set fields of `Assistant`; None, and nothing changes, unless it is still of this version."""


class ProviderNewsStore(Protocol):
    """What the provider said last."""

    def latest(self) -> ProviderNews | None: ...

    def keep(self, news: ProviderNews) -> None: ...
