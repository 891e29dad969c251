"""Figures about the whole service, measured once a minute: what they cost grows with the number of accounts."""

from datetime import UTC, datetime, timedelta

import structlog

from service.usecases import ports

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 60
ACTIVE_WINDOW = timedelta(minutes=5)
DAYS = 7


class FiguresService:
    def __init__(
        self,
        *,
        accounts: ports.Accounts,
        usage: ports.UsageReports,
        requests: ports.RequestCounts,
        balances: ports.Balances,
        figures: ports.FiguresStore,
        leases: ports.Leases,
        clock: ports.Clock,
        holder: str,
    ) -> None:
        self._accounts = accounts
        self._usage = usage
        self._requests = requests
        self._balances = balances
        self._figures = figures
        self._leases = leases
        self._clock = clock
        self._holder = holder

    def __call__(self) -> bool:
        """Measure; False if another worker does it."""
        if self._leases.take("figures", self._holder, INTERVAL_SECONDS // 2) is None:
            return False
        self._measure()
        return True

    def latest(self) -> ports.Figures:
        """As they were a minute ago at most, as long as a worker runs; measured now if they never were."""
        return self._figures.latest() or self._measure()

    def _measure(self) -> ports.Figures:
        now = self._clock.now()
        first_day, last_day = (now - timedelta(days=DAYS - 1)).date().isoformat(), now.date().isoformat()
        mean, median = self._balances.mean_and_median()
        figures = ports.Figures(
            measured_at=now,
            active_users=self._accounts.count_active(now - ACTIVE_WINDOW),
            balance_mean=mean,
            balance_median=median,
            days=self._usage.totals(None, first_day, last_day, "day"),
            models=self._usage.totals(None, first_day, last_day, "model"),
            failures=self._usage.failures(datetime.fromisoformat(first_day).replace(tzinfo=UTC)),
            requests=self._requests.since(first_day),
        )
        self._figures.keep(figures)
        log.info("figures measured", active_users=figures.active_users)
        return figures
