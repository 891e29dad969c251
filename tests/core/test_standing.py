"""What the exporter tells of the database and the broker."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from pymongo.database import Database
from pymongo.errors import AutoReconnect

from devstack.servers import MongoServer, RedisServer
from devstack.upstream_control import UpstreamControl
from service.adapters import ledger_watch
from service.adapters.ledger_watch import LedgerWatch
from service.adapters.mongo.ledger_audit import MOST_TOGETHER, Checked, MongoLedgerAudit, Place
from service.adapters.mongo.reports import MongoFigures
from service.adapters.mongo.standing import MongoStanding
from service.adapters.redis.breaker import RedisBreaker
from service.adapters.redis.client import BestEffort, connect
from service.adapters.standing_metrics import LedgerMetrics, StandingCollector
from service.bootstrap import Container, Watching, watching
from service.domain.accounts import Actor
from service.domain.billing import LOSS_ACCOUNT_ID, Unit
from service.domain.payments import PaymentStatus
from tests.core.queries import RECORDER
from tests.core.support import NewActor, ask, at_once, submit

NOWHERE = "redis://127.0.0.1:1/0"


def collector(redis_url: str) -> StandingCollector:
    return StandingCollector(
        standing=MongoStanding(), figures=MongoFigures(), redis=connect(redis_url), queue_limit=1000
    )


def values(found: Collector) -> dict[str, float]:
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
    zeros += ("payments_overdue_seconds", "payments_oldest_refund_seconds", "operator_loss_tokens_total")
    zeros += ("erasures_open", "erasures_oldest_seconds")
    assert {name: found[name] for name in zeros} == dict.fromkeys(zeros, 0)
    assert (found["exporter_source_up{mongodb}"], found["exporter_source_up{redis}"]) == (1, 1)
    assert found["queue_limit_messages"] == 1000
    assert "active_users" not in found, "not measured yet"
    assert "upkeep_idle_seconds" not in found, "nobody did it yet"


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


def test_deletions_that_are_not_done_have_an_age_however_often_they_were_tried(
    container: Container, db: Database, new_actor: NewActor, redis: RedisServer
) -> None:
    stuck, fresh = new_actor().account_id, new_actor().account_id
    for account_id in (stuck, fresh):
        container.erase.account(account_id)
    now = datetime.now(UTC)
    tried = {"created_at": now - timedelta(hours=2), "next_at": now + timedelta(seconds=5)}
    assert db.erasures.update_one({"subject_id": stuck}, {"$set": tried}).modified_count == 1
    found = values(collector(redis.uri))
    assert found["erasures_open"] == 2
    assert 7200 <= found["erasures_oldest_seconds"] < 7260


def test_payments_are_overdue_since_nobody_asked_and_refunds_since_they_were_requested(
    db: Database, redis: RedisServer
) -> None:
    now = datetime.now(UTC)
    ages = [(PaymentStatus.PENDING, -60, None), (PaymentStatus.PENDING, 300, None), (PaymentStatus.CANCELLED, 40, None)]
    ages += [(PaymentStatus.REFUNDING, 20, 5000), (PaymentStatus.REFUNDED, None, 9000)]
    for number, (status, overdue, refund) in enumerate(ages):
        row: dict[str, Any] = {"_id": str(number), "status": status.value, "created_at": now - timedelta(days=9)}
        if overdue is not None:
            row["next_check_at"] = now - timedelta(seconds=overdue)
        if refund is not None:
            row["refund"] = {"requested_at": now - timedelta(seconds=refund)}
        db.payments.insert_one(row)
    found = values(collector(redis.uri))
    assert 300 <= found["payments_overdue_seconds"] < 330
    assert 5000 <= found["payments_oldest_refund_seconds"] < 5030
    assert (found["payments_open{pending}"], found["payments_open{refunding}"]) == (2, 1)


def test_what_nobody_paid_for_is_counted(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, redis: RedisServer
) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 10, "completion_tokens": 90_000, "total_tokens": 90_010})
    job = ask(container, new_actor())
    lost = values(collector(redis.uri))["operator_loss_tokens_total"]
    assert lost == db.wallets.find_one({"_id": LOSS_ACCOUNT_ID})["available"] > 0
    assert job.charged > 0


def test_a_database_that_hangs_counts_as_away_before_prometheus_gives_up(
    db: Database, mongo: MongoServer, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MONGODB_SECONDS", 0.3)
    looking = Watching((collector(redis.uri),), LedgerWatch(MongoLedgerAudit(), LedgerMetrics()))
    values(looking)
    mongo.pause()
    try:
        began = time.monotonic()
        found = values(looking)
        took = time.monotonic() - began
    finally:
        mongo.resume()
    assert (found["exporter_source_up{mongodb}"], found["exporter_source_up{redis}"]) == (0, 1)
    assert "chat_jobs_open{queued}" not in found
    assert took < 3, "less than what any one question may take"


def test_a_source_that_is_away_leaves_its_metrics_out(db: Database) -> None:
    found = values(collector(NOWHERE))
    assert (found["exporter_source_up{mongodb}"], found["exporter_source_up{redis}"]) == (1, 0)
    assert "chat_jobs_open{queued}" in found
    assert not [name for name in found if name.startswith(("queue_messages", "queue_unacked", "upstream_"))]


def wrong(metrics: LedgerMetrics) -> tuple[float, float]:
    """How many wallets of tokens, and of credits, are wrong."""
    found = values(metrics)
    return found["ledger_wallets_wrong{tokens}"], found["ledger_wallets_wrong{credits}"]


def waited_for(condition: Callable[[], bool], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


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
    for unit, kind in ((Unit.TOKENS, db.wallets), (Unit.CREDITS, db.credits)):
        assert found[f"ledger_drift{{{unit}}}"] == found[f"ledger_wallets_wrong{{{unit}}}"] == 0
        count = kind.count_documents({})
        assert found[f"ledger_wallets_checked_total{{{unit}}}"] == found[f"ledger_wallets{{{unit}}}"] == count > 1
    assert found["ledger_check_timestamp_seconds"] >= found["ledger_watch_started_timestamp_seconds"] > 0


def test_a_walk_that_was_never_whole_says_when_it_began(db: Database) -> None:
    found = values(LedgerMetrics())
    assert time.time() - 60 < found["ledger_watch_started_timestamp_seconds"] <= time.time()
    assert "ledger_check_timestamp_seconds" not in found


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
    assert (values(metrics)["ledger_drift{tokens}"], wrong(metrics)) == (drift, (1, 0))
    db.wallets.update_one({"_id": actor.account_id}, {"$inc": {name: -by for name, by in change.items()}})
    walk(watch)
    assert wrong(metrics) == (0, 0)
    db.ledger.delete_one({"account_id": other.account_id})
    walk(watch)
    assert wrong(metrics) == (1, 0), "an entry is missing"


def test_credits_are_compared_with_ledgers_of_their_own(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    upstream.rule(answer="pong")
    actor = new_actor()
    ask(container, actor, assistant="coach")
    db.credits.update_one({"_id": f"{actor.account_id}:extra"}, {"$inc": {"available": 3}})
    metrics = LedgerMetrics()
    walk(LedgerWatch(MongoLedgerAudit(), metrics))
    assert (values(metrics)["ledger_drift{credits}"], wrong(metrics)) == (3, (0, 1))


@pytest.mark.parametrize("change", [{"$unset": {"held": ""}}, {"$set": {"available": "100"}}, {"$unset": {"seq": ""}}])
def test_a_wallet_that_is_none_any_more_is_wrong_and_stops_nothing(
    db: Database, new_actor: NewActor, change: dict[str, Any]
) -> None:
    broken, other = sorted(new_actor().account_id for _ in range(2))
    db.wallets.update_one({"_id": broken}, change)
    db.wallets.update_one({"_id": other}, {"$inc": {"available": 1}})
    metrics = LedgerMetrics()
    walk(LedgerWatch(MongoLedgerAudit(), metrics))
    assert wrong(metrics) == (2, 0)


def test_a_wrong_wallet_that_is_gone_ends_the_alarm_with_the_next_walk(db: Database, new_actor: NewActor) -> None:
    actor, metrics = new_actor(), LedgerMetrics()
    watch = LedgerWatch(MongoLedgerAudit(), metrics)
    db.wallets.update_one({"_id": actor.account_id}, {"$inc": {"available": 1}})
    walk(watch)
    assert wrong(metrics) == (1, 0)
    db.wallets.delete_one({"_id": actor.account_id})
    walk(watch)
    assert wrong(metrics) == (0, 0)


def test_a_long_ledger_is_summed_piece_by_piece(db: Database) -> None:
    entries = MOST_TOGETHER + 5
    db.wallets.insert_one({"_id": "busy", "available": 2 * entries, "held": -entries, "seq": entries})
    deltas = {"account_id": "busy", "available_delta": 2, "held_delta": -1}
    db.ledger.insert_many([{"_id": f"busy:{seq}", "seq": seq, **deltas} for seq in range(1, entries + 3)])
    audit = MongoLedgerAudit(piece=400)
    (busy,), _ = audit.check(Place(), 10)
    assert busy.right, "entries beyond its number are of a later moment"
    db.ledger.delete_one({"_id": "busy:801"})
    with RECORDER.sent() as asked:
        (busy,), _ = audit.check(Place(), 10)
    assert (busy.right, busy.whole, busy.drift) == (False, False, 3)
    assert asked.count("aggregate ledger") == 3


def test_a_wallet_that_changes_between_two_looks_is_looked_at_again(db: Database, new_actor: NewActor) -> None:
    """As after a change of the primary, which may not know yet what the last one said."""
    actor = new_actor()

    class Behind(MongoLedgerAudit):
        def _together(self, wallet_ids: Sequence[str]) -> dict[str, Any]:
            found = super()._together(wallet_ids)
            return {} if actor.account_id in found else found

    (wallet,), _ = Behind().check(Place(), 10)
    assert (wallet.wallet_id, wallet.right) == (actor.account_id, True)


def test_a_defect_does_not_end_the_watch(db: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_watch, "OUTAGE_SECONDS", 0)
    failures = [RuntimeError("a defect"), AutoReconnect("an outage")]

    class Failing(MongoLedgerAudit):
        def check(self, place: Place, limit: int) -> tuple[list[Checked], Place | None]:
            if failures:
                raise failures.pop()
            return super().check(place, limit)

    new_actor()
    metrics, ended = LedgerMetrics(), threading.Event()
    watching = threading.Thread(target=LedgerWatch(Failing(), metrics).run, args=(ended,))
    watching.start()
    try:
        assert waited_for(lambda: "ledger_check_timestamp_seconds" in values(metrics))
    finally:
        ended.set()
        watching.join()
    assert wrong(metrics) == (0, 0)


def test_a_batch_of_wallets_takes_two_queries(db: Database, new_actor: NewActor) -> None:
    for _ in range(20):
        new_actor()
    with RECORDER.sent() as asked:
        checked, _ = MongoLedgerAudit().check(Place(), 100)
    assert len([wallet for wallet in checked if wallet.right]) == 20
    assert asked == ["find wallets", "aggregate ledger"]


def test_a_walk_goes_through_wallets_of_both_kinds_in_batches(db: Database) -> None:
    wallets = [{"_id": f"w{n:03}", "available": 0, "held": 0, "seq": 0} for n in range(5)]
    db.wallets.insert_many(wallets)
    db.credits.insert_many([{**wallet, "_id": f"{wallet['_id']}:credits"} for wallet in wallets])
    seen, place = [], Place()
    while place is not None:
        checked, place = MongoLedgerAudit().check(place, 2)
        seen += [wallet.wallet_id for wallet in checked if wallet.right]
    assert seen == [f"w{n:03}" for n in range(5)] + [f"w{n:03}:credits" for n in range(5)]


def ask_both(container: Container, actor: Actor) -> None:
    """What is paid for in tokens, and in credits."""
    ask(container, actor)
    ask(container, actor, assistant="coach")


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
            rounds.append(wrong(metrics))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        at_once([lambda a=actor: [ask_both(container, a) for _ in range(3)] for actor in actors])
    finally:
        ended.set()
        looking.join()
    assert len(rounds) > 1
    assert set(rounds) == {(0, 0)}
    assert db.ledger.count_documents({"account_id": {"$regex": ":credits$"}}) > 20
    assert db.ledger.count_documents({}) > 50
