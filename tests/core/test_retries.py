"""What an operator's retry asks again: the same question, or none, to the same briefing, with the same consequences."""

from dataclasses import fields

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import ValidationFailed
from service.domain.jobs import Job, failed
from service.usecases.asking import NO_LINE, Terms
from service.usecases.branches import Repeat
from service.usecases.classroom import Remark
from service.usecases.courses import LessonWish, PlanWish
from tests.core.checker import check_money
from tests.core.learning import PLAN, TERMS, TOKENS, answering, finalize, planned, said_in, settle
from tests.core.support import ROOT, NewActor, ask, submit
from tests.core.test_tracks import new_track

# What another job of the same question can't have in common with it, and what only its end says.
OF_EACH_JOB = {
    *("id", "request_id", "created_at", "actor_id", "status", "started_at", "finished_at", "attempt", "error_code"),
    *("error_reason", "context_version", "opens", "destinations", "balance_after", "finish_reason"),
}


def fail(container: Container, job: Job) -> Job:
    assert settle(container, job, failed("INTERNAL_ERROR")) is not None
    return container.jobs.get(ROOT, job.id)


def retried(container: Container, job: Job) -> Job:
    again = container.admin.retry_job(ROOT, fail(container, job).id)
    return container.jobs.get(ROOT, again.id)


def differences(job: Job, again: Job) -> dict[str, tuple]:
    names = [field.name for field in fields(Job) if field.name not in OF_EACH_JOB]
    return {name: both for name in names if (both := (getattr(job, name), getattr(again, name)))[0] != both[1]}


def a_welcome(container: Container, actor: Actor) -> Job:
    track = new_track(container, actor, title="Ancient music")
    return container.courses.welcome(actor, track.id, NO_LINE, Terms(metadata={"n": 1}))


def a_remark_in_a_module(container: Container, actor: Actor) -> Job:
    container.tutor.change(actor, None, {"language": "fr", "model": "gpt-6-sol", "temperature": 0.2, "max_tokens": 500})
    _, module = planned(container, actor)
    return container.classroom.say(actor, Remark("hello", module_id=module.id, stream=True), TERMS)


def a_remark_about_a_track(container: Container, actor: Actor) -> Job:
    track = new_track(container, actor, title="Ancient music")
    return container.classroom.respond(actor, Remark("hello", track_id=track.id), TERMS)


def an_edit_in_a_module(container: Container, actor: Actor) -> Job:
    said = a_remark_in_a_module(container, actor)
    container.run(said.id)
    return container.branches.edit(actor, f"{said.id}:user", "hello again", Repeat("learning", {"n": 2}))


def another_answer(container: Container, actor: Actor) -> Job:
    said = ask(container, actor, "hello", assistant="coach")
    return container.branches.regenerate(actor, f"{said.id}:assistant", Repeat("api"))


def an_object(container: Container, actor: Actor) -> Job:
    return submit(container, actor, "a plan", assistant="planner", metadata={"n": 3})


@pytest.mark.parametrize(
    "asking",
    [a_welcome, a_remark_in_a_module, a_remark_about_a_track, an_edit_in_a_module, another_answer, an_object],
)
def test_a_retry_is_the_same_in_all_that_matters(
    container: Container, db: Database, new_actor: NewActor, asking: object
) -> None:
    job = container.jobs.get(ROOT, asking(container, new_actor(TOKENS)).id)  # type: ignore[operator]
    again = retried(container, job)
    assert differences(job, again) == {}
    check_money(db)


def test_a_retried_welcome_is_still_said_by_nobody_but_the_assistant(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(TOKENS)
    job = a_welcome(container, actor)
    again = retried(container, job)
    assert (again.unasked, "Ancient music" in again.prompt[0].content) == (True, True)
    assert settle(container, again, answering({"message": "Hello!", "plan": PLAN})) is not None
    assert [role for role, _ in said_in(container, actor, job.chat_id)] == ["assistant"]
    check_money(db)


def test_a_briefing_stays_what_it_was_when_its_course_changes(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(TOKENS)
    job = a_welcome(container, actor)
    container.tracks.change(actor, db.tracks.find_one({})["_id"], {"title": "Modern music"})
    assert retried(container, job).prompt == job.prompt


def test_what_was_asked_outside_any_dialog_is_not_asked_again(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    """Whose plan or lesson it would replace may have another by now."""
    actor = new_actor(TOKENS)
    track, module = planned(container, actor)
    wish = LessonWish(module_id=module.id, lesson_id=module.lessons[0].id)
    jobs = [
        finalize(container, actor, track),
        container.courses.lesson(actor, wish, TERMS),
        container.courses.plan(actor, PlanWish(track_id=track.id), TERMS),
    ]
    for job in jobs:
        fail(container, job)
        with pytest.raises(ValidationFailed) as refused:
            container.admin.retry_job(ROOT, job.id)
        assert refused.value.details == {"jobId": ["job_without_dialog"]}
    assert db.jobs.count_documents({}) == len(jobs)
