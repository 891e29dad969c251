"""Every query of the service has an index for what it looks for and for the order it wants, on whatever grows.

The test hears the commands themselves, so it can't forget one: a method of an adapter that nobody calls here fails it,
and so does a query that the server would answer by reading or sorting a whole collection.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from pymongo.database import Database

import service.adapters.mongo
from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.usecases.ports import JobQuery
from tests.core.conftest import Build
from tests.core.queries import RECORDER, Query, complaints, explain
from tests.core.support import ROOT, NewActor, ask
from tests.core.test_accounts import actor_of, register
from tests.core.using import (
    use_accounts,
    use_admin,
    use_billing,
    use_codes,
    use_dialogs,
    use_erasing,
    use_jobs,
    use_keys,
    use_links,
    use_payments,
    use_standing,
    use_tracks,
    use_webhooks,
)

# Collections that don't grow with use: read whole as often as one likes.
SMALL = frozenset({"models", "assistants", "leases", "delivery_slots", "figures", "provider_models"})
GROWING = frozenset({"accounts", "audit", "idempotency", "jobs", "keys", "ledger", "messages", "sessions", "usage"})
GROWING |= {"wallets", "credits", "endpoints", "deliveries", "payments", "redeem_codes", "test_payments", "link_codes"}
GROWING |= {"request_days", "chats", "branches", "erasures", "successors", "tracks", "modules", "tutor_configs"}
# Method, what it may do, and why it may.
EXCEPTIONS: list[tuple[str, str, Callable[[Query], bool], str]] = [
    (
        "MongoAccounts._page_by_balance",
        "SORT",
        lambda query: "$in" in query.command["pipeline"][0]["$match"]["_id"],
        "the wallets of a thousand accounts at most",
    ),
    (
        "MongoAccounts.search",
        "SORT",
        lambda query: "login_keys" in query.command["filter"],
        "a search by the beginning of a name sorts what it found",
    ),
    (
        "MongoAccounts.search",
        "SORT",
        lambda query: query.command["filter"].get("blocked") is True,
        "the accounts that are blocked are few",
    ),
    (
        "MongoSearch._ids",
        "SORT",
        lambda query: "$text" in query.command["pipeline"][0]["$match"] and len(query.command["pipeline"]) == 4,
        "the most relevant of a thousand matches at most",
    ),
]


def expected_methods() -> set[str]:
    """Every public method of every adapter class on MongoDB."""
    found = set()
    for module in pkgutil.iter_modules(service.adapters.mongo.__path__):
        loaded = importlib.import_module(f"{service.adapters.mongo.__name__}.{module.name}")
        for name, kind in inspect.getmembers(loaded, inspect.isclass):
            if name.startswith("Mongo") and kind.__module__ == loaded.__name__:
                methods = [method for method, _ in inspect.getmembers(kind, inspect.isfunction)]
                found |= {f"{name}.{method}" for method in methods if not method.startswith("_")}
    return found


@pytest.fixture
def used(build: Build, db: Database, new_actor: NewActor, upstream: UpstreamControl) -> Container:
    """Everything was done once that reads or writes the database, among the data of others."""
    container = build()
    for number in range(30):
        other = new_actor()
        db.accounts.update_one({"_id": other.account_id}, {"$set": {"last_seen_at": datetime.now(UTC)}})
        if number % 3 == 0:
            ask(container, other)
    anna = actor_of(register(container))
    use_accounts(container, anna)
    use_jobs(container, db, anna)
    use_admin(container, anna)
    use_billing(container, anna)
    use_payments(container, db, anna)
    use_codes(container, anna)
    use_keys(container, anna)
    use_links(container, anna)
    use_tracks(container, db, anna)
    use_webhooks(container, anna)
    use_standing(db)
    use_dialogs(container, anna)
    use_erasing(container, db, anna)
    return container


def exception(query: Query, complaint: str) -> str | None:
    """The reason why this query may do this, if there is one."""
    for method, allowed, applies, reason in EXCEPTIONS:
        if query.method == method and complaint == allowed and applies(query):
            return reason
    return None


def test_every_query_has_an_index(used: Container, db: Database) -> None:
    assert expected_methods() - RECORDER.methods == set(), "call these in using.py, so that their queries are seen"
    assert {query.collection for query in RECORDER.queries.values()} <= GROWING | SMALL, "say whether it grows"
    found, excused = [], set()
    for query in RECORDER.queries.values():
        for complaint in complaints(db, query) if query.collection in GROWING else ():
            reason = exception(query, complaint)
            excused.add(reason)
            if reason is None:
                found.append(f"{complaint} by {query}")
    assert not found, "\n".join(sorted(found))
    assert excused == {reason for *_, reason in EXCEPTIONS}, "an exception that nothing needs"


def test_nothing_escapes_its_transaction(used: Container, db: Database) -> None:
    """What is sent without the session has effect at once, also if the transaction fails."""
    assert RECORDER.escaped == set()

    transactions = used.jobs._money._transactions
    transactions.run(lambda session: db.jobs.find_one({}))
    assert RECORDER.escaped == {"Transactions.run: find jobs"}
    RECORDER.escaped.clear()


def test_a_query_without_an_index_would_be_found(db: Database, container: Container) -> None:
    db.jobs.insert_many([{"_id": n, "account_id": "a", "x": n} for n in range(100)])
    no_index = Query("M.m", "find", "jobs", {"find": "jobs", "filter": {"x": 1}})
    no_order = Query("M.m", "find", "jobs", {"find": "jobs", "filter": {"account_id": "a"}, "sort": {"x": 1}})
    fine = Query("M.m", "find", "jobs", {"find": "jobs", "filter": {"_id": 1}, "sort": {"x": 1}})
    change = {"q": {"x": 1}, "u": {"$set": {"y": 1}}, "multi": True}
    no_index_to_change = Query("M.m", "update", "jobs", {"update": "jobs", "updates": [change]})
    sums = [{"$match": {"x": 1}}, {"$group": {"_id": "$x"}}, {"$sort": {"_id": 1}}]
    no_index_to_sum = Query("M.m", "aggregate", "jobs", {"aggregate": "jobs", "pipeline": sums, "cursor": {}})
    ordered = [{"$match": {"_id": {"$gt": 1}}}, {"$sort": {"x": 1}}]
    no_order_of_sums = Query("M.m", "aggregate", "jobs", {"aggregate": "jobs", "pipeline": ordered, "cursor": {}})
    assert complaints(db, no_index) == {"COLLSCAN"}
    assert complaints(db, no_order) == {"SORT"}
    assert complaints(db, fine) <= {"SORT"}
    assert complaints(db, no_index_to_change) == {"COLLSCAN"}
    assert complaints(db, no_index_to_sum) == {"COLLSCAN"}
    assert complaints(db, no_order_of_sums) == {"SORT"}


def test_explanations_are_of_the_services_own_queries(used: Container, db: Database) -> None:
    """What a test itself asks the database is no query of the service."""
    RECORDER.queries.clear()
    db.jobs.find_one({"nobody asks": "this"})
    assert RECORDER.queries == {}
    used.jobs.page(ROOT, JobQuery())
    (query,) = RECORDER.queries.values()
    assert (query.method, query.collection) == ("MongoJobs.page", "jobs")
    assert "queryPlanner" in explain(db, query)
