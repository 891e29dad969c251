"""Waiting for a job's end: woken at once by Redis, within about a second without it."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pymongo.database import Database

from devstack.servers import RedisServer
from devstack.upstream_control import UpstreamControl
from service.adapters.mongo.jobs import MongoJobs
from service.adapters.outages import OUTAGES
from service.adapters.redis.client import BestEffort, connect
from service.adapters.redis.events import CHANNEL, POLL_SECONDS, RedisJobEvents
from service.bootstrap import Container
from service.domain.errors import Forbidden, NotFound
from service.domain.jobs import JobStatus
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import ROOT, NewActor, at_once, submit

LONG = 10.0


def watched(container: Container, job_id: str) -> bool:
    return job_id in container.jobs._events._waiting


def until(condition: object) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def test_everybody_who_waits_is_woken_by_the_end(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    upstream.rule(contains="ping", hold="gate", answer="pong")
    job = submit(container, actor)
    with ThreadPoolExecutor(9) as pool:
        run = pool.submit(container.run, job.id)
        upstream.wait_for_calls(1, contains="ping")
        waits = [pool.submit(container.jobs.wait, actor, job.id, LONG) for _ in range(8)]
        until(lambda: len(container.jobs._events._waiting.get(job.id, ())) == 8)
        assert not any(wait.done() for wait in waits)
        upstream.release("gate")
        run.result(LONG)
        ended = time.monotonic()
        assert [wait.result(LONG).answer for wait in waits] == ["pong"] * 8
    assert time.monotonic() - ended < 2 * POLL_SECONDS
    assert not watched(container, job.id), "nobody is left in the list"


def test_a_cancel_wakes_who_waits(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor)
    with ThreadPoolExecutor(1) as pool:
        wait = pool.submit(container.jobs.wait, actor, job.id, LONG)
        until(lambda: watched(container, job.id))
        container.jobs.cancel(actor, job.id)
        assert wait.result(LONG).status is JobStatus.CANCELLED
    check_money(db)


def test_waiting_ends_with_its_time(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor)
    for seconds in (-1, 0, 0.1):
        started = time.monotonic()
        assert container.jobs.wait(actor, job.id, seconds).status is JobStatus.QUEUED
        assert time.monotonic() - started < 1
    assert not watched(container, job.id)


def test_what_is_final_is_not_waited_for(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor)
    container.jobs.cancel(actor, job.id)
    started = time.monotonic()
    assert container.jobs.wait(actor, job.id, LONG).status is JobStatus.CANCELLED
    assert time.monotonic() - started < 1


def test_nobody_waits_for_somebody_elses_job_or_for_nothing(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    job = submit(container, new_actor())
    with pytest.raises(Forbidden):
        container.jobs.wait(new_actor(), job.id, LONG)
    with pytest.raises(NotFound):
        container.jobs.wait(ROOT, "nothing", LONG)
    assert container.jobs.wait(ROOT, job.id, 0).id == job.id
    assert not watched(container, job.id)


def test_the_end_is_noticed_without_redis(
    build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl, tmp_path: Path
) -> None:
    with RedisServer(tmp_path) as redis:
        container, actor = build(redis_url=redis.uri), new_actor()
        job = submit(container, actor)
        redis.kill()
        results = at_once([lambda: container.jobs.wait(actor, job.id, LONG), lambda: container.run(job.id)])
        assert results[0].status is JobStatus.SUCCEEDED


class ShakyJobs(MongoJobs):
    """Fails once in a way that nobody thought of."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def finished(self, job_ids: Sequence[str]) -> set[str]:
        self.asked += 1
        if self.asked == 1:
            raise RuntimeError("a defect")
        return set(job_ids)


def test_waiting_goes_on_after_a_defect(container: Container, redis: RedisServer) -> None:
    """A reader that ended would leave every later wait to its whole time."""
    events = RedisJobEvents(connect(redis.uri), BestEffort(), ShakyJobs(), OUTAGES)
    with events.watch("a job") as finished:
        assert finished(LONG)


def test_names_of_jobs_that_nobody_waits_for_are_no_burden(container: Container, redis: RedisServer) -> None:
    client = connect(redis.uri)
    events = RedisJobEvents(client, BestEffort(), MongoJobs(), OUTAGES)
    heard = threading.Event()
    with events.watch("awaited") as finished:

        def tell() -> None:
            while not heard.wait(0.02):
                client.publish(CHANNEL, b"\xff not a name")
                for name in ("", "nobody's", "awaited"):
                    events.announce(name)

        teller = threading.Thread(target=tell)
        teller.start()
        try:
            assert finished(LONG)
        finally:
            heard.set()
            teller.join()
