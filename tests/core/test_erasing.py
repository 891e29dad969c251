"""Deleting a session: gone at once, erased piece by piece, and nothing of it comes back."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pymongo.database import Database
from redis import Redis

from devstack.servers import RedisServer
from devstack.upstream_control import UpstreamControl
from service.adapters.mongo import erasures
from service.adapters.mongo.dialogs import chat_row, session_row
from service.adapters.redis.streams import stream_key
from service.bootstrap import Container
from service.domain.chat import ChatMessage
from service.domain.dialogs import Dialog, default_session_id, new_dialog
from service.domain.erasures import Erasure
from service.domain.errors import Forbidden, NotFound, ValidationFailed
from service.domain.jobs import Job, JobStatus
from service.usecases import erase
from service.usecases.places import NewSession
from tests.core.checker import check_money
from tests.core.support import (
    ROOT,
    NewActor,
    ask,
    at_once,
    kinds,
    lose_worker,
    new_key,
    program_of,
    submit,
    wallet,
)

NEW = NewSession()
SECRET = "tamarisk"


def erased(container: Container, db: Database) -> None:
    """Upkeep comes by, and what is due later is due now."""
    db.erasures.update_many({}, {"$set": {"next_at": datetime.now(UTC) - timedelta(minutes=1)}})
    container.erase()


def long_ago(db: Database) -> None:
    """Whatever came late has come."""
    earlier = datetime.now(UTC) - timedelta(minutes=10)
    db.erasures.update_many({}, {"$set": {"created_at": earlier, "next_at": earlier}})


def everything(db: Database, *but: str) -> str:
    """All that is stored, but these collections."""
    names = [name for name in db.list_collection_names() if name not in but]
    return "\n".join(str(row) for name in names for row in db[name].find())


def test_a_deleted_session_is_gone_and_nothing_of_it_is_left_but_what_it_cost(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, redis: RedisServer
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(contains=SECRET, answer=f"the answer has {SECRET} too")
    kept = ask(container, actor, "another one", place=NEW)
    job = ask(container, actor, SECRET, place=NewSession(title=SECRET), metadata={"a": SECRET}, stream=True)
    ask(container, actor, SECRET, chat_id=job.chat_id)
    extra = container.dialogs.add_chat(actor, job.session_id or "", SECRET)
    ask(container, actor, SECRET, chat_id=extra.id)
    before = wallet(container, actor)
    assert SECRET in everything(db)

    container.erase.session(actor, job.session_id or "")

    assert SECRET not in everything(db)
    with Redis.from_url(redis.uri) as client:
        assert SECRET.encode() not in b"".join(str(client.xrange(key)).encode() for key in client.keys("*answer*"))
        assert client.exists(stream_key(job.id))
    with pytest.raises(NotFound):
        container.dialogs.session(actor, job.session_id or "")
    with pytest.raises(NotFound):
        submit(container, actor, chat_id=job.chat_id)
    read = container.jobs.get(actor, job.id)
    assert (read.status, read.charged, read.answer, read.prompt) == (JobStatus.SUCCEEDED, job.charged, None, ())
    assert read.erased_at is not None
    assert wallet(container, actor) == before
    assert container.jobs.get(actor, kept.id) == kept
    assert len(container.dialogs.messages(actor, kept.chat_id or "", None, 10).items) == 2
    check_money(db)
    long_ago(db)
    container.upkeep()
    assert db.erasures.count_documents({}) == 0


def test_branches_go_with_their_session(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    job = ask(container, actor, place=NEW)
    db.branches.insert_one({"_id": "b", "chat_id": job.chat_id, "session_id": job.session_id, "path": []})
    container.erase.session(actor, job.session_id or "")
    assert db.branches.count_documents({}) == 0


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


def test_open_questions_end_and_leave_nothing(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    dialog = container.dialogs.create(actor, None, "api", NEW)
    running = submit(container, actor, SECRET, chat_id=dialog.chat.id)
    assert container.run._jobs.claim(running.id, "a worker", 30) is not None
    extra = container.dialogs.add_chat(actor, dialog.session.id, "")
    queued = submit(container, actor, SECRET, chat_id=extra.id)

    container.erase.session(actor, dialog.session.id)

    ended = container.jobs.get(actor, queued.id)
    assert (ended.status, ended.erased_at is not None) == (JobStatus.CANCELLED, True)
    stopping = container.jobs.get(actor, running.id)
    assert (stopping.status, stopping.cancel_requested) == (JobStatus.RUNNING, True)
    long_ago(db)
    container.upkeep()
    assert db.erasures.count_documents({}) == 1, "something is left"
    db.jobs.update_one({"_id": running.id}, {"$set": {"lease_until": datetime.now(UTC) - timedelta(minutes=1)}})
    container.upkeep.recover_expired()
    assert container.jobs.get(actor, running.id).status is JobStatus.CANCELLED
    long_ago(db)
    container.upkeep()
    assert SECRET not in everything(db)
    assert db.erasures.count_documents({}) == 0
    assert wallet(container, actor) == (1_000_000, 0)
    check_money(db)


def test_an_answer_that_comes_after_the_deletion_is_written_nowhere(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    upstream.rule(contains="slow", hold="gate", answer=SECRET)
    session_id = container.dialogs.create(actor, None, "api", NEW).session.id
    job = submit(container, actor, "slow", session_id=session_id)
    calls: list[Callable[[], Any]] = [lambda: container.run(job.id), lambda: delete_under_way()]

    def delete_under_way() -> None:
        upstream.wait_for_calls(1, contains="slow")
        container.erase.session(actor, session_id)
        db.jobs.update_one({"_id": job.id}, {"$set": {"cancel_requested": False}})
        upstream.release("gate")

    at_once(calls)

    assert container.jobs.get(actor, job.id).status.is_final
    erased(container, db)
    assert SECRET not in everything(db)
    assert db.messages.count_documents({}) == 0
    check_money(db)


def test_a_question_that_was_being_accepted_is_found_later(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    """Of the default dialog, which keeps nobody out: drafted before the deletion and stored after it."""
    actor = new_actor(1_000_000)
    first = ask(container, actor)
    container.erase.session(actor, first.session_id or "")
    late = replace(first, id="late", status=JobStatus.QUEUED, prompt=first.prompt[:1], attempt=0, answer=None)
    question = ChatMessage("user", SECRET)
    late = replace(late, prompt=(question,), usage=None, charged=0, finished_at=None, started_at=None)
    container.jobs._money.reserve(late, None)
    db.erasures.update_many({}, {"$set": {"next_at": datetime.now(UTC) - timedelta(minutes=1)}})
    container.upkeep()
    assert container.jobs.get(actor, "late").status is JobStatus.CANCELLED
    assert SECRET not in everything(db)
    check_money(db)


def test_a_deleted_default_dialog_begins_anew(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    old = [ask(container, actor, SECRET) for _ in range(2)]
    assert old[0].session_id == default_session_id(actor.account_id)
    for _ in range(3):
        container.erase.session(actor, old[0].session_id or "")
        old = [ask(container, actor, "hello") for _ in range(2)]
        assert old[0].session_id == old[1].session_id
        assert [message.content for message in old[0].prompt[1:]] == ["hello"]
        assert len(old[1].prompt) == 4
        erased(container, db)
        assert len(container.dialogs.messages(actor, old[0].chat_id or "", None, 10).items) == 4
        assert container.contexts.get(actor, None) == old[1].context(20)
    assert SECRET not in everything(db)
    check_money(db)


def test_a_linked_end_users_dialog_begins_anew_too(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    anna, bot = new_actor(1_000_000), program_of(new_key(container, new_actor()))
    container.links.confirm(bot, "4242", container.links.issue(anna).code)
    first = ask(container, bot, SECRET, user_id="4242")
    own = ask(container, anna, "mine")
    container.erase.session(bot, first.session_id or "")
    second = ask(container, bot, "hello", user_id="4242")
    assert second.session_id not in (first.session_id, own.session_id)
    assert second.account_id == anna.account_id
    erased(container, db)
    assert SECRET not in everything(db)
    assert [message.content for message in second.prompt[1:]] == ["hello"]
    with pytest.raises(Forbidden):
        container.erase.session(bot, own.session_id or "")
    check_money(db)


def test_deleting_at_the_same_time_is_done_once(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, processes: list[Container]
) -> None:
    actor = new_actor()
    job = ask(container, actor)
    calls = [partial(process.erase.session, actor, job.session_id or "") for process in processes]
    assert kinds(at_once(calls)) == {"NoneType": 1, "NotFound": 3}
    assert db.erasures.count_documents({}) == 1
    check_money(db)


def test_deleting_while_questions_come_and_are_answered(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, processes: list[Container]
) -> None:
    actor = new_actor(1_000_000)
    first = ask(container, actor, SECRET)

    def talk(process: Container) -> list[Job]:
        return [ask(process, actor, SECRET) for _ in range(6)]

    def delete(process: Container) -> None:
        process.erase.session(actor, first.session_id or "")

    results = at_once([partial(talk, process) for process in processes] + [partial(delete, container)])

    assert [result for result in results if isinstance(result, Exception)] == []
    for _ in range(3):
        db.erasures.update_many({}, {"$set": {"next_at": datetime.now(UTC) - timedelta(minutes=1)}})
        container.upkeep()
    long_ago(db)
    container.upkeep()
    assert db.erasures.count_documents({}) == 0
    assert db.jobs.count_documents({"session_id": first.session_id, "erased_at": None}) == 0
    assert db.messages.count_documents({"session_id": first.session_id}) == 0
    check_money(db)


def test_an_erased_job_is_not_retried_and_told_of_to_nobody(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(contains="bad", status=400)
    job = ask(container, actor, "bad", place=NEW, callback_url="https://example.com/hook")
    assert job.status is JobStatus.FAILED
    container.erase.session(actor, job.session_id or "")

    with pytest.raises(ValidationFailed) as refused:
        container.admin.retry_job(ROOT, job.id)

    assert refused.value.details == {"jobId": ["job_erased"]}
    (delivery,) = db.deliveries.find()
    container.deliver(delivery["destination"])
    (delivery,) = db.deliveries.find()
    assert (delivery["status"], delivery["last_error"]) == ("dead", "job_erased")


def test_without_redis_streamed_answers_are_erased_when_it_is_back(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = new_actor()
    job = ask(container, actor, SECRET, place=NEW, stream=True)
    with monkeypatch.context() as away:
        away.setattr(container.erase._writer, "_best_effort", lambda call, default: default)
        container.erase.session(actor, job.session_id or "")
    long_ago(db)
    assert container.jobs.get(actor, job.id).erased_at is None
    assert db.erasures.count_documents({}) == 1
    container.upkeep()
    assert container.jobs.get(actor, job.id).erased_at is not None
    check_money(db)


@pytest.mark.parametrize("step", ["remove_dialogs", "remove_messages", "remove_session", "final_jobs", "erase_jobs"])
def test_what_a_dying_process_leaves_is_finished_by_upkeep(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    class Died(BaseException):
        pass

    def die(*_arguments: object) -> None:
        raise Died

    actor = new_actor()
    job = ask(container, actor, SECRET, place=NEW, stream=True)
    with monkeypatch.context() as dying:
        dying.setattr(container.erase._erasures, step, die)
        with pytest.raises(Died):
            container.erase.session(actor, job.session_id or "")
        with pytest.raises(Died):
            container.erase()
    long_ago(db)
    container.erase()
    assert SECRET not in everything(db)
    assert db.erasures.count_documents({}) == 0
    check_money(db)


def test_nobody_deletes_what_is_not_theirs(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    anna, stranger = new_actor(), new_actor()
    job = ask(container, anna)
    for who in (stranger, program_of(new_key(container, stranger))):
        with pytest.raises(Forbidden):
            container.erase.session(who, job.session_id or "")
    for nothing in ("x", "", "$where", "nul\x00inside"):
        with pytest.raises(NotFound):
            container.erase.session(anna, nothing)
    container.erase.session(ROOT, job.session_id or "")
    assert db.audit.count_documents({"action": "session.delete", "subject_id": anna.account_id}) == 1


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


def test_what_a_late_first_question_opened_once_more_is_removed(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    """Two first questions at once: the dialog is deleted between the one's end and the other's acceptance."""
    actor = new_actor(1_000_000)
    first = ask(container, actor)
    dialog = Dialog(
        container.dialogs.session(actor, first.session_id or ""), container.dialogs.chat(actor, first.chat_id or "")
    )
    container.erase.session(actor, first.session_id or "")
    container.dialogs._dialogs.create(dialog)
    erased(container, db)
    assert (db.sessions.count_documents({}), db.chats.count_documents({})) == (0, 0)
    container.dialogs._dialogs.create(dialog)
    container.erase.session(actor, first.session_id or "")
    assert (db.sessions.count_documents({}), db.erasures.count_documents({})) == (0, 1)
    assert ask(container, actor, "hello").session_id != first.session_id
    check_money(db)
