"""What tests of the engine say often, in few words."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import mongoengine
from pymongo.database import Database

from service.adapters.mongo.connection import Transactions
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.jobs import Job
from service.domain.keys import Scope
from service.usecases.accounts import AccountService
from service.usecases.jobs import Submission
from service.usecases.keys import IssuedKey, NewKey
from service.usecases.places import named
from service.usecases.ports import Clock, IdempotencyKey, Upstream
from service.usecases.run import RunService

NewActor = Callable[..., Actor]
Calls = list[Callable[[], Any]]

ROOT = Actor(account_id="root", role=Role.ADMIN, request_id="root-request")


def transactions() -> Transactions:
    """On the connection of this process."""
    return Transactions(mongoengine.get_connection(), timeout_seconds=20)


def submit(
    container: Container,
    actor: Actor,
    message: str = "ping",
    *,
    session_id: str | None = None,
    chat_id: str | None = None,
    **fields: Any,
) -> Job:
    fields.setdefault("place", named(session_id, chat_id))
    return container.jobs.submit(actor, Submission(message=message, channel="api", **fields))


def ask(container: Container, actor: Actor, message: str = "ping", **fields: Any) -> Job:
    """Submit and run a job in this process; the job as it is afterwards."""
    job = submit(container, actor, message, **fields)
    container.run(job.id)
    return container.jobs.get(actor, job.id)


def lose_worker(container: Container, db: Database, job: Job) -> None:
    """Claim the job as a worker that then dies: its lease runs out."""
    claimed = container.run._jobs.claim(job.id, "a lost worker", 30)
    assert claimed is not None
    db.jobs.update_one({"_id": job.id}, {"$set": {"lease_until": datetime.now(UTC) - timedelta(minutes=10)}})


def runner_with(container: Container, upstream: Upstream) -> RunService:
    """The container's worker with another model provider."""
    run = copy(container.run)
    run._upstream = upstream
    return run


def new_key(container: Container, owner: Actor, **wanted: Any) -> IssuedKey:
    """A key of this account; the scope that only admins grant is granted."""
    scopes = wanted.pop("scopes", tuple(Scope))
    issued = container.keys.create(owner, NewKey(**{"name": "program", **wanted, "scopes": (Scope.CHAT,)}))
    return IssuedKey(container.keys.grant(ROOT, issued.key.id, scopes), issued.secret)


def program_of(issued: IssuedKey) -> Actor:
    """The program that has this key."""
    return Actor(account_id=issued.key.account_id, role=Role.USER, request_id="test-request", key=issued.key)


def limits_left(container: Container, actor: Actor, user_id: str | None = None) -> tuple[int, int]:
    """How many questions may be asked a minute, and how many are left."""
    quota = container.jobs.quota(actor, user_id)
    return quota.limit, quota.remaining


def set_balance(container: Container, actor: Actor, tokens: int) -> None:
    container.admin.set_balance(ROOT, actor.account_id, tokens, "test", None)


def wallet(container: Container, actor: Actor) -> tuple[int, int]:
    """What is available and what is held."""
    stated = container.billing.statement(actor, None).wallet
    return stated.available, stated.held


def key(actor: Actor, name: str = "key", fingerprint: str = "body") -> IdempotencyKey:
    return IdempotencyKey(account_id=actor.account_id, key=name, fingerprint=fingerprint)


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Call them all at the same moment, each in a thread; their results, or the exceptions they raised, in order."""
    start = threading.Barrier(len(calls))

    def guarded(call: Callable[[], Any]) -> Any:
        start.wait()
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the caller looks at it
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(guarded, calls))


def spread(
    call: Callable[..., Any], processes: Sequence[Container], times: int, *arguments: Any, **named: Any
) -> Calls:
    """The same call, by each process in turn; the container is its first argument."""
    return [partial(call, processes[n % len(processes)], *arguments, **named) for n in range(times)]


def kinds(results: Sequence[Any]) -> dict[str, int]:
    """How many results there are of each class."""
    found: dict[str, int] = {}
    for result in results:
        found[type(result).__name__] = found.get(type(result).__name__, 0) + 1
    return found


class SettableClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time


def accounts_with(container: Container, clock: Clock | None = None, **policy: Any) -> AccountService:
    """The container's accounts with another clock or policy."""
    accounts = container.accounts
    return AccountService(
        accounts=accounts._accounts,
        passwords=accounts._passwords,
        rate_limits=accounts._rate_limits,
        clock=clock or accounts._clock,
        policy=replace(accounts._policy, **policy),
    )


def plan_of(*modules: str, lessons: int = 1) -> dict[str, Any]:
    """A plan whose modules have these titles and so many lessons each."""
    return {
        "title": "course",
        "description": "",
        "modules": [
            {
                "title": title,
                "description": f"about {title}",
                "lessons": [
                    {"title": f"{title} {number}", "description": "", "duration_minutes": 30}
                    for number in range(lessons)
                ],
            }
            for title in modules
        ],
    }
