"""Requests are counted in memory and written down by the way, none twice and none lost in an outage."""

import threading
from collections.abc import Callable

from pymongo.database import Database
from pymongo.errors import AutoReconnect

from service.adapters.mongo.request_counts import MongoRequestCounts
from service.adapters.traffic import BackgroundTraffic
from service.bootstrap import Container
from service.usecases.ports import RequestCounts, RequestTotals
from tests.core.support import ROOT, NewActor, SettableClock, ask

ERRORS = {"RATE_LIMITED": 2, "NOT_FOUND": 1}


class Away(MongoRequestCounts):
    """The database is away for the first try."""

    tries = 0

    def add(self, *counts: object) -> None:
        self.tries += 1
        if self.tries == 1:
            raise AutoReconnect("away")
        super().add(*counts)  # type: ignore[arg-type]


def counted(counts: RequestCounts, clock: SettableClock, requests: Callable[[BackgroundTraffic], None]) -> None:
    """Count these requests, and wait until they are written down; nothing is before all are counted."""
    traffic = BackgroundTraffic(counts=counts, clock=clock, outages=(AutoReconnect,))
    all_counted = threading.Event()
    traffic.wait = lambda _seconds: all_counted.wait()
    before = set(threading.enumerate())
    requests(traffic)
    (worker,) = set(threading.enumerate()) - before
    all_counted.set()
    worker.join(timeout=30)
    assert not worker.is_alive(), "it ends when there is nothing to write"


def some(traffic: BackgroundTraffic) -> None:
    for code in (None, None, "RATE_LIMITED", "NOT_FOUND", "RATE_LIMITED"):
        traffic.request(code)


def test_requests_are_added_to_their_day(db: Database) -> None:
    clock, counts = SettableClock(), MongoRequestCounts()
    today = clock.now().date().isoformat()
    counted(counts, clock, some)
    assert counts.since(today) == [RequestTotals(today, 5, ERRORS)]
    counted(counts, clock, lambda traffic: traffic.request(None))
    assert counts.since(today) == [RequestTotals(today, 6, ERRORS)]
    assert counts.since("2999-01-01") == []


def test_an_outage_loses_and_doubles_nothing(db: Database) -> None:
    clock, counts = SettableClock(), Away()
    counted(counts, clock, some)
    assert counts.tries == 2
    (totals,) = counts.since("2000-01-01")
    assert (totals.requests, totals.errors) == (5, ERRORS)


def test_midnight_divides_them(db: Database) -> None:
    clock, counts = SettableClock(), MongoRequestCounts()

    def around_midnight(traffic: BackgroundTraffic) -> None:
        clock.time = clock.time.replace(year=2030, month=1, day=31, hour=23)
        traffic.request("NOT_FOUND")
        clock.time = clock.time.replace(month=2, day=1, hour=0)
        traffic.request(None)

    counted(counts, clock, around_midnight)
    assert counts.since("2030-01-01") == [
        RequestTotals("2030-01-31", 1, {"NOT_FOUND": 1}),
        RequestTotals("2030-02-01", 1, {}),
    ]


def test_the_overview_tells_them_and_what_jobs_failed_of(
    container: Container, db: Database, new_actor: NewActor, upstream: object
) -> None:
    upstream.rule(contains="bad", status=400)  # type: ignore[attr-defined]
    anna = new_actor(tokens=10_000)
    for message in ("good", "bad", "bad"):
        ask(container, anna, message)
    today = SettableClock().now().date().isoformat()
    MongoRequestCounts().add(today, 7, {"NOT_FOUND": 3})
    MongoRequestCounts().add("2000-01-01", 7, {})
    assert container.figures()
    for figures in (container.figures.latest(), container.admin.overview(ROOT).figures):
        assert [(each.code, each.jobs) for each in figures.failures] == [("UPSTREAM_ERROR", 2)]
        assert figures.requests == [RequestTotals(today, 7, {"NOT_FOUND": 3})]


def test_figures_of_an_older_version_can_be_read(container: Container, db: Database) -> None:
    container.figures()
    db.figures.update_one({}, {"$unset": {"failures": "", "requests": ""}})
    latest = container.figures.latest()
    assert (latest.failures, latest.requests) == ([], [])


def test_who_ends_writes_down_what_is_there_at_once(db: Database) -> None:
    clock, counts = SettableClock(), MongoRequestCounts()
    traffic = BackgroundTraffic(counts=counts, clock=clock, outages=(AutoReconnect,))
    for_ever = threading.Event()
    traffic.wait = lambda _seconds: for_ever.wait()
    some(traffic)
    traffic.flush()
    traffic.flush()
    (totals,) = counts.since("2000-01-01")
    assert (totals.requests, totals.errors) == (5, ERRORS), "once"
    for_ever.set()


def test_who_ends_in_an_outage_ends_all_the_same(db: Database) -> None:
    clock, counts = SettableClock(), Away()
    for_ever = threading.Event()
    traffic = BackgroundTraffic(counts=counts, clock=clock, outages=(AutoReconnect,))
    traffic.wait = lambda _seconds: for_ever.wait()
    some(traffic)
    traffic.flush()
    assert (counts.tries, counts.since("2000-01-01")) == (1, [])
    traffic.flush()
    assert [each.requests for each in counts.since("2000-01-01")] == [5]
    for_ever.set()


def test_who_ends_waits_for_what_is_being_written(db: Database) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    class Slow(MongoRequestCounts):
        def add(self, *counts: object) -> None:
            begun.set()
            assert goes_on.wait(30)
            super().add(*counts)  # type: ignore[arg-type]

    counts = Slow()
    traffic = BackgroundTraffic(counts=counts, clock=SettableClock(), outages=(AutoReconnect,))
    traffic.wait = lambda _seconds: None
    traffic.request(None)
    assert begun.wait(30)
    ending = threading.Thread(target=traffic.flush)
    ending.start()
    ending.join(0.2)
    assert ending.is_alive()
    goes_on.set()
    ending.join(30)
    assert [each.requests for each in counts.since("2000-01-01")] == [1]
