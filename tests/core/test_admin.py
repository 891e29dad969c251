"""What operators may do and see, who else may not, and that nothing of it goes unrecorded."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.chat import ChatMessage
from service.domain.errors import BalanceTooLow, Forbidden, InsufficientTokens, NotFound, ValidationFailed
from service.domain.jobs import JobStatus
from service.domain.plans import Plan
from service.usecases.admin import AdminService
from service.usecases.ports import JobQuery, UserQuery
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, ask, key, set_balance, submit, wallet

NOBODY = "nobody"


@dataclass(frozen=True)
class Deed:
    """One method of the administration. `action` is its name in the audit trail, if it changes or shows a dialog."""

    do: Callable[[AdminService, Actor, str, str], Any]
    action: str | None = None
    changes: bool = False
    needs_somebody: bool = True


DEEDS: dict[str, Deed] = {
    "users": Deed(lambda admin, actor, user, job: admin.users(actor, UserQuery()), needs_somebody=False),
    "user": Deed(lambda admin, actor, user, job: admin.user(actor, user)),
    "card": Deed(lambda admin, actor, user, job: admin.card(actor, user)),
    "ledger": Deed(lambda admin, actor, user, job: admin.ledger(actor, user)(None, 10), "ledger.read"),
    "dialogs": Deed(lambda admin, actor, user, job: admin.dialogs(actor, user, None, 10), "dialogs.read"),
    "jobs": Deed(lambda admin, actor, user, job: admin.jobs(actor, JobQuery()), needs_somebody=False),
    "overview": Deed(lambda admin, actor, user, job: admin.overview(actor), needs_somebody=False),
    "audit_trail": Deed(lambda admin, actor, user, job: admin.audit_trail(actor, None, None, 10), needs_somebody=False),
    "set_balance": Deed(
        lambda admin, actor, user, job: admin.set_balance(actor, user, 5, "why", None), "balance.set", changes=True
    ),
    "adjust_balance": Deed(
        lambda admin, actor, user, job: admin.adjust_balance(actor, user, 5, "why", None),
        "balance.adjust",
        changes=True,
    ),
    "adjust_credits": Deed(
        lambda admin, actor, user, job: admin.adjust_credits(actor, user, 5, "why", None),
        "credits.adjust",
        changes=True,
    ),
    "set_blocked": Deed(
        lambda admin, actor, user, job: admin.set_blocked(actor, user, True), "account.block", changes=True
    ),
    "set_role": Deed(
        lambda admin, actor, user, job: admin.set_role(actor, user, Role.SUPPORT), "account.role", changes=True
    ),
    "set_plan": Deed(
        lambda admin, actor, user, job: admin.set_plan(actor, user, Plan.BASIC), "account.plan", changes=True
    ),
    "cancel_job": Deed(lambda admin, actor, user, job: admin.cancel_job(actor, job), "job.cancel", changes=True),
    "retry_job": Deed(lambda admin, actor, user, job: admin.retry_job(actor, job), "job.retry", changes=True),
}
CHANGES = [name for name, deed in DEEDS.items() if deed.changes]
READS = [name for name, deed in DEEDS.items() if not deed.changes]


@pytest.fixture
def victim(container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl) -> tuple[Actor, str]:
    """Somebody with a dialog and a failed job."""
    actor = new_actor(10_000)
    ask(container, actor)
    upstream.rule(times=1, status=400)
    return actor, ask(container, actor, "bad").id


def state(db: Database) -> dict[str, list[dict]]:
    names = ("accounts", "wallets", "credits", "ledger", "jobs", "sessions", "messages", "audit")
    return {name: sorted(db[name].find(), key=lambda row: str(row["_id"])) for name in names}


def test_every_method_is_in_the_table() -> None:
    methods = {name for name, _ in inspect.getmembers(AdminService, inspect.isfunction) if not name.startswith("_")}
    assert methods == set(DEEDS)


@pytest.mark.parametrize("role", [Role.GUEST, Role.USER])
def test_others_may_nothing_at_all(
    container: Container, db: Database, victim: tuple[Actor, str], role: Role, subtests: pytest.Subtests
) -> None:
    user, job_id = victim
    before = state(db)
    for name, deed in DEEDS.items():
        for actor in (Actor("somebody", role, "r"), Actor(user.account_id, role, "r")):
            with subtests.test(name), pytest.raises(Forbidden):
                deed.do(container.admin, actor, user.account_id, job_id)
    assert state(db) == before


def test_support_may_change_nothing(
    container: Container, db: Database, victim: tuple[Actor, str], subtests: pytest.Subtests
) -> None:
    user, job_id = victim
    before = state(db)
    for name in CHANGES:
        with subtests.test(name), pytest.raises(Forbidden):
            DEEDS[name].do(container.admin, Actor("support", Role.SUPPORT, "r"), user.account_id, job_id)
    assert state(db) == before


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.ADMIN])
def test_staff_may_see_and_a_look_at_a_dialog_is_recorded(
    container: Container, db: Database, victim: tuple[Actor, str], role: Role, subtests: pytest.Subtests
) -> None:
    user, job_id = victim
    for name in READS:
        before = state(db)
        with subtests.test(name):
            DEEDS[name].do(container.admin, Actor("staff", role, "req-1"), user.account_id, job_id)
            after = state(db)
            known = before.pop("audit")
            trail = [entry for entry in after.pop("audit") if entry not in known]
            assert after == before
            expected = [(DEEDS[name].action, "staff", user.account_id, "req-1")] if DEEDS[name].action else []
            assert [(e["action"], e["actor_id"], e["subject_id"], e["request_id"]) for e in trail] == expected


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_is_recorded(container: Container, db: Database, victim: tuple[Actor, str], name: str) -> None:
    user, job_id = victim
    db.audit.delete_many({})
    DEEDS[name].do(container.admin, Actor("boss", Role.ADMIN, "req-2"), user.account_id, job_id)
    (entry,) = container.admin.audit_trail(ROOT, None, None, 10).items
    assert (entry.action, entry.actor_id, entry.subject_id, entry.request_id) == (
        DEEDS[name].action,
        "boss",
        user.account_id,
        "req-2",
    )
    check_money(db)


def test_nobody_and_no_job_are_not_found(container: Container, db: Database, subtests: pytest.Subtests) -> None:
    for name in (name for name, deed in DEEDS.items() if deed.needs_somebody):
        with subtests.test(name), pytest.raises(NotFound):
            DEEDS[name].do(container.admin, ROOT, NOBODY, NOBODY)
    for collection in ("wallets", "ledger", "jobs", "sessions", "accounts"):
        assert db[collection].count_documents({}) == 0


@pytest.mark.parametrize("name", ["set_blocked", "set_role"])
def test_an_admin_does_not_shut_out_itself(container: Container, db: Database, name: str) -> None:
    container.accounts.create_admin("root", "long enough")
    root_id = db.accounts.find_one({})["_id"]
    with pytest.raises(ValidationFailed):
        DEEDS[name].do(container.admin, Actor(root_id, Role.ADMIN, "r"), root_id, NOBODY)


def test_details_of_changes_are_recorded(container: Container, db: Database, new_actor: NewActor) -> None:
    user_id = new_actor(100).account_id
    container.admin.set_balance(ROOT, user_id, 70, "typo", 100)
    container.admin.adjust_balance(ROOT, user_id, -20, "fee", None)
    container.admin.set_plan(ROOT, user_id, Plan.PREMIUM)
    newest = container.admin.audit_trail(ROOT, user_id, None, 3).items
    assert [(entry.action, dict(entry.details)) for entry in newest] == [
        ("account.plan", {"plan": "PREMIUM"}),
        ("balance.adjust", {"delta": -20, "reason": "fee"}),
        ("balance.set", {"amount": 70, "expected": 100, "reason": "typo"}),
    ]


def test_an_adjustment_with_a_key_happens_once(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(100)
    for _ in range(2):
        assert container.admin.adjust_balance(ROOT, actor.account_id, -30, "fee", key(ROOT)).available == 70
    check_money(db)


def test_a_failed_job_is_asked_again_as_a_new_one(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(10_000)
    upstream.rule(times=1, status=400)
    own = [ChatMessage("user", "q"), ChatMessage("assistant", "a")]
    failed = ask(container, actor, "ping", context=own, metadata={"chat": 7})
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})

    retried = container.admin.retry_job(ROOT, failed.id)
    container.run(retried.id)
    done = container.jobs.get(actor, retried.id)

    assert retried.id != failed.id
    assert (done.account_id, done.status, done.charged) == (actor.account_id, JobStatus.SUCCEEDED, 38)
    assert (done.prompt, dict(done.metadata), done.channel) == (failed.prompt, {"chat": 7}, failed.channel)
    assert wallet(container, actor) == (10_000 - 38, 0)
    assert list(container.contexts.get(actor, None)) == [*own, done.message, ChatMessage("assistant", "pong")]
    assert container.jobs.get(actor, failed.id).status is JobStatus.FAILED
    check_money(db)


def test_a_retry_continues_the_context_of_now(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor(10_000)
    upstream.rule(times=1, status=400)
    failed = ask(container, actor, "ping")
    upstream.rule(answer="pong")
    ask(container, actor, "meanwhile")
    retried = container.admin.retry_job(ROOT, failed.id)
    said = [message.content for message in retried.prompt if message.role != "system"]
    assert said == ["meanwhile", "pong", "ping"]


def test_no_key_of_a_client_stands_in_the_way_of_a_retry(
    container: Container, db: Database, victim: tuple[Actor, str]
) -> None:
    user, job_id = victim
    submit(container, user, idempotency=key(user, f"retry:{job_id}"))
    assert container.admin.retry_job(ROOT, job_id).account_id == user.account_id
    check_money(db)


def test_a_retry_is_paid_for(container: Container, db: Database, victim: tuple[Actor, str]) -> None:
    user, job_id = victim
    set_balance(container, user, 0)
    with pytest.raises(InsufficientTokens):
        container.admin.retry_job(ROOT, job_id)
    check_money(db)


def test_only_what_failed_is_asked_again(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    waiting, done, cancelled = submit(container, actor), ask(container, actor), submit(container, actor)
    container.admin.cancel_job(ROOT, cancelled.id)
    for job in (waiting, done, cancelled):
        with pytest.raises(ValidationFailed):
            container.admin.retry_job(ROOT, job.id)
    assert db.jobs.count_documents({}) == 3


def test_a_blocked_accounts_jobs_end_as_they_would(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl
) -> None:
    actor = new_actor()
    job = submit(container, actor)
    container.admin.set_blocked(ROOT, actor.account_id, True)
    container.run(job.id)
    assert container.jobs.get(ROOT, job.id).status is JobStatus.SUCCEEDED
    check_money(db)


def test_a_refused_change_is_recorded_as_refused(container: Container, db: Database, victim: tuple[Actor, str]) -> None:
    user, _ = victim
    db.audit.delete_many({})
    with pytest.raises(BalanceTooLow):
        container.admin.adjust_balance(ROOT, user.account_id, -(10**9), "too much", None)
    with pytest.raises(NotFound):
        container.admin.set_plan(ROOT, "nobody", Plan.BASIC)
    container.admin.set_plan(ROOT, user.account_id, Plan.BASIC)
    assert sorted((entry["action"], entry["outcome"]) for entry in db.audit.find()) == [
        ("account.plan", "NOT_FOUND"),
        ("account.plan", "done"),
        ("balance.adjust", "BALANCE_TOO_LOW"),
    ]
