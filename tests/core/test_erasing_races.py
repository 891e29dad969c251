"""Deleting a session while questions come, answers are written and processes die: all of it goes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.chat import ChatMessage
from service.domain.dialogs import Dialog
from service.domain.jobs import Job, JobStatus
from tests.core.checker import check_money
from tests.core.erasing import NEW, SECRET, erased, everything, long_ago
from tests.core.support import NewActor, ask, at_once, kinds, submit, wallet


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
