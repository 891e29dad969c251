"""What is read of much: by upkeep, by figures, by a late page; and cursors that nobody gave out."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database

from service.adapters.mongo import cursors
from service.adapters.mongo.jobs import MongoJobs
from service.adapters.mongo.reports import MongoReports
from service.bootstrap import Container
from service.domain.billing import LOSS_ACCOUNT_ID
from service.domain.errors import ServiceError
from service.domain.jobs import Job, JobStatus
from service.usecases.ports import JobQuery
from tests.core.queries import RECORDER
from tests.core.support import ROOT, NewActor, submit

A_TIME = datetime(2026, 1, 15, 10, tzinfo=UTC)


def many_jobs(db: Database, job: Job, count: int) -> None:
    """Copies of a job: queued and announced now, running and leased for long, and final, in turn; one a second."""
    row, now = db.jobs.find_one({"_id": job.id}), datetime.now(UTC)
    statuses = ("queued", "running", "succeeded")
    db.jobs.insert_many(
        {
            **row,
            "_id": f"copy-{number:05}",
            "status": statuses[number % 3],
            "created_at": now - timedelta(seconds=number),
            "announced_at": now,
            "lease_until": now + timedelta(hours=1),
        }
        for number in range(count)
    )


def examined(db: Database, method: str, collection: str = "jobs") -> int:
    """How many index keys and documents the last such query of this method looks at."""
    query = next(q for q in reversed(RECORDER.queries.values()) if q.method == method and q.collection == collection)
    stats = db.command({"explain": query.command, "verbosity": "executionStats"})["executionStats"]
    return max(stats["totalKeysExamined"], stats["totalDocsExamined"])


@pytest.mark.parametrize("found", [0, 3])
def test_upkeep_reads_only_what_it_finds(container: Container, db: Database, new_actor: NewActor, found: int) -> None:
    """Time in the database's own clock must not keep it from using the index on that time."""
    many_jobs(db, submit(container, new_actor()), 3_000)
    db.jobs.delete_one({"_id": {"$not": {"$regex": "^copy"}}})
    for number in range(found):
        lost = {"lease_until": datetime.now(UTC) - timedelta(seconds=1)}
        db.jobs.update_one({"_id": f"copy-{3 * number + 1:05}"}, {"$set": lost})
        unheard = {"announced_at": datetime.now(UTC) - timedelta(seconds=60)}
        db.jobs.update_one({"_id": f"copy-{3 * number:05}"}, {"$set": unheard})

    RECORDER.queries.clear()
    assert len(MongoJobs().expired(500)) == found
    assert len(MongoJobs().due(500, silent_seconds=30)) == found

    assert examined(db, "MongoJobs.expired") <= found + 1
    assert examined(db, "MongoJobs.due") <= found + 1


def test_balances_are_measured_from_their_index(container: Container, db: Database, new_actor: NewActor) -> None:
    new_actor(5)
    RECORDER.queries.clear()
    MongoReports().mean_and_median()
    walks = [query for query in RECORDER.queries.values() if query.command.get("filter") != {"_id": LOSS_ACCOUNT_ID}]
    for query in walks:
        stats = db.command({"explain": query.command, "verbosity": "executionStats"})
        assert '"totalDocsExamined": 0' in json.dumps(stats, default=str), query
    assert len(walks) == 2


@pytest.mark.parametrize("status", [None, JobStatus.QUEUED])
@pytest.mark.parametrize("of_one_account", [True, False])
def test_a_late_page_costs_no_more_than_an_early_one(
    container: Container, db: Database, new_actor: NewActor, status: JobStatus | None, of_one_account: bool
) -> None:
    actor = new_actor()
    many_jobs(db, submit(container, actor), 3_000)
    middle = db.jobs.find_one({"_id": "copy-01500"})
    cursor = cursors.encode(middle["created_at"], middle["_id"])
    RECORDER.queries.clear()
    page = MongoJobs().page(JobQuery(actor.account_id if of_one_account else None, status, cursor, 20))
    assert page.items[0].id == ("copy-01501" if status is None else "copy-01503")
    assert examined(db, "MongoJobs.page") <= 25


@pytest.mark.parametrize("cursor", ["", "x", "é", "null", "W10", "eyJ0IjoxfQ", "a" * 10_000, "[" * 5_000])
def test_a_cursor_that_was_not_given_out_is_refused(
    container: Container, db: Database, new_actor: NewActor, cursor: str
) -> None:
    actor = new_actor()
    for read in (
        lambda: container.jobs.page(actor, JobQuery(cursor=cursor)),
        lambda: container.billing.ledger(actor, None)(cursor, 10),
        lambda: container.admin.dialogs(ROOT, actor.account_id, cursor, 10),
        lambda: container.admin.audit_trail(ROOT, None, cursor, 10),
    ):
        with pytest.raises(ServiceError) as refused:
            read()
        assert refused.value.details == {"cursor": ["invalid_cursor"]}


@pytest.mark.parametrize(
    "position",
    [
        (2**63,),
        (-(2**80),),
        (True,),
        (1.5,),
        (None,),
        ("1",),
        ({"$gt": 1},),
        (A_TIME, "\ud800"),
        (A_TIME, {"$gt": ""}),
        (A_TIME, 5),
        ("x", "y"),
        (1, 2, 3),
    ],
    ids=str,
)
def test_a_forged_cursor_is_refused(container: Container, db: Database, new_actor: NewActor, position: tuple) -> None:
    actor, cursor = new_actor(), cursors.encode(*position)
    for read in (
        lambda: container.billing.ledger(actor, None)(cursor, 10),
        lambda: container.jobs.page(actor, JobQuery(cursor=cursor)),
    ):
        with pytest.raises(ServiceError):
            read()


@pytest.mark.parametrize("moment", [float("nan"), float("inf"), 1e400, -1e18, 1e18, "1", None, {}])
def test_a_cursor_of_no_time_is_refused(
    container: Container, db: Database, new_actor: NewActor, moment: object
) -> None:
    cursor = cursors.encode({"t": moment}, "x")
    with pytest.raises(ServiceError):
        container.jobs.page(new_actor(), JobQuery(cursor=cursor))
