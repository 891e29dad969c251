"""Counts the requests of this process in memory and adds them to the day's sum every few seconds.

A request pays for no write. A process that ends writes what it has; one that dies takes its last seconds with it.
"""

import threading
from collections import Counter
from collections.abc import Callable

import structlog

from service.usecases.ports import Clock, RequestCounts

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 10.0


class BackgroundTraffic:
    """One thread per process, only while there is something to write down."""

    def __init__(self, *, counts: RequestCounts, clock: Clock, outages: tuple[type[Exception], ...]) -> None:
        self._counts = counts
        self._clock = clock
        self._outages = outages
        self._lock = threading.Lock()
        # Held while counts are on their way to the database: who ends waits for them.
        self._writing = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._is_working = False
        self.wait: Callable[[float], object] = lambda seconds: threading.Event().wait(seconds)

    def request(self, error_code: str | None) -> None:
        """See `ports.Traffic.request`."""
        day = self._clock.now().date().isoformat()
        with self._lock:
            self._requests[day] += 1
            if error_code is not None:
                self._errors[day, error_code] += 1
            starts, self._is_working = not self._is_working, True
        if starts:
            threading.Thread(target=self._work, name="traffic", daemon=True).start()

    def flush(self) -> None:
        """See `ports.Traffic.flush`."""
        try:
            with self._writing:
                self._write()
        except self._outages as outage:
            log.warning("requests not counted yet", reason=type(outage).__name__)
        except Exception:
            # Or nobody would ever count again in this process.
            log.exception("requests can't be counted")

    def _work(self) -> None:
        while True:
            self.wait(FLUSH_SECONDS)
            self.flush()
            with self._lock:
                if not self._requests:
                    self._is_working = False
                    return

    def _write(self) -> None:
        """Day by day; what can't be written now stays for the next time."""
        with self._lock:
            days = list(self._requests)
        for day in days:
            with self._lock:
                requests = self._requests.pop(day)
                codes = [code for of_day, code in self._errors if of_day == day]
                errors = {code: self._errors.pop((day, code)) for code in codes}
            try:
                self._counts.add(day, requests, errors)
            except self._outages:
                with self._lock:
                    self._requests[day] += requests
                    self._errors.update({(day, code): count for code, count in errors.items()})
                raise
