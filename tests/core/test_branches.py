"""Edited questions and answers asked for again: branches beside what was there."""

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain import dialogs as domain
from service.domain.accounts import Actor
from service.domain.dialogs import Message
from service.domain.errors import Forbidden, InvalidMessage, JobRunning, NotFound, ValidationFailed
from service.domain.jobs import Job, JobStatus
from service.usecases import branches
from service.usecases.branches import Repeat
from service.usecases.places import NewSession
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, ask, at_once, key, kinds, new_key, program_of, submit, wallet

HOW = Repeat(channel="api")


def line(container: Container, actor: Actor, job: Job) -> list[Message]:
    """What the job's chat shows."""
    return container.dialogs.messages(actor, job.chat_id or "", None, 100).items


def texts(container: Container, actor: Actor, job: Job) -> list[str]:
    return [message.content for message in line(container, actor, job)]


def talk(container: Container, upstream: UpstreamControl, actor: Actor, *questions: str) -> Job:
    """An answered session; each answer is its question in capitals."""
    for question in questions:
        upstream.rule(contains=question, answer=question.upper())
    job = ask(container, actor, questions[0], place=NewSession())
    for question in questions[1:]:
        job = ask(container, actor, question, chat_id=job.chat_id)
    return job


def edited(container: Container, actor: Actor, message: Message, text: str) -> Job:
    job = container.branches.edit(actor, message.id, text, HOW)
    container.run(job.id)
    return container.jobs.get(actor, job.id)


def regenerated(container: Container, actor: Actor, message: Message) -> Job:
    job = container.branches.regenerate(actor, message.id, HOW)
    container.run(job.id)
    return container.jobs.get(actor, job.id)


def test_an_edited_question_is_asked_anew_from_its_place(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    job = talk(container, upstream, actor, "one", "two", "three")
    upstream.rule(contains="deux", answer="DEUX")
    before = line(container, actor, job)

    again = edited(container, actor, before[2], "deux")

    assert [message.content for message in again.prompt[1:]] == ["one", "ONE", "deux"]
    assert texts(container, actor, job) == ["one", "ONE", "deux", "DEUX"]
    assert container.jobs.get(actor, again.id).assistant == job.assistant
    following = ask(container, actor, "four", chat_id=job.chat_id)
    assert [message.content for message in following.prompt[1:]] == ["one", "ONE", "deux", "DEUX", "four"]
    shown = container.branches.shown(line(container, actor, job))
    assert [len(each.siblings) for each in shown] == [1, 1, 2, 1, 1, 1]
    assert shown[2].siblings == [before[2].id, shown[2].message.id]

    container.branches.select(actor, before[4].id)

    assert line(container, actor, job) == before
    following = ask(container, actor, "five", chat_id=job.chat_id)
    assert [message.content for message in following.prompt[1:]] == [
        "one",
        "ONE",
        "two",
        "TWO",
        "three",
        "THREE",
        "five",
    ]
    check_money(db)


def test_another_answer_stands_beside_the_first(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    job = talk(container, upstream, actor, "one", "two")
    before = line(container, actor, job)
    upstream.clear()
    upstream.rule(contains="two", answer="another")

    again = regenerated(container, actor, before[3])

    assert [message.content for message in again.prompt[1:]] == ["one", "ONE", "two"]
    assert texts(container, actor, job) == ["one", "ONE", "two", "another"]
    assert container.contexts._dialogs.chat(job.chat_id or "").context == again.context(20)  # type: ignore[union-attr]
    third = regenerated(container, actor, line(container, actor, job)[3])
    (*_, last) = container.branches.shown(line(container, actor, job))
    assert last.siblings == [before[3].id, f"{again.id}:assistant", f"{third.id}:assistant"]
    first = regenerated(container, actor, before[1])
    assert [message.content for message in first.prompt[1:]] == ["one"]
    assert len(line(container, actor, job)) == 2
    check_money(db)


def test_a_first_question_may_be_edited_too(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    job = talk(container, upstream, actor, "one", "two")
    before = line(container, actor, job)
    edited(container, actor, before[0], "uno")
    assert texts(container, actor, job)[0] == "uno"
    (first, _) = container.branches.shown(line(container, actor, job))
    assert len(first.siblings) == 2
    container.branches.select(actor, before[0].id)
    assert line(container, actor, job) == before
    check_money(db)


def test_what_fails_or_is_cancelled_changes_nothing(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    job = talk(container, upstream, actor, "one", "two")
    before, balance = line(container, actor, job), wallet(container, actor)
    upstream.rule(contains="bad", status=400)
    assert edited(container, actor, before[0], "bad").status is JobStatus.FAILED
    open_one = container.branches.edit(actor, before[0].id, "never", HOW)
    container.jobs.cancel(actor, open_one.id)
    assert line(container, actor, job) == before
    assert wallet(container, actor) == balance
    assert ask(container, actor, "two", chat_id=job.chat_id).prompt[1:-1] == job.context(20)
    check_money(db)


def test_while_a_question_is_open_nothing_else_is_done_in_its_chat(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    job = talk(container, upstream, actor, "one")
    question, answer = line(container, actor, job)
    open_one = container.branches.edit(actor, question.id, "uno", HOW)
    for attempt in (
        lambda: container.branches.edit(actor, question.id, "eins", HOW),
        lambda: container.branches.regenerate(actor, answer.id, HOW),
        lambda: container.branches.select(actor, answer.id),
        lambda: submit(container, actor, "two", chat_id=job.chat_id),
    ):
        with pytest.raises(JobRunning):
            attempt()
    container.run(open_one.id)
    assert container.branches.select(actor, answer.id).length == 2
    check_money(db)


def test_a_branch_is_not_changed_below_a_question_of_the_default_dialog(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    """It takes several at once: what is open while a branch begins goes on on that branch."""
    actor = new_actor(1_000_000)
    job = ask(container, actor, "one")
    question, answer = line(container, actor, job)
    slow = submit(container, actor, "slow")
    with pytest.raises(JobRunning):
        container.branches.select(actor, answer.id)
    edited(container, actor, question, "uno")
    container.run(slow.id)
    assert [message.content for message in line(container, actor, job) if message.role == "user"] == ["uno", "slow"]
    container.branches.select(actor, answer.id)
    assert texts(container, actor, job)[0] == "one"
    check_money(db)


def test_only_questions_are_edited_and_only_answers_asked_for_again(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor, stranger = new_actor(1_000_000), new_actor()
    question, answer = line(container, actor, talk(container, upstream, actor, "one"))
    with pytest.raises(ValidationFailed) as refused:
        container.branches.edit(actor, answer.id, "uno", HOW)
    assert refused.value.details == {"messageId": ["message_not_user"]}
    with pytest.raises(ValidationFailed) as refused:
        container.branches.regenerate(actor, question.id, HOW)
    assert refused.value.details == {"messageId": ["message_not_assistant"]}
    for text in ("", "  ", "a" * 10_001):
        with pytest.raises(InvalidMessage):
            container.branches.edit(actor, question.id, text, HOW)
    for who in (stranger, program_of(new_key(container, stranger))):
        with pytest.raises(Forbidden):
            container.branches.edit(who, question.id, "uno", HOW)
        with pytest.raises(Forbidden):
            container.branches.select(who, question.id)
    with pytest.raises(NotFound):
        container.branches.select(actor, "unknown")
    check_money(db)


def test_a_program_edits_what_its_end_user_asked_and_the_end_user_pays(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    anna, bot = new_actor(1_000_000), program_of(new_key(container, new_actor(0)))
    container.billing.top_up(bot, "1", 100_000, None)
    container.links.confirm(bot, "2", container.links.issue(anna).code)
    for name in ("1", "2"):
        job = ask(container, bot, "one", user_id=name)
        question = line(container, bot, job)[0]
        again = edited(container, bot, question, "uno")
        assert (again.account_id, again.external_user_id) == (job.account_id, name)
        assert again.status is JobStatus.SUCCEEDED
    assert edited(container, anna, question, "eins").account_id == anna.account_id
    assert edited(container, ROOT, question, "ein").account_id == anna.account_id
    check_money(db)


def test_an_edit_with_a_key_is_done_once(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    question = line(container, actor, talk(container, upstream, actor, "one"))[0]
    how = Repeat(channel="api", idempotency=key(actor))
    jobs = at_once([lambda: container.branches.edit(actor, question.id, "uno", how)] * 4)
    assert len({job.id for job in jobs}) == 1
    check_money(db)


def test_edits_at_the_same_time_are_one(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, processes: list[Container]
) -> None:
    actor = new_actor(1_000_000)
    job = talk(container, upstream, actor, "one")
    question, answer = line(container, actor, job)
    calls = [lambda p=process: edited(p, actor, question, "uno") for process in processes]
    calls += [lambda p=process: container.branches.select(actor, answer.id) for process in processes]
    results = kinds(at_once(calls))
    assert set(results) <= {"Job", "JobRunning", "Chat"}
    assert results["Job"] >= 1
    check_money(db)


def test_edits_of_edits_come_to_an_end(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(branches, "MAX_SEGMENTS", 3)
    actor = new_actor(10_000_000)
    job = talk(container, upstream, actor, "one")
    for _ in range(3):
        edited(container, actor, line(container, actor, job)[-2], "again")
        ask(container, actor, "next", chat_id=job.chat_id)
    for _ in range(5):
        # At its own place an edit is no deeper.
        edited(container, actor, line(container, actor, job)[0], "again")
        ask(container, actor, "next", chat_id=job.chat_id)
    for _ in range(2):
        regenerated(container, actor, line(container, actor, job)[-1])
        ask(container, actor, "next", chat_id=job.chat_id)
    last = line(container, actor, job)[-1]
    with pytest.raises(ValidationFailed) as refused:
        regenerated(container, actor, last)
    assert refused.value.details == {"messageId": ["too_many_branches:3"]}
    assert domain.MAX_SEGMENTS == 100
    check_money(db)


def test_versions_of_a_message_come_to_an_end(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are told with each page."""
    monkeypatch.setattr(branches, "MAX_SIBLINGS", 3)
    actor = new_actor(10_000_000)
    job = talk(container, upstream, actor, "one", "two")
    before = line(container, actor, job)
    for message, again in ((before[2], edited), (before[1], regenerated)):
        arguments = ("again",) if again is edited else ()
        for _ in range(2):
            again(container, actor, message, *arguments)
        with pytest.raises(ValidationFailed) as refused:
            again(container, actor, message, *arguments)
        assert refused.value.details == {"messageId": ["too_many_siblings:3"]}
    check_money(db)


def test_what_nobody_asked_is_not_asked_again(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    job = talk(container, upstream, actor, "one")
    ask(container, actor, "greet", chat_id=job.chat_id, unasked=True)
    with pytest.raises(ValidationFailed):
        container.branches.regenerate(actor, line(container, actor, job)[-1].id, HOW)
