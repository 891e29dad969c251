"""What the use cases need to keep the catalog: its entries as they are stored, and what the provider says of models."""

from collections.abc import Mapping
from typing import Any, Protocol

from service.domain.catalog import AssistantEntry, ModelEntry
from service.domain.model_lives import ProviderNews


class CatalogDesk(Protocol):
    """The catalog without any memory. Other processes take up a change within seconds, this one at once."""

    @property
    def default_model(self) -> str:
        """The alias that `default` stands for."""

    def models(self) -> dict[str, ModelEntry]:
        """By their aliases, in alphabetical order."""

    def assistants(self) -> dict[str, AssistantEntry]:
        """By their ids, in alphabetical order."""

    def change_model(self, entry: ModelEntry, changes: Mapping[str, Any]) -> ModelEntry | None:
        """Set fields of `ChatModel`; None, and nothing changes, unless it is still of this version."""

    def change_assistant(self, entry: AssistantEntry, changes: Mapping[str, Any]) -> AssistantEntry | None:
        """Set fields of `Assistant`; None, and nothing changes, unless it is still of this version."""


class ProviderNewsStore(Protocol):
    """What the provider said last."""

    def latest(self) -> ProviderNews | None: ...

    def keep(self, news: ProviderNews) -> None: ...
