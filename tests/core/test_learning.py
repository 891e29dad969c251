"""Plans, lessons and talks of the learning platform: what is stored, when, and once, whoever dies or races."""

from collections.abc import Callable
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain import structured
from service.domain.accounts import Actor, Role
from service.domain.billing import Charge
from service.domain.chat import Usage
from service.domain.dialogs import ChatKind
from service.domain.errors import Forbidden, InsufficientTokens, InvalidMessage, NotFound, ValidationFailed
from service.domain.jobs import Applies, Job, JobStatus, Outcome
from service.domain.tracks import Module, ModuleStatus, Track
from service.usecases.asking import NO_LINE, Line, Terms
from service.usecases.branches import Repeat
from service.usecases.classroom import Remark
from service.usecases.courses import LessonWish, PlanWish
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, at_once, key, lose_worker, new_key, plan_of, program_of, submit
from tests.core.test_tracks import new_track
from tests.core.test_upstream_requests import bodies

TOKENS = 100_000
PLAN = plan_of("alpha", "beta")
LESSON = {
    "title": "Variables",
    "objectives": [],
    "sections": [{"heading": "Names", "content": "A name for a value."}],
    "exercises": [],
    "summary": "",
}
TERMS = Terms()


def answering(answer: dict[str, Any]) -> Outcome:
    usage = Usage(prompt_tokens=3, completion_tokens=2)
    return Outcome(JobStatus.SUCCEEDED, Charge(5), structured.dump(answer), usage, "stop")


def settle(container: Container, job: Job, outcome: Outcome) -> Job | None:
    return container.jobs._money.settle(job, outcome, 20)


def finalize(container: Container, actor: Actor, track: Track, **terms: Any) -> Job:
    return container.courses.finalize(actor, track.id, NO_LINE, Terms(**terms))


def planned(container: Container, actor: Actor, **fields: Any) -> tuple[Track, Module]:
    track = new_track(container, actor, **fields)
    return track, container.tracks.adopt(actor, track.id, PLAN).modules[0]


def titles(container: Container, actor: Actor, track: Track) -> list[str]:
    return [module.title for module in container.tracks.read(actor, track.id).modules]


def said_in(container: Container, actor: Actor, chat_id: str | None) -> list[tuple[str, str]]:
    page = container.dialogs.messages(actor, chat_id or "", None, 100)
    return [(message.role, message.content) for message in page.items]


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


def test_there_is_no_other_answer_to_a_greeting(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(TOKENS)
    track = new_track(container, actor)
    for _ in range(2):
        job = container.courses.welcome(actor, track.id, NO_LINE, TERMS)
        container.run(job.id)
        with pytest.raises(ValidationFailed):
            container.branches.regenerate(actor, f"{job.id}:assistant", Repeat("learning"))
