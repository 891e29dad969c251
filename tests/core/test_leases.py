"""The upkeep lease: one worker at a time does the work, and another follows when it is gone."""

from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database

from service.adapters.mongo.leases import BREAK_SECONDS, MongoLeases
from service.adapters.runs import LEASE_RENEWALS
from service.bootstrap import Container
from service.domain.jobs import JobStatus
from tests.core.support import NewActor, at_once, lose_worker, submit

MILLISECOND = timedelta(milliseconds=1)


def end_lease(db: Database, seconds: float = 0.001) -> None:
    db.leases.update_one({"_id": "upkeep"}, {"$set": {"until": datetime.now(UTC) - timedelta(seconds=seconds)}})


@pytest.mark.parametrize("first", [True, False])
def test_one_upkeep_works_at_a_time(container: Container, db: Database, first: bool) -> None:
    leases = MongoLeases()
    if not first:
        assert leases.take("upkeep", "somebody before", 5) is not None
        end_lease(db)

    taken = at_once([lambda holder=holder: leases.take("upkeep", f"worker {holder}", 5) for holder in range(10)])

    assert sorted(held is not None for held in taken) == [False] * 9 + [True]


def test_upkeep_leaves_the_work_to_who_holds_the_lease(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor)
    lose_worker(container, db, job)
    leases = MongoLeases()
    assert leases.take("upkeep", "another worker", 60) is not None

    assert not container.upkeep()
    assert container.jobs.get(actor, job.id).status is JobStatus.RUNNING

    end_lease(db)
    assert container.upkeep()
    assert container.upkeep(), "the holder keeps it"
    assert leases.take("upkeep", "another worker", 60) is None
    assert container.jobs.get(actor, job.id).status is JobStatus.QUEUED


def test_after_a_time_without_upkeep_runs_get_the_time_to_renew_their_leases(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    """As after an outage of the database, in which nobody could renew anything."""
    actor = new_actor()
    job = submit(container, actor)
    assert container.upkeep()
    lose_worker(container, db, job)
    end_lease(db, seconds=BREAK_SECONDS + 1)

    assert container.upkeep()
    assert container.jobs.get(actor, job.id).status is JobStatus.RUNNING

    renewal = timedelta(seconds=container.settings.job_lease_seconds / LEASE_RENEWALS)
    db.leases.update_one({"_id": "upkeep"}, [{"$set": {"since": {"$subtract": ["$since", renewal / MILLISECOND]}}}])
    assert container.upkeep()
    assert container.jobs.get(actor, job.id).status is JobStatus.QUEUED


def test_a_holders_name_is_never_an_expression(db: Database, container: Container) -> None:
    leases = MongoLeases()
    assert leases.take("upkeep", "$until", 5) is not None
    assert db.leases.find_one({"_id": "upkeep"})["holder"] == "$until"
    assert leases.take("upkeep", "$holder", 5) is None
