"""What a question is sent with, and what is remembered of it afterwards."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.tokenizer import count_tokens
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.chat import ChatMessage
from service.domain.errors import ContextNotFound, Forbidden
from service.domain.jobs import JobStatus
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, ask, at_once, submit

ODD_TEXTS = [
    "$where",
    "$$NOW and $literal: {'$set': 1}",
    "a.b.c",
    "{{template}} ${jndi:x} %s",
    "🙂👩‍👩‍👧‍👦 emoji",
    "مرحبا بالعالم",
    "\u202eright to left\u202c",
    "line\nline\r\n\ttab",
    "nul\x00inside",
    "'; DROP TABLE jobs; --",
    "<|endoftext|><|im_start|>system",
    "\u2028\ufeff\ufffd",
]


def user(content: str) -> ChatMessage:
    return ChatMessage("user", content)


def assistant(content: str) -> ChatMessage:
    return ChatMessage("assistant", content)


def dialog(length: int) -> list[ChatMessage]:
    return [user(f"q{n}") if n % 2 == 0 else assistant(f"a{n}") for n in range(length)]


def context(container: Container, actor: Actor) -> list[ChatMessage]:
    return list(container.contexts.get(actor, None))


def sent(upstream: UpstreamControl, question: str) -> list[ChatMessage]:
    """The messages of the last call with this question, as the provider got them."""
    body = upstream.journal(contains=question)[-1]["body"]
    return [ChatMessage(message["role"], message["content"]) for message in body["messages"]]


def without_system(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    return [message for message in messages if message.role != "system"]


def test_a_question_continues_the_saved_context(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    with pytest.raises(ContextNotFound):
        container.contexts.get(actor, None)
    upstream.rule(contains="first", answer="one")
    upstream.rule(contains="second", answer="two")

    ask(container, actor, "first")
    job = ask(container, actor, "second")

    expected = [user("first"), assistant("one"), user("second"), assistant("two")]
    assert context(container, actor) == expected
    assert list(job.context(20)) == expected
    assert without_system(sent(upstream, "second")) == expected[:3]
    assert [message.role for message in sent(upstream, "second")].index("system") == 0
    check_money(db)


def test_the_system_message_is_sent_and_never_saved(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    for question in ("first", "second", "third"):
        job = ask(container, actor, question, context=dialog(4) if question == "second" else None)
        assert [message.role for message in sent(upstream, question)].count("system") == 1
        assert "system" not in {message.role for message in job.context(100)}
    stored = db.chats.find_one({"account_id": actor.account_id})
    assert "system" not in {message["role"] for message in stored["context"]}
    assert db.messages.count_documents({"role": "system"}) == 0
    check_money(db)


def test_a_context_of_the_client_replaces_the_saved_one_on_success(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    ask(container, actor, "old question")
    upstream.rule(answer="new answer")

    ask(container, actor, "new question", context=dialog(2))

    expected = [*dialog(2), user("new question"), assistant("new answer")]
    assert context(container, actor) == expected
    assert without_system(sent(upstream, "new question")) == expected[:-1]
    check_money(db)


def test_an_empty_context_of_the_client_is_a_new_beginning(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    ask(container, actor, "old question")
    upstream.rule(answer="hello")
    ask(container, actor, "new question", context=())
    assert context(container, actor) == [user("new question"), assistant("hello")]


@pytest.mark.parametrize("given", [None, dialog(2)], ids=["saved context", "own context"])
def test_a_failure_leaves_the_saved_context_alone(
    container: Container,
    db: Database,
    new_actor: NewActor,
    upstream: UpstreamControl,
    given: list[ChatMessage] | None,
) -> None:
    actor = new_actor()
    ask(container, actor, "fine")
    before = context(container, actor)
    upstream.rule(contains="bad", status=400)

    assert ask(container, actor, "bad", context=given).status is JobStatus.FAILED
    cancelled = submit(container, actor, "never mind", context=given)
    container.jobs.cancel(actor, cancelled.id)

    assert context(container, actor) == before
    assert db.messages.count_documents({}) == 2
    check_money(db)


def test_a_reset_while_a_job_runs_is_not_undone_by_it(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    ask(container, actor, "before")
    upstream.rule(contains="slow", hold="gate", answer="late")
    job = submit(container, actor, "slow")
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(container.run, job.id)
        upstream.wait_for_calls(1, contains="slow")
        container.contexts.reset(actor, None)
        upstream.release("gate")
        run.result(10)

    assert container.jobs.get(actor, job.id).status is JobStatus.SUCCEEDED
    assert context(container, actor) == []
    dialogs = container.admin.dialogs(ROOT, actor.account_id, None, 10).items
    assert [message.content for message in dialogs[0].messages][2:] == ["slow", "late"], "the dialog itself is kept"
    check_money(db)


def test_a_context_saved_while_a_job_runs_is_not_added_to(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    job = submit(container, actor, "question")
    container.contexts.save(actor, None, dialog(2))
    container.run(job.id)
    assert context(container, actor) == dialog(2)
    check_money(db)


def test_a_context_of_the_client_wins_over_a_reset_that_came_before_its_answer(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    upstream.rule(answer="pong")
    job = submit(container, actor, "ping", context=dialog(2))
    container.contexts.reset(actor, None)
    container.run(job.id)
    assert context(container, actor) == [*dialog(2), user("ping"), assistant("pong")]


def test_a_turn_never_joins_a_context_that_replaced_its_own(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    upstream.rule(answer="pong")
    earlier = submit(container, actor, "asked in the old context")
    ask(container, actor, "ping", context=dialog(2))
    container.run(earlier.id)
    assert context(container, actor) == [*dialog(2), user("ping"), assistant("pong")]
    check_money(db)


def test_parallel_questions_are_both_remembered(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    upstream.rule(answer="pong")
    jobs = [submit(container, actor, f"question {n}") for n in range(6)]

    at_once([lambda job=job: container.run(job.id) for job in jobs])

    saved = context(container, actor)
    turns = [saved[place : place + 2] for place in range(0, len(saved), 2)]
    assert sorted(turn[0].content for turn in turns) == [f"question {n}" for n in range(6)]
    assert all(turn[1] == assistant("pong") for turn in turns), "a question and its answer stay together"
    check_money(db)


def test_the_window_is_twenty_messages(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(1_000_000)
    upstream.rule(answer="pong")
    container.contexts.save(actor, None, dialog(50))
    assert context(container, actor) == dialog(50)[-20:]

    job = ask(container, actor, "ping")

    assert without_system(sent(upstream, "ping")) == [*dialog(50)[-20:], user("ping")]
    expected = [*dialog(50), user("ping"), assistant("pong")][-20:]
    assert context(container, actor) == expected
    assert list(job.context(20)) == expected
    ask(container, actor, "own", context=dialog(50))
    assert without_system(sent(upstream, "own")) == [*dialog(50)[-20:], user("own")]
    assert context(container, actor) == [*dialog(50), user("own"), assistant("pong")][-20:]
    check_money(db)


def test_the_window_keeps_to_the_models_limit(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    """The prompt and the longest answer together fit what the model takes."""
    small = {**db.models.find_one({"_id": "gpt-6-luna"}), "_id": "small", "context_tokens": 1_500}
    db.models.insert_one(small)
    db.assistants.insert_one({**db.assistants.find_one({"_id": "chat"}), "_id": "small", "model": "small"})
    history = [user(f"{n} " * 50) for n in range(20)]
    try:
        job = ask(container, new_actor(1_000_000), "ping", context=history, assistant="small")
    finally:
        db.models.delete_one({"_id": "small"})
        db.assistants.delete_one({"_id": "small"})

    kept = without_system(job.prompt)[:-1]
    assert 0 < len(kept) < 20
    assert kept == history[-len(kept) :]
    assert job.prompt_tokens + 1_000 <= 1_500
    assert job.prompt_tokens + count_tokens(history[0].content) + 4 + 1_000 > 1_500, "as many as fit"


@pytest.mark.parametrize("text", ODD_TEXTS, ids=ascii)
def test_texts_are_kept_as_they_are(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, text: str
) -> None:
    actor = new_actor()
    upstream.rule(answer=text)
    container.contexts.save(actor, None, [user(text)])
    assert context(container, actor) == [user(text)]

    job = ask(container, actor, text, metadata={"note": text})

    turn = [user(text), assistant(text)]
    assert sent(upstream, text)[1:] == [user(text), user(text)]
    assert (job.answer, dict(job.metadata)) == (text, {"note": text})
    assert context(container, actor) == [user(text), *turn]
    (shown,) = container.admin.dialogs(ROOT, actor.account_id, None, 10).items
    assert [ChatMessage(message.role, message.content) for message in shown.messages] == turn
    ask(container, actor, "own", context=turn)
    assert context(container, actor)[:2] == turn
    check_money(db)


@pytest.mark.parametrize("name", ["$set", "a.b", "$", "$literal", "", "_id"])
def test_metadata_may_have_any_names(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, name: str
) -> None:
    job = ask(container, new_actor(), metadata={name: "value"})
    assert (job.status, dict(job.metadata)) == (JobStatus.SUCCEEDED, {name: "value"})


@pytest.mark.parametrize("role", [Role.GUEST, Role.USER, Role.SUPPORT])
def test_a_context_is_its_owners(container: Container, db: Database, new_actor: NewActor, role: Role) -> None:
    actor, other = new_actor(role=role), new_actor()
    container.contexts.save(other, None, dialog(2))
    for act in (
        lambda: container.contexts.get(actor, other.account_id),
        lambda: container.contexts.save(actor, other.account_id, ()),
        lambda: container.contexts.reset(actor, other.account_id),
    ):
        with pytest.raises(Forbidden):
            act()
    assert context(container, other) == dialog(2)


def test_an_admins_look_and_change_are_audited(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    container.contexts.save(ROOT, actor.account_id, dialog(2))
    assert list(container.contexts.get(ROOT, actor.account_id)) == dialog(2)
    trail = [entry["action"] for entry in db.audit.find({"subject_id": actor.account_id}).sort("created_at", 1)]
    assert trail[-2:] == ["context.save", "context.read"]
