"""Sessions, their chats and the messages in them."""

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.chat import ChatMessage
from service.domain.dialogs import DialogStatus, Session
from service.domain.errors import (
    Forbidden,
    InsufficientTokens,
    InvalidMessage,
    JobRunning,
    NotFound,
    RegistrationRequired,
    ServiceError,
    ValidationFailed,
)
from service.domain.jobs import Job, JobStatus
from service.usecases import dialogs as use_case
from service.usecases.dialogs import SessionFilter
from service.usecases.places import NewSession
from tests.core.checker import check_money
from tests.core.support import (
    ROOT,
    NewActor,
    ask,
    at_once,
    key,
    kinds,
    lose_worker,
    new_key,
    program_of,
    spread,
    submit,
)

NEW = NewSession()


def begin(container: Container, actor: Actor, message: str = "ping", **fields: object) -> Job:
    """The answered first question of a session of its own."""
    return ask(container, actor, message, place=NEW, **fields)


def said(container: Container, actor: Actor, chat_id: str | None) -> list[str]:
    assert chat_id is not None
    return [message.content for message in container.dialogs.messages(actor, chat_id, None, 100).items]


def sessions(container: Container, actor: Actor, **wanted: object) -> list[Session]:
    return container.dialogs.page(actor, SessionFilter(**wanted)).items  # type: ignore[arg-type]


def test_a_question_begins_a_session_and_the_next_one_continues_it(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    upstream.rule(contains="first", answer="one")
    upstream.rule(contains="second", answer="two\n\nlines")

    job = begin(container, actor, "first  question")
    again = ask(container, actor, "second", session_id=job.session_id)

    assert (again.session_id, again.chat_id) == (job.session_id, job.session_id)
    assert [message.content for message in again.context(20)] == ["first  question", "one", "second", "two\n\nlines"]
    assert said(container, actor, job.chat_id) == ["first  question", "one", "second", "two\n\nlines"]
    (session,) = sessions(container, actor)
    assert (session.id, session.title, session.last_message) == (job.session_id, "first question", "two lines")
    assert (session.message_count, session.status) == (4, DialogStatus.ACTIVE)
    assert session.updated_at == again.finished_at
    check_money(db)


def test_messages_say_when_they_were_said(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = begin(container, actor)
    question, answer = container.dialogs.messages(actor, job.chat_id or "", None, 10).items
    assert (question.id, question.role, question.created_at) == (f"{job.id}:user", "user", job.created_at)
    assert (answer.id, answer.role, answer.created_at) == (f"{job.id}:assistant", "assistant", job.finished_at)
    assert answer.parent_id == question.id


def test_a_session_that_was_given_a_title_keeps_it(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    dialog = container.dialogs.create(actor, None, "api", NewSession(title="$title"))
    ask(container, actor, "a question", session_id=dialog.session.id)
    assert container.dialogs.session(actor, dialog.session.id).title == "$title"
    assert container.dialogs.rename(actor, dialog.session.id, "$$NOW").title == "$$NOW"
    assert [session.title for session in sessions(container, actor)] == ["$$NOW"]


@pytest.mark.parametrize("odd", ["$where", "$$ROOT", "nul\x00inside", "🙂" * 100, "\u2028", "a" * 5000])
def test_any_text_makes_a_title(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, odd: str
) -> None:
    actor = new_actor()
    upstream.rule(answer=f"{odd} too")
    job = begin(container, actor, f"x{odd}")
    assert said(container, actor, job.chat_id) == [f"x{odd}", f"{odd} too"]
    (session,) = sessions(container, actor)
    assert 0 < len(session.title) <= 60
    assert session.title.rstrip("…") in " ".join(f"x{odd}".split())
    check_money(db)


@pytest.mark.parametrize("refusal", [InsufficientTokens, InvalidMessage])
def test_a_refused_question_begins_nothing(
    container: Container, db: Database, new_actor: NewActor, refusal: type[ServiceError]
) -> None:
    actor = new_actor(0 if refusal is InsufficientTokens else 1000)
    for fields in ({"place": NEW}, {}):
        with pytest.raises(refusal):
            submit(container, actor, "" if refusal is InvalidMessage else "ping", **fields)
    assert (db.sessions.count_documents({}), db.chats.count_documents({})) == (0, 0)


def test_a_failed_question_leaves_a_session_that_can_be_asked_in_again(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    upstream.rule(contains="bad", status=400)
    job = begin(container, actor, "bad")
    assert job.status is JobStatus.FAILED
    assert said(container, actor, job.chat_id) == []
    assert sessions(container, actor)[0].title == ""
    assert ask(container, actor, "good", chat_id=job.chat_id).status is JobStatus.SUCCEEDED
    check_money(db)


def test_a_chat_takes_one_question_at_a_time(
    container: Container, db: Database, new_actor: NewActor, processes: list[Container]
) -> None:
    actor = new_actor(1_000_000)
    session_id = container.dialogs.create(actor, None, "api", NEW).session.id

    results = at_once(spread(submit, processes, 8, actor, session_id=session_id))

    assert kinds(results) == {"Job": 1, "JobRunning": 7}
    (job,) = (result for result in results if isinstance(result, Job))
    with pytest.raises(JobRunning):
        submit(container, actor, chat_id=session_id)
    check_money(db)
    # Neither the default dialog nor another session waits for it.
    assert ask(container, actor).status is JobStatus.SUCCEEDED
    assert begin(container, actor).status is JobStatus.SUCCEEDED
    container.run(job.id)
    assert ask(container, actor, session_id=session_id).status is JobStatus.SUCCEEDED
    check_money(db)


@pytest.mark.parametrize("end", ["failed", "cancelled", "lost"])
def test_however_a_job_ends_its_chat_takes_the_next_question(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, end: str
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(contains="bad", status=400)
    job = submit(container, actor, "bad", place=NEW)
    if end == "cancelled":
        container.jobs.cancel(actor, job.id)
    elif end == "failed":
        container.run(job.id)
    else:
        for _ in range(3):
            lose_worker(container, db, job)
            container.upkeep.recover_expired()
    assert container.jobs.get(actor, job.id).status.is_final
    check_money(db)
    assert ask(container, actor, "good", session_id=job.session_id).status is JobStatus.SUCCEEDED
    check_money(db)


def test_a_repeated_first_question_is_one_session(
    container: Container, db: Database, new_actor: NewActor, processes: list[Container]
) -> None:
    actor = new_actor(1_000_000)
    results = at_once(spread(submit, processes, 6, actor, place=NEW, idempotency=key(actor)))
    assert len({job.id for job in results}) == 1
    container.run(results[0].id)
    again = {"session_id": results[0].session_id, "idempotency": key(actor, "again")}
    results = at_once(spread(submit, processes, 6, actor, **again))
    assert len({job.id for job in results}) == 1
    assert len(sessions(container, actor)) == 1


def test_first_questions_at_once_begin_one_default_dialog(
    container: Container, db: Database, new_actor: NewActor, processes: list[Container]
) -> None:
    actor = new_actor(1_000_000)
    jobs = at_once(spread(submit, processes, 8, actor))
    assert kinds(jobs) == {"Job": 8}
    for job in jobs:
        container.run(job.id)
    (session,) = sessions(container, actor)
    assert session.message_count == 16
    assert container.dialogs.totals(actor, None) == (1, 16)
    check_money(db)


def test_the_chats_of_a_session_have_contexts_of_their_own(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(1_000_000)
    job = begin(container, actor, "one")
    session_id = job.session_id or ""
    chat = container.dialogs.add_chat(actor, session_id, "second line")
    other = ask(container, actor, "two", chat_id=chat.id, session_id=session_id)

    assert other.session_id == session_id
    assert [message for message in other.context(20) if message.role == "user"] == [ChatMessage("user", "two")]
    chats = container.dialogs.chats(actor, session_id, None, 10).items
    assert [(chat.id, chat.title, chat.message_count) for chat in chats] == [
        (session_id, "", 2),
        (chat.id, "second line", 2),
    ]
    session = container.dialogs.session(actor, session_id)
    assert (session.message_count, session.last_chat_id) == (4, chat.id)
    first = container.dialogs.chats(actor, session_id, None, 1)
    assert [chat.id for chat in container.dialogs.chats(actor, session_id, first.next_cursor, 1).items] == [chat.id]
    check_money(db)


def test_a_chat_of_another_session_is_not_found(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(1_000_000)
    one, two = begin(container, actor), begin(container, actor)
    with pytest.raises(NotFound):
        submit(container, actor, session_id=one.session_id, chat_id=two.chat_id)


def test_pages_of_messages_go_back_to_the_beginning(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(1_000_000)
    job = begin(container, actor, "0")
    for number in range(1, 5):
        ask(container, actor, str(number), chat_id=job.chat_id)
    seen: list[int] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = container.dialogs.messages(actor, job.chat_id or "", cursor, 3)
        seen = [message.position for message in page.items] + seen
        cursor, pages = page.next_cursor, pages + 1
    assert (seen, pages) == (list(range(10)), 4)


def test_sessions_are_listed_by_their_last_talk_status_and_track(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(1_000_000)
    one, two, three = (begin(container, actor, str(number)).session_id or "" for number in range(3))
    track_id = container.tracks.create(actor, None, {"title": "course"}).id
    tracked = container.dialogs.create(actor, None, "learning", NewSession(track_id=track_id)).session.id
    ask(container, actor, "again", session_id=one)
    assert [session.id for session in sessions(container, actor)] == [one, tracked, three, two]
    container.dialogs.set_status(actor, two, DialogStatus.ARCHIVED)
    assert [session.id for session in sessions(container, actor, status=DialogStatus.ARCHIVED)] == [two]
    assert [session.id for session in sessions(container, actor, track_id=track_id)] == [tracked]
    page = container.dialogs.page(actor, SessionFilter(limit=3))
    rest = container.dialogs.page(actor, SessionFilter(limit=3, cursor=page.next_cursor))
    assert ([len(page.items), len(rest.items)], rest.next_cursor) == ([3, 1], None)


def test_guests_change_no_status(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    guest = Actor(account_id=actor.account_id, role=Role.GUEST, request_id="test-request")
    session = container.dialogs.create(guest, None, "api", NEW).session
    with pytest.raises(RegistrationRequired):
        container.dialogs.set_status(guest, session.id, DialogStatus.ARCHIVED)


def test_nobody_reaches_somebody_elses_session(container: Container, db: Database, new_actor: NewActor) -> None:
    anna, boris, dialogs = new_actor(1_000_000), new_actor(1_000_000), container.dialogs
    job = begin(container, anna, "mine")
    session_id = job.session_id or ""
    attempts = [
        lambda: submit(container, boris, session_id=session_id),
        lambda: submit(container, boris, chat_id=session_id),
        lambda: dialogs.session(boris, session_id),
        lambda: dialogs.messages(boris, session_id, None, 10),
        lambda: dialogs.rename(boris, session_id, "theirs"),
        lambda: dialogs.set_status(boris, session_id, DialogStatus.ARCHIVED),
        lambda: dialogs.chats(boris, session_id, None, 10),
        lambda: dialogs.add_chat(boris, session_id, "theirs"),
        lambda: dialogs.set_chat_status(boris, session_id, DialogStatus.ARCHIVED),
        lambda: sessions(container, boris, user_id=anna.account_id),
        lambda: dialogs.totals(boris, anna.account_id),
    ]
    for attempt in attempts:
        with pytest.raises(Forbidden):
            attempt()
    with pytest.raises(NotFound):
        dialogs.session(boris, "unknown")
    assert sessions(container, boris) == []
    assert [session.id for session in sessions(container, ROOT, user_id=anna.account_id)] == [session_id]
    assert db.audit.count_documents({"action": "sessions.read", "subject_id": anna.account_id}) == 1


def test_a_program_keeps_sessions_of_its_end_users_apart(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    owner = new_actor(1_000_000)
    program = program_of(new_key(container, owner))
    for name in ("1", "2"):
        container.billing.top_up(program, name, 1_000_000, None)
    job = begin(container, program, user_id="1")
    assert [session.id for session in sessions(container, program, user_id="1")] == [job.session_id]
    assert sessions(container, program, user_id="2") == []
    assert sessions(container, program) == []
    assert container.dialogs.session(program, job.session_id or "").external_user_id == "1"
    for wrong in ("2", None):
        with pytest.raises(Forbidden):
            submit(container, program, user_id=wrong, session_id=job.session_id)
    assert ask(container, program, user_id="1", session_id=job.session_id).status is JobStatus.SUCCEEDED


def test_of_a_linked_account_a_program_sees_what_it_asked_there(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    vera = new_actor(1_000_000)
    program = program_of(new_key(container, new_actor()))
    container.links.confirm(program, "4242", container.links.issue(vera).code)
    own = begin(container, vera, "a secret")
    asked = begin(container, program, "for her", user_id="4242")

    linked = [session.id for session in sessions(container, program, user_id="4242")]
    assert asked.session_id in linked
    assert own.session_id not in linked
    with pytest.raises(Forbidden):
        submit(container, program, user_id="4242", session_id=own.session_id)
    with pytest.raises(Forbidden):
        container.dialogs.messages(program, own.chat_id or "", None, 10)
    # She sees both, and may go on with either.
    assert {own.session_id, asked.session_id} <= {session.id for session in sessions(container, vera)}
    assert ask(container, vera, "me again", session_id=asked.session_id).status is JobStatus.SUCCEEDED
    check_money(db)


def test_sessions_and_chats_that_cost_nothing_come_to_an_end(
    container: Container, db: Database, new_actor: NewActor, monkeypatch: pytest.MonkeyPatch, upstream: UpstreamControl
) -> None:
    for limit in ("MAX_SESSIONS", "MAX_CHATS"):
        monkeypatch.setattr(use_case, limit, 2)
    anna, bella = new_actor(1_000_000), new_actor()
    bot = program_of(new_key(container, bella))
    for actor, user_id in ((anna, None), (bot, "1"), (bot, "2")):
        first, _ = (container.dialogs.create(actor, user_id, "api", NewSession()) for _ in range(2))
        with pytest.raises(ValidationFailed) as refused:
            container.dialogs.create(actor, user_id, "api", NewSession())
        assert refused.value.details == {"title": ["too_many_sessions:2"]}
        container.dialogs.add_chat(actor, first.session.id, "")
        with pytest.raises(ValidationFailed) as refused:
            container.dialogs.add_chat(actor, first.session.id, "")
        assert refused.value.details == {"title": ["too_many_chats:2"]}
    assert ask(container, anna, place=NewSession()).status is JobStatus.SUCCEEDED
