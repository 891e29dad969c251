"""How long models live, who takes over from them, and what operators have to be warned of.

A model is sent until the day it ends (`shutdown_on`, ISO); from then on its successor is, and after that one's end the
next. The provider may say of its own that a model ends, or not list it any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from service.domain.catalog import ChatModel

# From so long before its end on a model is warned of.
WARN_DAYS = 60
MAX_SUCCESSIONS = 5


class ModelWarning(StrEnum):
    """What is wrong with an alias, the worst of it: `ended`, nothing works that can answer for it; `missing`, the
    provider doesn't list what is sent for it; `no_successor`, it ends soon and nothing takes over; `ending_soon`, and
    something does; `replaced`, something has."""

    ENDED = "ended"
    MISSING = "missing"
    NO_SUCCESSOR = "no_successor"
    ENDING_SOON = "ending_soon"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """What the provider said of a model by its own id. `shutdown_on` is an ISO day."""

    upstream_id: str
    listed: bool
    shutdown_on: str | None


@dataclass(frozen=True, slots=True)
class ProviderNews:
    """What the provider said at a time of the models that aliases stand for."""

    read_at: datetime
    models: Mapping[str, ProviderModel]

    def end_of(self, upstream_id: str) -> str | None:
        found = self.models.get(upstream_id)
        return None if found is None else found.shutdown_on

    def lacks(self, upstream_id: str) -> bool:
        found = self.models.get(upstream_id)
        return found is not None and not found.listed


@dataclass(frozen=True, slots=True)
class Lives:
    """All models by their aliases, each as it is stored, and what the provider said; None if it was never asked."""

    models: Mapping[str, ChatModel]
    news: ProviderNews | None
    today: date

    def sent_on(self, alias: str, day: str) -> ChatModel | None:
        """What is sent for an alias on a day; None if a successor is missing."""
        model = self.models.get(alias)
        for _ in range(MAX_SUCCESSIONS):
            if model is None or model.successor is None or model.shutdown_on is None or model.shutdown_on > day:
                break
            model = self.models.get(model.successor)
        return model

    def sent_today(self, alias: str) -> ChatModel | None:
        return self.sent_on(alias, self.today.isoformat())

    def end_of(self, model: ChatModel) -> str | None:
        """The first day on which the model isn't there any more, by our table or by the provider."""
        known = (model.shutdown_on, self.news.end_of(model.upstream_id) if self.news else None)
        return min((day for day in known if day is not None), default=None)

    def days_left(self, alias: str) -> int | None:
        """Of the model itself; below zero when it is over, None while no end is known."""
        end = self.end_of(self.models[alias])
        return None if end is None else (date.fromisoformat(end) - self.today).days

    def warning(self, alias: str) -> ModelWarning | None:
        own, sent = self.models[alias], self.sent_today(alias)
        if sent is None or self._is_over(sent, self.today.isoformat()):
            return ModelWarning.ENDED
        if self.news is not None and self.news.lacks(sent.upstream_id):
            return ModelWarning.MISSING
        end = self.end_of(sent)
        if end is not None and end <= (self.today + timedelta(days=WARN_DAYS)).isoformat():
            after = self.sent_on(alias, end)
            if after is None or self._is_over(after, end):
                return ModelWarning.NO_SUCCESSOR
            return ModelWarning.ENDING_SOON if sent is own else ModelWarning.REPLACED
        return None if sent is own else ModelWarning.REPLACED

    def _is_over(self, model: ChatModel, day: str) -> bool:
        end = self.end_of(model)
        return end is not None and end <= day


def comes_back(models: Mapping[str, ChatModel], alias: str) -> bool:
    """Whether the successors of an alias lead back to one of them, or are too many to be followed."""
    seen = {alias}
    successor = models[alias].successor
    while successor is not None:
        if successor in seen or len(seen) > MAX_SUCCESSIONS:
            return True
        seen.add(successor)
        following = models.get(successor)
        successor = None if following is None else following.successor
    return False


def newly_lost(before: Mapping[str, ChatModel], after: Mapping[str, ChatModel]) -> list[str]:
    """Aliases whose successors could be followed to their end before and can't be after, as of models far in front of
    one that got another successor; in alphabetical order."""
    return [alias for alias in sorted(before) if comes_back(after, alias) and not comes_back(before, alias)]
