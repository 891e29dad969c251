"""A delivery is sent until somebody has it or nobody wants it, whoever hangs or dies meanwhile."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.webhooks import RETRY_SECONDS, DeliveryStatus
from service.usecases.deliver import SLOTS
from service.usecases.ports import WebhookReply, WebhookRequest
from tests.core.deliveries.support import ALL, deliver_all, hurry, only, register
from tests.core.receivers import Receiver, receiving
from tests.core.support import ROOT, ask, at_once


def seconds_until_next(db: Database) -> float:
    return float((only(db)["next_at"] - datetime.now(UTC)).total_seconds())


def test_a_failed_try_is_repeated_by_schedule_with_the_same_id(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    register(calling, actor, receiver.url)
    ask(calling, actor)
    receiver.replies = [(status, {}) for status in (500, 404, 302, 503, 429, 400, 401, 500)]
    for tries, seconds in enumerate(RETRY_SECONDS, start=1):
        deliver_all(calling, db)
        assert (only(db)["status"], only(db)["tries"]) == ("pending", tries)
        assert 0.85 * seconds < seconds_until_next(db) < 1.15 * seconds
        deliver_all(calling, db)
        assert len(receiver.heard) == tries, "not before its time"
        hurry(db)
    deliver_all(calling, db)
    assert only(db)["status"] == "delivered"
    assert len(receiver.heard) == 9
    assert len(set(receiver.ids())) == 1


def test_after_the_last_try_it_is_dead_and_can_be_sent_again(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url)
    ask(calling, actor)
    receiver.replies = [(500, {})] * 9
    for _ in range(12):
        deliver_all(calling, db)
        hurry(db)
    assert (only(db)["status"], only(db)["last_status"], only(db)["tries"]) == ("dead", 500, 9)
    assert len(receiver.heard) == 9

    (dead,) = calling.webhooks.deliveries(actor, endpoint.id, ALL).items
    assert calling.webhooks.redeliver(actor, dead.id).status is DeliveryStatus.PENDING
    deliver_all(calling, db)
    assert (only(db)["status"], only(db)["tries"]) == ("delivered", 1)
    assert len(set(receiver.ids())) == 1
    calling.webhooks.redeliver(ROOT, dead.id)
    deliver_all(calling, db)
    assert len(receiver.heard) == 11


@pytest.mark.parametrize(("said", "least", "most"), [("100", 99, 101), ("3", 8, 12), ("999999999", 86_000, 86_401)])
def test_retry_after_is_honoured(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, said: str, least: int, most: int
) -> None:
    receiver.replies = [(429, {"Retry-After": said})]
    ask(calling, actor, callback_url=receiver.url)
    deliver_all(calling, db)
    assert least <= seconds_until_next(db) <= most


def test_a_receiver_that_is_gone_is_left_alone(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url)
    receiver.replies = [(410, {})]
    ask(calling, actor)
    deliver_all(calling, db)
    assert (only(db)["status"], only(db)["last_error"]) == ("dead", "gone")
    disabled = calling.webhooks.get(actor, endpoint.id)
    assert (disabled.enabled, disabled.disabled_reason) == (False, "gone")
    ask(calling, actor)
    assert db.deliveries.count_documents({}) == 1

    enabled = calling.webhooks.update(actor, endpoint.id, {"enabled": True})
    assert (enabled.enabled, enabled.disabled_reason) == (True, None)
    ask(calling, actor)
    deliver_all(calling, db)
    assert len(receiver.heard) == 2


@pytest.mark.parametrize("end", ["deleted", "disabled"])
def test_what_is_due_for_an_endpoint_that_ended_is_dead(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, end: str
) -> None:
    endpoint = register(calling, actor, receiver.url)
    ask(calling, actor)
    if end == "deleted":
        calling.webhooks.delete(actor, endpoint.id)
    else:
        calling.webhooks.update(actor, endpoint.id, {"enabled": False})
    deliver_all(calling, db)
    assert only(db)["status"] == "dead"
    assert not receiver.heard


def test_an_address_that_may_not_be_called_is_never_called(
    container: Container, calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    """As if it had been accepted under other settings, or its name had moved."""
    register(calling, actor, receiver.url)
    ask(calling, actor)
    deliver_all(container, db)
    assert (only(db)["status"], only(db)["last_error"]) == ("pending", "unsafe_address")
    assert not receiver.heard


def test_a_dispatcher_that_dies_loses_nothing(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url)
    ask(calling, actor)
    deliveries = calling.deliver._deliveries
    claimed = deliveries.claim(endpoint.id, 30)
    assert claimed is not None
    assert deliveries.claim(endpoint.id, 30) is None
    calling.deliver(endpoint.id)
    assert not receiver.heard
    db.deliveries.update_one({}, {"$set": {"lease_until": datetime.now(UTC) - timedelta(seconds=1)}})

    calling.upkeep()
    calling.deliver(endpoint.id)

    assert receiver.ids() == [claimed.id]
    before = only(db)
    assert not deliveries.finish(claimed, DeliveryStatus.DEAD, None, "late")
    assert not deliveries.postpone(claimed, 0, None, "late")
    assert not deliveries.progress(claimed, 1, 30)
    assert only(db) == before, "an earlier claim changes nothing any more"


def test_upkeep_rings_for_what_is_due(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    endpoint = register(calling, actor, receiver.url)
    for _ in range(3):
        ask(calling, actor)
    rung: list[str] = []
    calling.upkeep._delivery_bell = Rings(rung)
    calling.upkeep.deliver_again()
    assert rung == [endpoint.id]
    calling.deliver(endpoint.id)
    calling.upkeep.deliver_again()
    assert rung == [endpoint.id]


class Rings:
    def __init__(self, rung: list[str]) -> None:
        self._rung = rung

    def ring(self, destinations: list[str]) -> None:
        self._rung.extend(destinations)

    def waiting(self) -> int:
        return 0


def test_a_receiver_that_hangs_delays_nobody_elses(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    with receiving() as hanging:
        hanging.going.clear()
        bad, good = register(calling, actor, hanging.url), register(calling, actor, receiver.url)
        for _ in range(2 * SLOTS):
            ask(calling, actor)
        runners = [threading.Thread(target=calling.deliver, args=(bad.id,)) for _ in range(3 * SLOTS)]
        for runner in runners:
            runner.start()
        until(lambda: len(hanging.heard) == SLOTS)
        started = time.monotonic()
        assert calling.deliver(good.id) == 2 * SLOTS
        assert time.monotonic() - started < 1.5
        assert len(receiver.heard) == 2 * SLOTS
        assert sum(runner.is_alive() for runner in runners) == SLOTS, "those who found no slot went away"
        assert len(hanging.heard) == SLOTS
        hanging.going.set()
        for runner in runners:
            runner.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_slots_are_limited_and_given_back(calling: Container, db: Database) -> None:
    deliveries = calling.deliver._deliveries
    names = [f"holder-{number}" for number in range(10)]
    taken = at_once([lambda name=name: deliveries.take_slot("d", name, 3, 30) for name in names])
    assert taken.count(True) == 3
    mine = names[taken.index(True)]
    assert deliveries.take_slot("d", mine, 3, 30), "one's own is kept"
    assert not deliveries.take_slot("d", "late", 3, 30)
    deliveries.leave_slot("d", mine)
    assert deliveries.take_slot("d", "late", 3, 0)
    time.sleep(0.02)
    assert deliveries.take_slot("d", "later", 3, 30), "a lease that is over is free"
    assert deliveries.take_slot("other", "late", 1, 30)


class Broken:
    """A sender with a defect."""

    def send(self, request: WebhookRequest) -> WebhookReply:
        raise RuntimeError("a defect")


def test_a_defect_counts_as_a_failed_try(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    register(calling, actor, receiver.url)
    ask(calling, actor)
    calling.deliver._sender = Broken()
    deliver_all(calling, db)
    assert (only(db)["status"], only(db)["tries"], only(db)["last_error"]) == ("pending", 1, "internal_error")


def test_two_dispatchers_at_once_send_once(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    endpoint = register(calling, actor, receiver.url)
    for _ in range(10):
        ask(calling, actor)
    at_once([lambda: calling.deliver(endpoint.id)] * 4)
    assert len(receiver.heard) == len(set(receiver.ids())) == 10


def test_urls_and_secrets_are_not_logged(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    url = receiver.url + "/very-secret-path"
    endpoint = register(calling, actor, url)
    receiver.replies = [(500, {}), (410, {})]
    ask(calling, actor, callback_url=url)
    for _ in range(3):
        deliver_all(calling, db)
        hurry(db)
    printed = "".join(capsys.readouterr())
    assert "delivery" in printed
    assert "very-secret-path" not in printed
    assert endpoint.secret not in printed
