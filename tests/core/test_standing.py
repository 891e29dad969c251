"""What the exporter tells of the database and the broker."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry
from pymongo.database import Database

from devstack.servers import RedisServer
from devstack.upstream_control import UpstreamControl
from service.adapters.ledger_watch import LedgerWatch
from service.adapters.mongo.ledger_audit import MongoLedgerAudit, Place
from service.adapters.mongo.reports import MongoFigures
from service.adapters.mongo.standing import MongoStanding
from service.adapters.redis.breaker import RedisBreaker
from service.adapters.redis.client import BestEffort, connect
from service.adapters.standing_metrics import LedgerMetrics, StandingCollector
from service.bootstrap import Container
from tests.core.support import NewActor, ask, at_once, submit

NOWHERE = "redis://127.0.0.1:1/0"


def collector(redis_url: str) -> StandingCollector:
    return StandingCollector(standing=MongoStanding(), figures=MongoFigures(), redis=connect(redis_url))


def values(found: StandingCollector | LedgerMetrics) -> dict[str, float]:
    """Every sample, as `name` or `name{label}`."""
    registry = CollectorRegistry()
    registry.register(found)
    return {
        f"{sample.name}{{{','.join(sample.labels.values())}}}" if sample.labels else sample.name: sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }


def test_an_empty_installation_has_zeros(db: Database, redis: RedisServer) -> None:
    found = values(collector(redis.uri))
    zeros = (
        "chat_jobs_open{queued}",
        "chat_jobs_oldest_seconds{queued}",
        "webhooks_waiting",
        "webhooks_overdue_seconds",
    )
    zeros += ("queue_messages{chat}", "queue_unacked", "upstream_refusing", "payments_open{pending}")
    assert {name: found[name] for name in zeros} == dict.fromkeys(zeros, 0)
    assert (found["exporter_source_up{mongodb}"], found["exporter_source_up{redis}"]) == (1, 1)
    assert "active_users" not in found, "not measured yet"


def test_jobs_that_wait_are_counted_and_the_oldest_has_an_age(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    actor = new_actor()
    job, _ = submit(container, actor), submit(container, actor)
    db.jobs.update_one({"_id": job.id}, {"$set": {"created_at": datetime.now(UTC) - timedelta(seconds=60)}})
    found = values(collector(redis.uri))
    assert found["chat_jobs_open{queued}"] == 2
    assert found["chat_jobs_open{running}"] == 0
    assert 60 <= found["chat_jobs_oldest_seconds{queued}"] < 90
    assert found["queue_messages{chat}"] == 2, "a ring for each"


def test_webhooks_are_overdue_since_they_were_due(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, redis: RedisServer
) -> None:
    upstream.rule(answer="pong")
    actor, now = new_actor(), datetime.now(UTC)
    for _ in range(3):
        ask(container, actor, callback_url="https://example.com/")
    fresh = values(collector(redis.uri))
    assert fresh["webhooks_waiting"] == 3
    assert fresh["webhooks_overdue_seconds"] < 30, "the first try is due now, whatever its row says"
    first, second, _ = [row["_id"] for row in db.deliveries.find()]
    late = {"created_at": now - timedelta(hours=3), "next_at": now - timedelta(seconds=100)}
    db.deliveries.update_one({"_id": first}, {"$set": late})
    db.deliveries.update_one({"_id": second}, {"$set": {**late, "next_at": now + timedelta(hours=1)}})
    assert 100 <= values(collector(redis.uri))["webhooks_overdue_seconds"] < 130


def test_figures_upkeep_and_the_breaker(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    for tokens in (100, 300, 800):
        new_actor(tokens)
    db.accounts.update_one({}, {"$set": {"last_seen_at": datetime.now(UTC)}})
    assert container.figures()
    container.upkeep()
    RedisBreaker(connect(redis.uri), BestEffort()).open("insufficient_quota")
    found = values(collector(redis.uri))
    assert (found["wallet_balance_mean"], found["wallet_balance_median"]) == (400, 300)
    assert found["active_users"] == 1
    assert found["figures_measured_timestamp_seconds"] > 0
    assert (found["upkeep_idle_seconds"], found["upstream_refusing"]) == (0, 1)
    db.leases.update_one({"_id": "upkeep"}, {"$set": {"until": datetime.now(UTC) - timedelta(seconds=50)}})
    assert 50 <= values(collector(redis.uri))["upkeep_idle_seconds"] < 80


def test_a_source_that_is_away_leaves_its_metrics_out(db: Database) -> None:
    found = values(collector(NOWHERE))
    assert (found["exporter_source_up{mongodb}"], found["exporter_source_up{redis}"]) == (1, 0)
    assert "chat_jobs_open{queued}" in found
    assert not [name for name in found if name.startswith(("queue_", "upstream_"))]


def walk(watch: LedgerWatch) -> None:
    place: Place | None = Place()
    while place is not None:
        place = watch.step(place)


def test_wallets_that_are_their_ledgers_have_no_drift(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    for _ in range(3):
        ask(container, new_actor())
    ask(container, new_actor(), assistant="coach")
    metrics = LedgerMetrics()
    walk(LedgerWatch(MongoLedgerAudit(), metrics))
    found = values(metrics)
    assert (found["ledger_drift"], found["ledger_wallets_wrong"]) == (0, 0)
    assert found["ledger_wallets_checked_total"] == db.wallets.count_documents({}) + db.credits.count_documents({})
    assert found["ledger_check_timestamp_seconds"] > 0


@pytest.mark.parametrize(
    ("change", "drift"), [({"available": 7}, 7), ({"held": -2}, 2), ({"available": 5, "held": -5}, 10), ({"seq": 1}, 0)]
)
def test_a_wallet_that_is_not_its_ledger_is_found_until_it_is_put_right(
    container: Container, db: Database, new_actor: NewActor, change: dict[str, int], drift: int
) -> None:
    actor, other = new_actor(), new_actor()
    db.wallets.update_one({"_id": actor.account_id}, {"$inc": change})
    metrics = LedgerMetrics()
    watch = LedgerWatch(MongoLedgerAudit(), metrics)
    walk(watch)
    found = values(metrics)
    assert (found["ledger_drift"], found["ledger_wallets_wrong"]) == (drift, 1)
    db.wallets.update_one({"_id": actor.account_id}, {"$inc": {name: -by for name, by in change.items()}})
    walk(watch)
    assert values(metrics)["ledger_wallets_wrong"] == 0
    db.ledger.delete_one({"account_id": other.account_id})
    walk(watch)
    assert values(metrics)["ledger_wallets_wrong"] == 1, "an entry is missing"


def test_a_walk_goes_through_wallets_of_both_kinds_in_batches(db: Database) -> None:
    wallets = [{"_id": f"w{n:03}", "available": 0, "held": 0, "seq": 0} for n in range(5)]
    db.wallets.insert_many(wallets)
    db.credits.insert_many([{**wallet, "_id": f"{wallet['_id']}:credits"} for wallet in wallets])
    seen, place = [], Place()
    while place is not None:
        checked, place = MongoLedgerAudit().check(place, 2)
        seen += [wallet.wallet_id for wallet in checked if wallet.right]
    assert seen == [f"w{n:03}" for n in range(5)] + [f"w{n:03}:credits" for n in range(5)]


def test_money_that_moves_meanwhile_is_no_drift(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    actors, ended = [new_actor() for _ in range(4)], threading.Event()
    metrics = LedgerMetrics()
    watch, rounds = LedgerWatch(MongoLedgerAudit(), metrics), []

    def look() -> None:
        while not ended.is_set():
            walk(watch)
            rounds.append(values(metrics)["ledger_wallets_wrong"])

    looking = threading.Thread(target=look)
    looking.start()
    try:
        at_once([lambda a=actor: [ask(container, a) for _ in range(5)] for actor in actors])
    finally:
        ended.set()
        looking.join()
    assert len(rounds) > 1
    assert set(rounds) == {0}
    assert db.ledger.count_documents({}) > 40
