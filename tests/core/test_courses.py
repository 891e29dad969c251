"""Plans, lessons and welcomes of the learning platform: what is stored, when, and once, whoever dies."""

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain import structured
from service.domain.accounts import Role
from service.domain.errors import NotFound, ValidationFailed
from service.domain.jobs import Applies, JobStatus
from service.usecases.asking import NO_LINE, Line
from service.usecases.branches import Repeat
from service.usecases.classroom import Remark
from service.usecases.courses import LessonWish, PlanWish
from tests.core.checker import check_money
from tests.core.learning import LESSON, PLAN, TERMS, TOKENS, answering, finalize, planned, said_in, settle, titles
from tests.core.support import NewActor, key, lose_worker, plan_of, submit
from tests.core.test_tracks import new_track
from tests.core.test_upstream_requests import bodies


def test_modules_come_with_the_settling_of_the_plan_or_not_at_all(
    container: Container, db: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = new_actor(TOKENS)
    track = new_track(container, actor)
    job = finalize(container, actor, track)
    assert (job.applies, job.chat_id, job.output_format) == (Applies(track_id=track.id), None, "plan")
    assert container.jobs.get(actor, job.id).applies == job.applies

    def power_cut() -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(container.jobs._money._transactions, "_before_commit", power_cut)
        with pytest.raises(ZeroDivisionError):
            settle(container, job, answering(PLAN))
    assert (titles(container, actor, track), container.jobs.get(actor, job.id).status) == ([], JobStatus.QUEUED)
    settled = settle(container, job, answering(PLAN))
    assert settled is not None
    assert settled.result == PLAN
    assert titles(container, actor, track) == ["alpha", "beta"]
    # Another attempt's answer comes too late to change anything.
    assert settle(container, job, answering(plan_of("gamma"))) is None
    assert titles(container, actor, track) == ["alpha", "beta"]
    check_money(db)


def test_a_worker_that_dies_after_settling_has_stored_the_modules(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    """Its client finds them, and a second run changes nothing."""
    upstream.rule(contains=question, answer=structured.dump(PLAN))
    actor = new_actor(TOKENS)
    track = new_track(container, actor, title=question)
    job = finalize(container, actor, track, idempotency=key(actor))
    container.run(job.id)
    before = container.tracks.read(actor, track.id)
    container.run(job.id)
    container.upkeep()
    again = finalize(container, actor, track, idempotency=key(actor))
    assert (again.id, again.status, again.result) == (job.id, JobStatus.SUCCEEDED, PLAN)
    assert container.tracks.read(actor, track.id) == before
    assert len(bodies(upstream, question)) == 1
    check_money(db)


def test_a_worker_that_dies_before_leaves_it_to_the_next(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, answer=structured.dump(PLAN))
    actor = new_actor(TOKENS)
    track = new_track(container, actor, title=question)
    job = finalize(container, actor, track)
    lose_worker(container, db, job)
    assert titles(container, actor, track) == []
    container.upkeep()
    container.run(job.id)
    assert titles(container, actor, track) == ["alpha", "beta"]
    check_money(db)


def test_the_same_plan_again_changes_nothing(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(TOKENS)
    track, module = planned(container, actor)
    container.classroom.begin(actor, module.id, 20)
    container.tracks.complete(actor, module.id)
    before = container.tracks.read(actor, track.id)
    settle(container, finalize(container, actor, track), answering(PLAN))
    container.courses.adopt(actor, None, track.id, {**PLAN, "title": "another name"})
    assert container.tracks.read(actor, track.id) == before
    assert before.track.progress == 50


@pytest.mark.parametrize("what", ["track", "lesson"])
def test_what_is_gone_meanwhile_stays_gone(container: Container, db: Database, new_actor: NewActor, what: str) -> None:
    actor = new_actor(TOKENS)
    track, module = planned(container, actor)
    wish = LessonWish(module_id=module.id, lesson_id=module.lessons[0].id)
    jobs = [finalize(container, actor, track), container.courses.lesson(actor, wish, TERMS)]
    if what == "track":
        container.tracks.delete(actor, track.id)
    else:
        container.courses.adopt(actor, None, track.id, plan_of("gamma"))
    settled = [settle(container, jobs[1], answering(LESSON)), settle(container, jobs[0], answering(PLAN))]
    assert all(job is not None and job.status is JobStatus.SUCCEEDED for job in settled)
    assert db.tracks.count_documents({}) == (0 if what == "track" else 1)
    assert db.modules.count_documents({}) == (0 if what == "track" else 2)
    assert db.modules.count_documents({"lessons.content": {"$exists": True}}) == 0
    check_money(db)


def test_a_lesson_is_stored_in_its_place_and_replaced(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(TOKENS)
    track, module = planned(container, actor)
    wish = LessonWish(module_id=module.id, lesson_id=module.lessons[0].id)
    for summary in ("first", "second"):
        job = container.courses.lesson(actor, wish, TERMS)
        assert job.applies == Applies(track.id, module.id, module.lessons[0].id)
        settle(container, job, answering({**LESSON, "summary": summary}))
        found = container.tracks.module(actor, module.id)[1].lessons[0].content
        assert found == {**LESSON, "summary": summary}
    with pytest.raises(NotFound):
        container.courses.lesson(actor, LessonWish(module_id=module.id, lesson_id="unknown"), TERMS)


def test_a_welcome_is_said_by_nobody_but_the_assistant(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(TOKENS)
    track = new_track(container, actor, title="words about nothing")
    job = container.courses.welcome(actor, track.id, NO_LINE, TERMS)
    settled = settle(container, job, answering({"message": "Hello!", "plan": PLAN}))
    assert settled is not None
    shown = f"Hello!\n\n{structured.outline(PLAN)}"
    assert said_in(container, actor, job.chat_id) == [("assistant", shown)]
    chat = container.dialogs.chat(actor, job.chat_id or "")
    assert [(message.role, message.content) for message in chat.context] == [("assistant", shown)]
    assert (chat.length, chat.message_count, chat.open_job_id) == (1, 1, None)
    session = container.dialogs.session(actor, job.session_id or "")
    assert (session.title, session.message_count, session.track_id) == (track.title, 1, track.id)
    assert [message.role for message in settled.context(20)] == ["assistant"]
    check_money(db)


def test_a_welcome_that_fails_says_nothing_and_the_next_goes_into_the_same_session(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    upstream.rule(contains=question, times=1, refusal="No.")
    actor = new_actor(TOKENS)
    track = new_track(container, actor, title=question)
    jobs = []
    for _ in range(2):
        jobs.append(container.courses.welcome(actor, track.id, NO_LINE, TERMS))
        container.run(jobs[-1].id)
    assert [container.jobs.get(actor, job.id).status for job in jobs] == [JobStatus.FAILED, JobStatus.SUCCEEDED]
    assert jobs[0].session_id == jobs[1].session_id
    assert db.sessions.count_documents({}) == 1
    assert len(said_in(container, actor, jobs[0].chat_id)) == 1
    check_money(db)


def test_guests_ask_within_their_allowance(container: Container, db: Database, new_actor: NewActor) -> None:
    guest = new_actor(TOKENS, role=Role.GUEST)
    track, _ = planned(container, guest)
    job = container.courses.welcome(guest, track.id, NO_LINE, TERMS)
    assert (job.meter, job.hold > 0) == ("tokens", True)
    container.run(job.id)
    assert container.jobs.get(guest, job.id).charged > 0


def test_a_plan_needs_something_to_be_about(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(TOKENS)
    job = submit(container, actor)
    container.run(job.id)
    for wish in (PlanWish(), PlanWish({"difficulty_level": "beginner"}), PlanWish(line=Line(job.chat_id))):
        with pytest.raises(ValidationFailed):
            container.courses.plan(actor, wish, TERMS)
    assert container.courses.plan(actor, PlanWish({"skill_area": "music"}), TERMS).message.content == "music"


def test_a_language_is_kept_whatever_answers(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(TOKENS)
    container.tutor.change(actor, None, {"language": "fr", "model": "gpt-6-sol"})
    track = new_track(container, actor)
    jobs = [
        container.courses.plan(actor, PlanWish(track_id=track.id), TERMS),
        container.courses.lesson(actor, LessonWish({"title": "x"}), TERMS),
        container.courses.welcome(actor, track.id, NO_LINE, TERMS),
        finalize(container, actor, track),
    ]
    for job in jobs:
        assert ("Réponds en français." in job.prompt[0].content, job.model == "gpt-6-sol") == (True, False)
    remark = container.classroom.respond(actor, Remark("hello"), TERMS)
    assert ("Réponds en français." in remark.prompt[0].content, remark.model) == (True, "gpt-6-sol")


def test_there_is_no_other_answer_to_a_greeting(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(TOKENS)
    track = new_track(container, actor)
    for _ in range(2):
        job = container.courses.welcome(actor, track.id, NO_LINE, TERMS)
        container.run(job.id)
        with pytest.raises(ValidationFailed):
            container.branches.regenerate(actor, f"{job.id}:assistant", Repeat("learning"))
