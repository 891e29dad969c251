"""What must be asked for, as metrics: how things stand in the database and in the broker at the moment of a scrape.

For one process of an installation only (`python -m service.exporter`): web and workers count what they do themselves.
A source that is away leaves its metrics out, so that no old figure is taken for a new one, and says so in
`exporter_source_up`.
"""

import time
from collections.abc import Callable, Iterator, Mapping

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pymongo.errors import PyMongoError
from redis import Redis
from redis.exceptions import RedisError

from service.adapters.mongo.ledger_audit import Checked
from service.adapters.mongo.reports import MongoFigures
from service.adapters.mongo.standing import MongoStanding
from service.adapters.redis.breaker import KEY as BREAKER_KEY
from service.domain.billing import Unit

log = structlog.get_logger(__name__)

QUEUES = ("chat", "webhooks", "upkeep")
# Where Kombu keeps what a worker has taken and not acknowledged yet.
UNACKED = "unacked_index"
UPKEEP_LEASE = "upkeep"
Source = Callable[[], list[Metric]]


class StandingCollector(Collector):
    """How long it may take is its caller's to say: see `service/bootstrap/watching.py`."""

    def __init__(
        self, *, standing: MongoStanding, figures: MongoFigures, redis: "Redis[bytes]", queue_limit: int
    ) -> None:
        self._standing = standing
        self._figures = figures
        self._redis = redis
        self._queue_limit = queue_limit

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("exporter_source_up", "Whether a source answers", labels=("source",))
        sources: Mapping[str, Source] = {"mongodb": self._of_mongodb, "redis": self._of_redis}
        for name, source in sources.items():
            try:
                metrics = source()
            except (PyMongoError, RedisError, OSError) as error:
                log.warning("source is away", source=name, reason=type(error).__name__)
                metrics = []
            up.add_metric((name,), bool(metrics))
            yield from metrics
        yield up
        yield GaugeMetricFamily(
            "queue_limit_messages", "With so many messages for chat no new questions are taken", self._queue_limit
        )

    def _of_mongodb(self) -> list[Metric]:
        work = [*self._jobs(), *self._deliveries(), *self._erasures(), *self._upkeep()]
        return [*work, *self._latest_figures(), *self._payments()]

    def _jobs(self) -> Iterator[Metric]:
        count = GaugeMetricFamily("chat_jobs_open", "Jobs that are not final; each holds tokens", labels=("status",))
        age = GaugeMetricFamily(
            "chat_jobs_oldest_seconds", "For how long the oldest job in a state has been open", labels=("status",)
        )
        for status, jobs in self._standing.open_jobs().items():
            count.add_metric((status,), jobs.count)
            age.add_metric((status,), jobs.oldest_seconds)
        yield from (count, age)

    def _deliveries(self) -> Iterator[Metric]:
        waiting, overdue = self._standing.waiting_deliveries(), self._standing.overdue_delivery_seconds()
        yield GaugeMetricFamily("webhooks_waiting", "Webhooks that have not arrived yet and still may", waiting)
        yield GaugeMetricFamily("webhooks_overdue_seconds", "For how long the longest due webhook waits", overdue)

    def _latest_figures(self) -> Iterator[Metric]:
        """Measured by a worker every minute; not there before the first time."""
        figures = self._figures.latest()
        if figures is None:
            return
        yield GaugeMetricFamily("active_users", "Accounts seen in the last five minutes", figures.active_users)
        yield GaugeMetricFamily("wallet_balance_mean", "Mean balance in tokens", figures.balance_mean)
        yield GaugeMetricFamily("wallet_balance_median", "Median balance in tokens", figures.balance_median)
        measured = figures.measured_at.timestamp()
        yield GaugeMetricFamily("figures_measured_timestamp_seconds", "When balances were measured", measured)

    def _payments(self) -> Iterator[Metric]:
        count = GaugeMetricFamily("payments_open", "Payments that are not settled", labels=("status",))
        for status, number in self._standing.open_payments().items():
            count.add_metric((status,), number)
        yield count
        overdue, refund = self._standing.overdue_payment_seconds(), self._standing.oldest_refund_seconds()
        yield GaugeMetricFamily("payments_overdue_seconds", "For how long nobody asked about a due payment", overdue)
        yield GaugeMetricFamily("payments_oldest_refund_seconds", "For how long the oldest refund is open", refund)
        loss = self._standing.loss_tokens()
        yield CounterMetricFamily("operator_loss_tokens", "Tokens used beyond a hold, which nobody paid for", loss)

    def _erasures(self) -> Iterator[Metric]:
        waiting, oldest = self._standing.erasures()
        yield GaugeMetricFamily("erasures_open", "Deleted sessions, tracks, accounts that are being erased", waiting)
        yield GaugeMetricFamily("erasures_oldest_seconds", "For how long the oldest has been deleted", oldest)

    def _upkeep(self) -> Iterator[Metric]:
        """Not there before anybody ever did it."""
        idle = self._standing.idle_seconds(UPKEEP_LEASE)
        if idle is not None:
            yield GaugeMetricFamily("upkeep_idle_seconds", "For how long nobody has looked after what was lost", idle)

    def _of_redis(self) -> list[Metric]:
        # All at once: each answer for itself could take as long as a connection waits.
        asked = self._redis.pipeline(transaction=False)
        for queue in QUEUES:
            asked.llen(queue)
        *lengths, unacked, refusing = asked.zcard(UNACKED).exists(BREAKER_KEY).execute()
        length = GaugeMetricFamily("queue_messages", "Messages that wait for a worker", labels=("queue",))
        for queue, waiting in zip(QUEUES, lengths, strict=True):
            length.add_metric((queue,), int(waiting))
        taken = GaugeMetricFamily("queue_unacked", "Messages that a worker has", int(unacked))
        breaker = GaugeMetricFamily(
            "upstream_refusing", "1 while no new jobs are taken: the provider refuses", int(refusing)
        )
        return [length, taken, breaker]


class LedgerMetrics(Collector):
    """What the walk over all wallets has found so far."""

    def __init__(self) -> None:
        self._started_at = time.time()
        self._finished_at: float | None = None
        self._wrong: dict[str, Checked] = {}
        self._checked = dict.fromkeys(Unit, 0)
        # Of this walk, and how many wallets the last whole one came by.
        self._still_wrong: set[str] = set()
        self._came_by = dict.fromkeys(Unit, 0)
        self._wallets: dict[Unit, int] = {}

    def found(self, wallet: Checked) -> bool:
        """Whether it is wrong and was not before."""
        self._checked[wallet.unit] += 1
        self._came_by[wallet.unit] += 1
        if wallet.right:
            self._wrong.pop(wallet.wallet_id, None)
            return False
        self._still_wrong.add(wallet.wallet_id)
        is_new = wallet.wallet_id not in self._wrong
        self._wrong[wallet.wallet_id] = wallet
        return is_new

    def finished(self, timestamp: float) -> None:
        """All wallets have been looked at once more; those that were not there any more are not wrong."""
        self._wrong = {name: wallet for name, wallet in self._wrong.items() if name in self._still_wrong}
        self._wallets, self._finished_at = self._came_by, timestamp
        self._still_wrong, self._came_by = set(), dict.fromkeys(Unit, 0)

    def collect(self) -> Iterator[Metric]:
        # As it is at one moment: the walk goes on in another thread.
        all_wrong = tuple(self._wrong.values())
        drift = GaugeMetricFamily("ledger_drift", "By how much wallets differ from their ledgers", labels=("unit",))
        wrong = GaugeMetricFamily("ledger_wallets_wrong", "Wallets that differ from their ledgers", labels=("unit",))
        checked = CounterMetricFamily("ledger_wallets_checked", "Wallets that were compared", labels=("unit",))
        for unit in Unit:
            drifts = [wallet.drift for wallet in all_wrong if wallet.unit is unit]
            drift.add_metric((unit,), sum(drifts))
            wrong.add_metric((unit,), len(drifts))
            checked.add_metric((unit,), self._checked[unit])
        yield from (drift, wrong, checked)
        began = "When this process began to walk over all wallets"
        yield GaugeMetricFamily("ledger_watch_started_timestamp_seconds", began, self._started_at)
        if self._finished_at is not None:
            name, text = "ledger_check_timestamp_seconds", "When the last walk over all wallets was complete"
            yield GaugeMetricFamily(name, text, self._finished_at)
            wallets = GaugeMetricFamily("ledger_wallets", "Wallets that the last whole walk came by", labels=("unit",))
            for unit, count in self._wallets.items():
                wallets.add_metric((unit,), count)
            yield wallets
