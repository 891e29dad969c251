"""An admin may act on anybody's behalf, but only on somebody's, and it is recorded."""

from collections.abc import Callable

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.errors import Forbidden, NotFound
from service.usecases.jobs import Submission
from service.usecases.ports import JobQuery

NewActor = Callable[..., Actor]
ADMIN = Actor(account_id="root", role=Role.ADMIN, request_id="req-9")
DEEDS: dict[str, Callable[[Container, Actor, str], object]] = {
    "context.read": lambda c, actor, user: c.contexts.get(actor, user),
    "context.save": lambda c, actor, user: c.contexts.save(actor, user, ()),
    "billing.read": lambda c, actor, user: c.billing.statement(actor, user),
    "ledger.read": lambda c, actor, user: c.billing.ledger(actor, user)(None, 10),
    "usage.read": lambda c, actor, user: c.billing.usage(actor, user, "2026-01-01", "2026-12-31", "day"),
    "balance.topup": lambda c, actor, user: c.billing.top_up(actor, user, 5, None),
    "jobs.read": lambda c, actor, user: c.jobs.page(actor, JobQuery(account_id=user)),
    "chat.ask": lambda c, actor, user: c.jobs.submit(actor, Submission(message="hi", channel="api", user_id=user)),
}


@pytest.mark.parametrize("action", DEEDS)
def test_naming_nobody_is_not_found_and_leaves_nothing(container: Container, db: Database, action: str) -> None:
    with pytest.raises(NotFound):
        DEEDS[action](container, ADMIN, "nobody")
    assert {name: db[name].count_documents({}) for name in ("sessions", "jobs", "ledger", "audit")} == {
        "sessions": 0,
        "jobs": 0,
        "ledger": 0,
        "audit": 0,
    }


@pytest.mark.parametrize("action", DEEDS)
def test_naming_somebody_is_recorded(container: Container, db: Database, new_actor: NewActor, action: str) -> None:
    user = new_actor()
    container.contexts.reset(user, None)
    db.audit.delete_many({})
    DEEDS[action](container, ADMIN, user.account_id)
    (entry,) = db.audit.find()
    assert (entry["action"], entry["actor_id"], entry["subject_id"]) == (action, "root", user.account_id)


@pytest.mark.parametrize("role", [Role.USER, Role.SUPPORT, Role.GUEST])
@pytest.mark.parametrize("action", DEEDS)
def test_anybody_else_is_refused(
    container: Container, db: Database, new_actor: NewActor, action: str, role: Role
) -> None:
    user, stranger = new_actor(), new_actor(role=role)
    with pytest.raises(Forbidden):
        DEEDS[action](container, stranger, user.account_id)


def test_reading_and_cancelling_somebodys_job_is_recorded(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    user = new_actor()
    job = container.jobs.submit(user, Submission(message="private", channel="api"))
    db.audit.delete_many({})
    container.jobs.get(ADMIN, job.id)
    container.jobs.cancel(ADMIN, job.id)
    assert [(entry["action"], entry["details"]["job_id"]) for entry in db.audit.find().sort("created_at")] == [
        ("job.read", job.id),
        ("job.cancel", job.id),
    ]
