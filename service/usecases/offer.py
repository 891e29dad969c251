"""What somebody may choose from."""

from dataclasses import dataclass

from service.domain.accounts import Actor, Role
from service.domain.billing import Meter, meter_of
from service.usecases import ports
from service.usecases.jobs import DEFAULT_ASSISTANT


@dataclass(frozen=True, slots=True)
class OfferedAssistant:
    """Somebody to ask in plain text. `meter` is what an answer costs the one who was told."""

    id: str
    meter: Meter
    locale: str


class OfferService:
    def __init__(self, *, catalog: ports.Catalog) -> None:
        self._catalog = catalog

    def assistants(self, actor: Actor) -> list[OfferedAssistant]:
        """The one that answers where nobody is named comes first."""
        offered = [
            OfferedAssistant(
                assistant.id, meter_of(assistant.meter, is_guest=actor.role is Role.GUEST), assistant.locale
            )
            for assistant in self._catalog.assistants()
            if assistant.is_for_anybody
        ]
        return sorted(offered, key=lambda each: each.id != DEFAULT_ASSISTANT)
