"""Asks the provider once a day which models it has and when they end, and warns of those that are in use."""

from datetime import timedelta

import structlog

from service.domain.errors import UpstreamFailed, UpstreamTimeout
from service.domain.model_lives import Lives, ModelWarning, ProviderModel, ProviderNews
from service.usecases import ports
from service.usecases.catalog_desk import CatalogDeskService

log = structlog.get_logger(__name__)

INTERVAL = timedelta(days=1)
# Long enough for the answer, short enough that another worker soon follows one that died.
LEASE_SECONDS = 30


class ProviderWatch:
    """Called much more often than it asks, so that a provider that didn't answer is asked again soon."""

    def __init__(
        self,
        *,
        desk: CatalogDeskService,
        upstream: ports.Upstream,
        news: ports.ProviderNewsStore,
        leases: ports.Leases,
        telemetry: ports.Telemetry,
        clock: ports.Clock,
        holder: str,
    ) -> None:
        self._desk = desk
        self._upstream = upstream
        self._news = news
        self._leases = leases
        self._telemetry = telemetry
        self._clock = clock
        self._holder = holder

    def __call__(self) -> bool:
        """Ask if it is time to; whether there is something new. What was known stays while the provider is away."""
        latest, now = self._news.latest(), self._clock.now()
        if latest is not None and now - latest.read_at < INTERVAL:
            return False
        if self._leases.take("provider-watch", self._holder, LEASE_SECONDS) is None:
            return False
        try:
            offered = self._upstream.offered()
        except (UpstreamFailed, UpstreamTimeout) as failure:
            reason = failure.reason if isinstance(failure, UpstreamFailed) else None
            self._telemetry.upstream_check(reason or "timeout")
            log.warning("provider's models unknown", reason=str(failure))
            return False
        self._telemetry.upstream_check("ok")
        ours = sorted({model.upstream_id for model in self._desk.lives().models.values()})
        models = {each: ProviderModel(each, each in offered, offered.get(each)) for each in ours}
        self._news.keep(ProviderNews(now, models))
        lives = self._desk.lives()
        log.info("provider's models read", listed=len(offered), ours=sum(model.listed for model in models.values()))
        self._warn(lives)
        return True

    def _warn(self, lives: Lives) -> None:
        """In the log, of what somebody will miss: models that assistants ask."""
        for alias, assistants in self._desk.users_of().items():
            warning = lives.warning(alias) if alias in lives.models else ModelWarning.ENDED
            if warning is None or warning is ModelWarning.REPLACED:
                continue
            days_left = lives.days_left(alias) if alias in lives.models else None
            log.warning("model needs a look", model=alias, warning=warning, days_left=days_left, assistants=assistants)
