"""Until when the models that are on offer are there, as a metric: asked of the database at each scrape."""

import math
from collections.abc import Iterator

import pymongo
import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pymongo.errors import PyMongoError

from service.domain.model_lives import Lives
from service.usecases import ports

log = structlog.get_logger(__name__)

# Of the time that a scrape has for the database, so that there is some left for the rest of it.
TIMEOUT_SECONDS = 1


class ModelLivesCollector(Collector):
    """Without the database it tells nothing."""

    def __init__(self, *, desk: ports.CatalogDesk, news: ports.ProviderNewsStore, clock: ports.Clock) -> None:
        self._desk = desk
        self._news = news
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        text = "Until a model ends; infinite while no end is known"
        metric = GaugeMetricFamily("llm_model_days_left", text, labels=("model",))
        try:
            lives = self._lives()
        except (PyMongoError, OSError) as error:
            log.warning("source is away", source="models", reason=type(error).__name__)
            return
        for alias in lives.models:
            days = lives.days_left(alias)
            metric.add_metric((alias,), math.inf if days is None else days)
        yield metric

    def _lives(self) -> Lives:
        with pymongo.timeout(TIMEOUT_SECONDS):
            models = {alias: entry.model for alias, entry in self._desk.models().items()}
            return Lives(models, self._news.latest(), self._clock.now().date())
