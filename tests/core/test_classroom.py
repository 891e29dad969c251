"""Talks of the learning platform: whose they are, what the tutor is told, and where they go on, whoever races."""

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.dialogs import ChatKind
from service.domain.errors import Forbidden, InsufficientTokens, InvalidMessage, NotFound
from service.domain.tracks import ModuleStatus
from service.usecases.asking import NO_LINE, Line, Terms
from service.usecases.branches import Repeat
from service.usecases.classroom import Remark
from service.usecases.courses import LessonWish, PlanWish
from tests.core.checker import check_money
from tests.core.learning import LESSON, PLAN, TERMS, TOKENS, answering, planned, said_in, settle
from tests.core.support import ROOT, NewActor, at_once, key, new_key, plan_of, program_of
from tests.core.test_tracks import new_track
from tests.core.test_upstream_requests import bodies


def test_ten_who_begin_a_module_at_once_share_one_chat(
    processes: list[Container], container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(TOKENS)
    _, module = planned(container, actor)
    calls: list[Callable[[], Any]] = [
        lambda process=processes[number % len(processes)]: process.classroom.begin(actor, module.id, 20)
        for number in range(10)
    ]
    talks = at_once(calls)
    assert not [talk for talk in talks if isinstance(talk, Exception)], talks
    assert len({talk.chat.id for talk in talks}) == 1
    assert {talk.module.status for talk in talks} == {ModuleStatus.IN_PROGRESS}
    assert (db.sessions.count_documents({}), db.chats.count_documents({"kind": ChatKind.MODULE.value})) == (1, 1)


def test_the_modules_and_the_welcome_of_a_track_share_one_session(
    processes: list[Container], container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(1_000_000)
    track = new_track(container, actor)
    modules = container.tracks.adopt(actor, track.id, plan_of(*"abcdef")).modules
    calls: list[Callable[[], Any]] = [
        lambda process=processes[number % len(processes)], module=module: process.classroom.begin(actor, module.id, 20)
        for number, module in enumerate(modules)
    ]
    calls.append(lambda: processes[1].courses.welcome(actor, track.id, NO_LINE, TERMS))
    results = at_once(calls)
    assert not [each for each in results if isinstance(each, Exception)], results
    (session,) = db.sessions.find()
    assert {each.chat.session_id for each in results[:-1]} == {results[-1].session_id} == {session["_id"]}
    assert db.chats.count_documents({"session_id": session["_id"]}) == 7
    # The default chat is the oldest.
    assert container.dialogs.chats(actor, session["_id"], None, 1).items[0].kind is ChatKind.DEFAULT


def test_a_module_whose_session_was_deleted_begins_again(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(TOKENS)
    _, module = planned(container, actor)
    first = container.classroom.begin(actor, module.id, 20).chat
    assert first is not None
    container.erase.session(actor, first.session_id)
    assert container.classroom.history(actor, module.id, None, 20).chat is None
    container.run(container.classroom.say(actor, Remark("hello", module_id=module.id), TERMS).id)
    second = container.classroom.history(actor, module.id, None, 20)
    assert second.chat is not None
    assert second.chat.session_id != first.session_id
    assert [message.role for message in second.page.items] == ["user", "assistant"]
    container.erase()
    assert len(said_in(container, actor, second.chat.id)) == 2


def test_deleting_a_track_takes_its_talks(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(TOKENS)
    track, module = planned(container, actor)
    jobs = [
        container.courses.welcome(actor, track.id, NO_LINE, TERMS),
        container.classroom.say(actor, Remark("hello", module_id=module.id), TERMS),
        container.classroom.respond(actor, Remark("hello", track_id=track.id), TERMS),
    ]
    jobs.append(container.courses.plan(actor, PlanWish(track_id=track.id), TERMS))
    for job in jobs:
        container.run(job.id)
    container.tracks.delete(actor, track.id)
    assert (db.sessions.count_documents({}), db.chats.count_documents({})) == (0, 0)
    container.erase()
    assert db.messages.count_documents({}) == 0
    assert db.jobs.count_documents({"prompt": []}) == len(jobs)
    with pytest.raises(NotFound):
        container.classroom.begin(actor, module.id, 20)
    check_money(db)


def test_beginning_while_the_track_is_deleted_leaves_nothing(
    processes: list[Container], container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(TOKENS)
    for _ in range(5):
        track, module = planned(container, actor)
        at_once(
            [
                lambda module=module: processes[1].classroom.begin(actor, module.id, 20),
                lambda track=track: processes[2].tracks.delete(actor, track.id),
            ]
        )
        assert db.modules.count_documents({"track_id": track.id}) == 0
        assert db.sessions.count_documents({"track_id": track.id}) == 0
        assert db.chats.count_documents({}) == 0


def test_a_refused_remark_begins_nothing(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(0)
    track, module = planned(container, actor)
    with pytest.raises(InvalidMessage):
        container.classroom.say(actor, Remark(" ", module_id=module.id), TERMS)
    with pytest.raises(InsufficientTokens):
        container.classroom.respond(actor, Remark("hello", track_id=track.id), TERMS)
    assert (db.sessions.count_documents({}), db.chats.count_documents({}), db.jobs.count_documents({})) == (0, 0, 0)


def test_a_lookup_comes_before_everything_else(container: Container, db: Database, new_actor: NewActor) -> None:
    """A repeated request is answered by its job even when what it was about is gone."""
    actor = new_actor(TOKENS)
    track, module = planned(container, actor)
    terms = Terms(idempotency=key(actor))
    remark = Remark("hello", module_id=module.id)
    job = container.classroom.say(actor, remark, terms)
    container.run(job.id)
    container.courses.adopt(actor, None, track.id, plan_of("gamma"))
    assert container.classroom.say(actor, remark, terms).id == job.id


def test_a_track_is_asked_about_only_for_whom_it_is(container: Container, db: Database, new_actor: NewActor) -> None:
    anna, boris = new_actor(TOKENS), new_actor(TOKENS)
    program = program_of(new_key(container, anna))
    container.billing.top_up(program, "42", TOKENS, None)
    mine, of_end_user = new_track(container, anna), new_track(container, program, "42")
    container.courses.welcome(program, of_end_user.id, NO_LINE, Terms("42"))
    for actor, track, user_id in (
        (boris, mine, None),
        (boris, mine, anna.account_id),
        (program, of_end_user, None),
        (program, of_end_user, "43"),
        (program, mine, "42"),
        (ROOT, mine, None),
    ):
        for ask in (
            lambda a=actor, t=track, u=user_id: container.courses.welcome(a, t.id, NO_LINE, Terms(u)),
            lambda a=actor, t=track, u=user_id: container.courses.plan(a, PlanWish(track_id=t.id), Terms(u)),
            lambda a=actor, t=track, u=user_id: container.courses.adopt(a, u, t.id, PLAN),
            lambda a=actor, t=track, u=user_id: container.classroom.respond(a, Remark("x", track_id=t.id), Terms(u)),
        ):
            with pytest.raises(Forbidden):
                ask()
    container.courses.welcome(ROOT, mine.id, NO_LINE, Terms(anna.account_id))


def test_a_linked_end_user_goes_on_in_what_its_person_began(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    """A session is for whom its track is, not for who opened it first."""
    anna, owner = new_actor(TOKENS), new_actor()
    program = program_of(new_key(container, owner))
    container.links.confirm(program, "42", container.links.issue(anna).code)
    track = new_track(container, program, "42")
    module = container.tracks.adopt(program, track.id, PLAN).modules[0]
    chat = container.classroom.begin(anna, module.id, 20).chat
    assert chat is not None
    job = container.classroom.say(program, Remark("hello", module_id=module.id), Terms("42"))
    assert (job.account_id, job.chat_id) == (anna.account_id, chat.id)
    private = container.tracks.adopt(anna, new_track(container, anna).id, PLAN).modules[0]
    with pytest.raises(Forbidden):
        container.classroom.say(program, Remark("hello", module_id=private.id), Terms("42"))


def test_an_older_session_of_somebody_elses_track_tells_nothing_of_it(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, question: str
) -> None:
    """From when sessions took any track."""
    anna, boris = new_actor(TOKENS), new_actor(TOKENS)
    secret = new_track(container, anna, description="tamarisk")
    job = container.classroom.respond(boris, Remark("hello"), TERMS)
    container.run(job.id)
    db.sessions.update_one({"_id": job.session_id}, {"$set": {"track_id": secret.id}})
    container.run(container.classroom.respond(boris, Remark(question, Line(job.chat_id)), TERMS).id)
    assert "tamarisk" not in str(bodies(upstream, question))


def test_what_the_model_is_told_is_bounded(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(10_000_000)
    big = plan_of(*(f"{number} {'m' * 900}" for number in range(50)), lessons=50)
    track = new_track(container, actor, description="d" * 5000, user_expectations="e" * 5000)
    module = container.tracks.adopt(actor, track.id, big).modules[0]
    text = {**LESSON, "sections": [{"heading": "h", "content": "c" * 100_000}]}
    for lesson in module.lessons[:3]:
        job = container.courses.lesson(actor, LessonWish(module_id=module.id, lesson_id=lesson.id), TERMS)
        settle(container, job, answering(text))
    said = container.classroom.say(actor, Remark("x", module_id=module.id), TERMS)
    assert len(said.prompt[0].content) < 60_000
    assert said.prompt[0].content.count("c" * 1000) == 7


def test_a_question_that_is_asked_once_more_is_about_the_same(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(TOKENS)
    _, module = planned(container, actor, title="words about nothing")
    job = container.classroom.say(actor, Remark("hello", module_id=module.id), TERMS)
    container.run(job.id)
    container.tutor.change(actor, None, {"language": "fr"})
    again = container.branches.regenerate(actor, f"{job.id}:assistant", Repeat("learning"))
    container.run(again.id)
    edited = container.branches.edit(actor, f"{job.id}:user", "hello again", Repeat("learning"))
    for asked in (again, edited):
        assert '"title":"words about nothing"' in asked.prompt[0].content
        assert '"module":{"title":"alpha"' in asked.prompt[0].content
        assert "Réponds en français." in asked.prompt[0].content
    container.run(edited.id)
    check_money(db)
