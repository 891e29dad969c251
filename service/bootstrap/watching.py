"""The small part of the object graph that only watches: the exporter's."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pymongo
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service.adapters.ledger_watch import LedgerWatch
from service.adapters.model_metrics import ModelLivesCollector
from service.adapters.mongo import connection
from service.adapters.mongo.catalog import MongoCatalog
from service.adapters.mongo.catalog_desk import MongoCatalogDesk, MongoProviderNews
from service.adapters.mongo.ledger_audit import MongoLedgerAudit
from service.adapters.mongo.reports import MongoFigures
from service.adapters.mongo.standing import MongoStanding
from service.adapters.processes import ProcessCollector
from service.adapters.redis.client import connect as connect_redis
from service.adapters.standing_metrics import LedgerMetrics, StandingCollector
from service.bootstrap.outside import SystemClock
from service.settings import Settings

# Prometheus gives up on a scrape after eight seconds (deploy/prometheus/prometheus.yml), and must hear before that of
# sources that hang. All questions to MongoDB of a scrape have so much together, however many there are.
MONGODB_SECONDS = 4.0
# To connect, and once more to hear: two seconds at most.
REDIS_TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True)
class Watching(Collector):
    """`collect` is asked at each scrape, and says within six seconds what there is to say; `ledger` walks in a thread
    of its own. Of `collectors` those that may take less of the time come first."""

    collectors: tuple[Collector, ...]
    ledger: LedgerWatch

    def collect(self) -> Iterator[Metric]:
        with pymongo.timeout(MONGODB_SECONDS):
            # Before anything is yielded: the limit is of this thread, not of this generator.
            found = [metric for collector in self.collectors for metric in collector.collect()]
        yield from found

    def start(self, ended: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=self.ledger.run, args=(ended,), name="ledger", daemon=True)
        thread.start()
        return thread


def watch(settings: Settings) -> Watching:
    """Connects lazily."""
    uri = settings.mongodb_uri.get_secret_value()
    mongo = connection.connect(uri, timeout_seconds=settings.mongodb_timeout_seconds)
    transactions = connection.Transactions(mongo, timeout_seconds=settings.mongodb_timeout_seconds)
    redis = connect_redis(settings.redis_url.get_secret_value(), timeout_seconds=REDIS_TIMEOUT_SECONDS)
    metrics = LedgerMetrics()
    standing = StandingCollector(
        standing=MongoStanding(), figures=MongoFigures(), redis=redis, queue_limit=settings.max_queue_length
    )
    lives = ModelLivesCollector(
        desk=MongoCatalogDesk(MongoCatalog(settings.openai_model), transactions),
        news=MongoProviderNews(),
        clock=SystemClock(),
    )
    return Watching((lives, standing, metrics, ProcessCollector(alone=True)), LedgerWatch(MongoLedgerAudit(), metrics))
