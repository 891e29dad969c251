"""Walks over all wallets again and again, at a tenth of the database's attention, and compares each with its ledger."""

import threading
import time

import structlog
from pymongo.errors import PyMongoError

from service.adapters.mongo.ledger_audit import MongoLedgerAudit, Place
from service.adapters.standing_metrics import LedgerMetrics

log = structlog.get_logger(__name__)

BATCH = 100
# Between two batches, in times of what the last one took, and at least.
REST = 9
LEAST_REST_SECONDS = 0.1
# Between two walks, so that a small installation isn't walked over all the time.
PAUSE_SECONDS = 10.0
OUTAGE_SECONDS = 5.0


class LedgerWatch:
    def __init__(
        self, audit: MongoLedgerAudit, metrics: LedgerMetrics, *, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._audit = audit
        self._metrics = metrics
        self._pause_seconds = pause_seconds

    def run(self, ended: threading.Event) -> None:
        """Until `ended` is set; an outage of the database is waited out, and the walk goes on where it was.

        Nothing else ends it either: nobody would notice.
        """
        place = Place()
        while not ended.is_set():
            started = time.monotonic()
            try:
                following = self.step(place)
            except PyMongoError as error:
                log.warning("ledger can't be checked", reason=type(error).__name__)
                ended.wait(OUTAGE_SECONDS)
                continue
            except Exception:
                log.exception("watching the ledger broke", after=place.after)
                ended.wait(OUTAGE_SECONDS)
                continue
            took = time.monotonic() - started
            ended.wait(max(LEAST_REST_SECONDS, REST * took) if following else self._pause_seconds)
            place = following or Place()

    def step(self, place: Place) -> Place | None:
        """Compare the next wallets; where to go on, or None at the end."""
        checked, following = self._audit.check(place, BATCH)
        for wallet in checked:
            if self._metrics.found(wallet):
                # Once per wallet: the alarm stays on by the metric.
                log.error("a wallet is not the sum of its ledger", wallet_id=wallet.wallet_id, drift=wallet.drift)
        if following is None:
            self._metrics.finished(time.time())
        return following
