"""Deleting much: long sessions, whole tracks and many at once go piece by piece, and none waits for another."""

from collections import Counter
from datetime import UTC, datetime

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.mongo import erasures
from service.adapters.mongo.dialogs import chat_row, session_row
from service.bootstrap import Container
from service.domain.dialogs import new_dialog
from service.domain.erasures import Erasure
from service.domain.errors import NotFound
from service.usecases import erase
from service.usecases.places import NewSession
from tests.core.checker import check_money
from tests.core.erasing import NEW, SECRET, erased, everything, long_ago
from tests.core.support import NewActor, ask, lose_worker, submit


def test_a_long_session_is_erased_in_bounded_pieces(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(erase, "MESSAGES_BATCH", 3)
    monkeypatch.setattr(erase, "JOBS_BATCH", 2)
    actor = new_actor(1_000_000)
    job = ask(container, actor, place=NEW)
    for _ in range(5):
        ask(container, actor, chat_id=job.chat_id)

    container.erase.session(actor, job.session_id or "")

    assert db.messages.count_documents({}) == 12 - 3
    assert db.jobs.count_documents({"erased_at": None}) == 6 - 2
    container.upkeep()
    assert db.messages.count_documents({}) == 0
    assert db.jobs.count_documents({"erased_at": None}) == 0
    assert db.erasures.count_documents({}) == 1
    check_money(db)


def test_sessions_of_a_track_go_together(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    track = container.tracks.create(actor, None, {"title": "track"})
    for _ in range(3):
        ask(container, actor, place=NewSession(track_id=track.id))
    kept = ask(container, actor, place=NEW)
    container.tracks.delete(actor, track.id)
    assert [row["_id"] for row in db.sessions.find()] == [kept.session_id]
    late = ask(container, actor, place=NewSession(track_id=track.id))
    erased(container, db)
    erased(container, db)
    assert db.jobs.count_documents({"erased_at": None}) == 1
    with pytest.raises(NotFound):
        container.dialogs.session(actor, late.session_id or "")
    long_ago(db)
    container.upkeep()
    assert db.erasures.count_documents({}) == 0
    check_money(db)


def filled(db: Database, account_id: str, track_id: str, sessions: int) -> None:
    """A track has so many sessions."""
    now = datetime.now(UTC)
    dialogs = [new_dialog(f"s{n}", account_id, "api", now, track_id=track_id) for n in range(sessions)]
    db.sessions.insert_many([session_row(each.session) for each in dialogs])
    db.chats.insert_many([chat_row(each.chat) for each in dialogs])


def test_a_track_is_deleted_however_many_sessions_it_has(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    """A transaction lives for three seconds."""
    actor = new_actor()
    track = container.tracks.create(actor, None, {"title": "track"})
    filled(db, actor.account_id, track.id, 1_000)
    container.tracks.delete(actor, track.id)
    assert db.sessions.count_documents({}) == 1_000 - erasures.SESSIONS_AT_ONCE


def test_what_is_too_much_for_a_transaction_is_deleted_in_pieces(
    container: Container, db: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = new_actor()
    for module, limit in ((erasures, "SESSIONS_AT_ONCE"), (erasures, "CHATS_AT_ONCE"), (erase, "DIALOGS_BATCH")):
        monkeypatch.setattr(module, limit, 2)
    track = container.tracks.create(actor, None, {"title": "track"})
    filled(db, actor.account_id, track.id, 7)
    large = container.dialogs.create(actor, None, "api", NEW)
    db.chats.insert_many([{**chat_row(large.chat), "_id": f"c{n}"} for n in range(9)])
    branch = {"chat_id": "c0", "session_id": large.session.id, "path": []}
    db.branches.insert_many([{**branch, "_id": f"b{n}"} for n in range(9)])

    container.tracks.delete(actor, track.id)
    container.erase.session(actor, large.session.id)

    assert (db.sessions.count_documents({}), db.chats.count_documents({})) == (5, 5 + 9 + 1 - 2 - 2)
    with pytest.raises(NotFound):
        container.dialogs.chat(actor, db.chats.find_one({"session_id": large.session.id})["_id"])  # type: ignore[index]
    for _ in range(10):
        container.erase()
    assert (db.sessions.count_documents({}), db.chats.count_documents({}), db.branches.count_documents({})) == (0, 0, 0)
    long_ago(db)
    for _ in range(5):
        container.erase()
    assert db.erasures.count_documents({}) == 0


def test_many_deletions_keep_the_next_one_waiting_for_seconds_only(
    container: Container, db: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is erased already and waits for latecomers is looked at ever less often."""
    anna = new_actor()
    for _ in range(10):
        container.erase.session(anna, container.dialogs.create(anna, None, "api", NEW).session.id)
    looks: Counter[str] = Counter()
    piece = container.erase._piece

    def count(erasure: Erasure) -> bool:
        looks[erasure.id] += 1
        return piece(erasure)

    monkeypatch.setattr(container.erase, "_piece", count)
    for age in range(130):
        # A second passes.
        for field in ("created_at", "next_at"):
            db.erasures.update_many({}, [{"$set": {field: {"$subtract": [f"${field}", 1_000]}}}])
        if not age:
            db.erasures.update_many({}, {"$set": {"next_at": datetime.now(UTC)}})
        container.erase()
    assert db.erasures.count_documents({}) == 0
    assert set(looks.values()) <= {6, 7, 8}, looks


def test_one_that_cannot_be_erased_keeps_no_other(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    broken, sound = (submit(container, new_actor(), place=NEW) for _ in range(2))
    lose_worker(container, db, sound)
    for job in (broken, sound):
        container.erase._erasures.begin(container.dialogs._dialogs.session(job.session_id or ""), "x" + job.id)  # type: ignore[arg-type]
    db.wallets.delete_one({"_id": broken.account_id})
    container.erase()
    assert db.jobs.find_one({"_id": sound.id})["cancel_requested"]  # type: ignore[index]
    assert db.erasures.count_documents({}) == 2


def test_a_deleted_track_takes_its_sessions_along(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    track = container.tracks.create(actor, None, {"title": "course"})
    jobs = [ask(container, actor, SECRET, place=NewSession(track_id=track.id)) for _ in range(2)]
    kept = ask(container, actor, "hello")
    container.tracks.delete(actor, track.id)
    assert [row["_id"] for row in db.sessions.find()] == [kept.session_id]
    with pytest.raises(NotFound):
        submit(container, actor, session_id=jobs[0].session_id)
    erased(container, db)
    assert SECRET not in everything(db)
    check_money(db)
