"""How often a question, an answer and a request's recognition go to MongoDB. A number that grows is to be noticed."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.errors import InsufficientTokens
from tests.core.queries import RECORDER
from tests.core.support import ROOT, NewActor, ask, key, new_key, program_of, submit
from tests.core.test_accounts import HERE, PASSWORD, actor_of, register

RESERVE = ["findAndModify wallets", "update jobs", "insert ledger", "commitTransaction"]
SETTLE_ANSWER = [
    "findAndModify wallets",
    "findAndModify jobs",
    "insert ledger",
    "findAndModify chats",
    "insert messages",
    "update sessions",
    "update usage",
    "commitTransaction",
]
STATEMENT = ["find accounts", "find wallets", "find credits"]
SETTLE_NOTHING = [*SETTLE_ANSWER[:3], "update usage", "commitTransaction"]


@pytest.fixture
def actor(container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl) -> Actor:
    """Somebody who has asked before: the session is there, and models and assistants are remembered."""
    actor = new_actor(1_000_000)
    ask(container, actor)
    return actor


def sent(call: Callable[[], object]) -> list[str]:
    """The commands that the call sends, in order."""
    with RECORDER.sent() as commands:
        call()
    return commands


def test_a_question(container: Container, actor: Actor) -> None:
    assert sent(lambda: submit(container, actor)) == ["find chats", *RESERVE]


def test_a_question_with_a_key(container: Container, actor: Actor) -> None:
    keyed = ["find idempotency", "find chats", RESERVE[0], "insert idempotency", *RESERVE[1:]]
    assert sent(lambda: submit(container, actor, idempotency=key(actor))) == keyed
    assert sent(lambda: submit(container, actor, idempotency=key(actor))) == ["find idempotency", "find jobs"]


def test_a_first_question(container: Container, actor: Actor, new_actor: NewActor) -> None:
    newcomer = new_actor()
    opens = ["update sessions", "update chats"]
    assert sent(lambda: submit(container, newcomer)) == [
        "find chats",
        "find successors",
        RESERVE[0],
        *opens,
        *RESERVE[1:],
    ]


def test_a_refused_question(container: Container, actor: Actor) -> None:
    container.admin.set_balance(ROOT, actor.account_id, 0, "", None)

    def refused() -> None:
        with pytest.raises(InsufficientTokens):
            submit(container, actor)

    assert sent(refused) == ["find chats", "findAndModify wallets", "find wallets", "abortTransaction"]


def test_an_answer(container: Container, actor: Actor) -> None:
    job = submit(container, actor)
    assert sent(lambda: container.run(job.id)) == ["findAndModify jobs", *SETTLE_ANSWER]


def test_an_answer_that_is_shown(container: Container, actor: Actor) -> None:
    """However many pieces it has: the first one is made known, and later what there is every few seconds."""
    job = submit(container, actor, stream=True)
    assert sent(lambda: container.run(job.id)) == ["findAndModify jobs", "update jobs", *SETTLE_ANSWER]


def test_an_answer_to_a_context_of_the_client(container: Container, actor: Actor) -> None:
    job = submit(container, actor, context=())
    assert sent(lambda: container.run(job.id)) == ["findAndModify jobs", *SETTLE_ANSWER]


def test_an_answer_with_webhooks(container: Container, actor: Actor) -> None:
    container.webhooks.create(actor, {"url": "https://example.com/"})
    job = submit(container, actor, callback_url="https://example.com/")
    told = [*SETTLE_ANSWER[:-1], "find endpoints", "insert deliveries", SETTLE_ANSWER[-1]]
    assert sent(lambda: container.run(job.id)) == ["findAndModify jobs", *told]


def test_a_failure(container: Container, actor: Actor, upstream: UpstreamControl) -> None:
    upstream.rule(status=400)
    job = submit(container, actor)
    assert sent(lambda: container.run(job.id)) == ["findAndModify jobs", *SETTLE_NOTHING]


def test_a_question_that_costs_a_credit(container: Container, actor: Actor) -> None:
    """As often as any other within a month, but for who asks without a limit; the first one makes the wallets."""
    ask(container, actor, assistant="coach")
    held = ["findAndModify credits", *RESERVE[1:]]
    asked = sent(lambda: submit(container, actor, assistant="coach"))
    assert asked == ["find chats", "find accounts", "find credits", *held]
    job = submit(container, actor, assistant="coach")
    paid = ["findAndModify credits", "findAndModify wallets", "find credits"]
    assert sent(lambda: container.run(job.id)) == ["findAndModify jobs", *paid, *SETTLE_ANSWER[1:]]


def test_a_question_that_is_free(container: Container, actor: Actor) -> None:
    guest = replace(actor, role=Role.GUEST)
    submit(container, guest, assistant="stream")
    assert sent(lambda: submit(container, guest, assistant="stream")) == ["find chats", *RESERVE]


def test_a_message_for_a_job_that_is_done(container: Container, actor: Actor) -> None:
    job = ask(container, actor)
    assert sent(lambda: container.run(job.id)) == ["findAndModify jobs"]


def test_a_cancel(container: Container, actor: Actor) -> None:
    job = submit(container, actor)
    assert sent(lambda: container.jobs.cancel(actor, job.id)) == ["find jobs", *SETTLE_NOTHING]


def test_a_look_at_a_job(container: Container, actor: Actor) -> None:
    job = submit(container, actor)
    assert sent(lambda: container.jobs.get(actor, job.id)) == ["find jobs"]
    assert sent(lambda: container.contexts.get(actor, None)) == ["find chats"]
    assert sent(lambda: container.billing.statement(actor, None)) == STATEMENT


def test_recognising_a_token(container: Container, db: Database) -> None:
    anna = register(container)
    token = (anna.account.id, anna.login.id, 0)
    assert sent(lambda: container.accounts.recognise(*token)) == ["find accounts", "update accounts"]
    assert sent(lambda: container.accounts.recognise(*token)) == ["find accounts"]


def test_recognising_a_key(container: Container, db: Database, new_actor: NewActor) -> None:
    issued = new_key(container, new_actor())
    touches = ["update keys", "update accounts"]
    assert sent(lambda: container.keys.recognise(issued.secret)) == ["aggregate keys", *touches]
    assert sent(lambda: container.keys.recognise(issued.secret)) == ["aggregate keys"]


def test_a_question_of_a_keys_end_user(container: Container, db: Database, new_actor: NewActor) -> None:
    program = program_of(new_key(container, new_actor()))
    created = ["insert accounts", "insert wallets", "commitTransaction"]
    first = sent(lambda: container.billing.top_up(program, "4242", 1_000_000, None))
    assert first[:5] == ["find accounts", *created, "update accounts"]
    submit(container, program, user_id="4242")
    asked = sent(lambda: submit(container, program, user_id="4242"))
    assert asked == ["find accounts", "find chats", *RESERVE]


def test_a_question_of_a_linked_end_user(container: Container, db: Database, new_actor: NewActor) -> None:
    """One read more than any other of a program: the account that pays may be blocked."""
    vera, program = new_actor(1_000_000), program_of(new_key(container, new_actor()))
    container.links.confirm(program, "4242", container.links.issue(vera).code)
    submit(container, program, user_id="4242")
    asked = sent(lambda: submit(container, program, user_id="4242"))
    assert asked == ["find accounts", "find accounts", "find chats", *RESERVE]


def test_an_answer_to_a_programs_end_user(container: Container, db: Database, new_actor: NewActor) -> None:
    """One read more: the program's account may have webhook endpoints."""
    program = program_of(new_key(container, new_actor()))
    container.billing.top_up(program, "4242", 1_000_000, None)
    job = submit(container, program, user_id="4242")
    told = [*SETTLE_ANSWER[:-1], "find endpoints", SETTLE_ANSWER[-1]]
    assert sent(lambda: container.run(job.id)) == ["findAndModify jobs", *told]


def test_logging_in(container: Container, db: Database) -> None:
    anna = register(container)
    log_in = sent(lambda: container.accounts.log_in("anna", PASSWORD, address=HERE))
    assert log_in == ["find accounts", "update accounts"]
    assert sent(lambda: container.accounts.log_out(actor_of(anna), everywhere=False)) == ["update accounts"]


def test_upkeep_with_nothing_to_do(container: Container, db: Database) -> None:
    container.upkeep()
    assert sent(container.upkeep) == [
        "findAndModify leases",
        "find jobs",
        "find jobs",
        "find deliveries",
        "aggregate deliveries",
        "find accounts",
        "findAndModify erasures",
    ]
