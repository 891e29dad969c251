"""What tests of credits say often. Their questions are the coach's: those are paid in credits."""

import os
from datetime import timedelta
from typing import Any

from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.jobs import Job
from service.domain.plans import Credits
from tests.core.support import ROOT
from tests.core.support import ask as ask_anybody
from tests.core.support import submit as submit_to_anybody

# 100 of 100 were exact when it was last run so often: MONEY_REPETITIONS=100.
REPETITIONS = int(os.environ.get("MONEY_REPETITIONS", "10"))
A_DAY = timedelta(days=1)


def submit(container: Container, actor: Actor, **fields: Any) -> Job:
    return submit_to_anybody(container, actor, assistant="coach", **fields)


def ask(container: Container, actor: Actor, **fields: Any) -> Job:
    return ask_anybody(container, actor, assistant="coach", **fields)


def credits_of(container: Container, actor: Actor) -> Credits:
    return container.billing.credits(actor, None)


def remaining(container: Container, actor: Actor) -> int | None:
    return credits_of(container, actor).remaining


def entries(db: Database, wallet_id: str) -> list[tuple[str, int, int]]:
    """Kind, amount and what is held afterwards, oldest first."""
    rows = db.ledger.find({"account_id": wallet_id}).sort("seq", 1)
    return [(row["kind"], row["amount"], row["held_after"]) for row in rows]


def months(db: Database, actor: Actor) -> list[tuple[str, int]]:
    """The grants and what expired, oldest first."""
    found = entries(db, f"{actor.account_id}:credits")
    return [(kind, amount) for kind, amount, _ in found if kind in ("grant", "expire")]


def give_extra(container: Container, actor: Actor, amount: int) -> None:
    container.admin.adjust_credits(ROOT, actor.account_id, amount, "a gift", None)
