"""The upkeep lease: one worker at a time does the work, and another follows when it is gone."""

from datetime import UTC, datetime, timedelta

import pytest
from pymongo.database import Database

from service.adapters.mongo.leases import MongoLeases
from service.bootstrap import Container
from service.domain.jobs import JobStatus
from tests.core.support import NewActor, at_once, lose_worker, submit


def end_lease(db: Database) -> None:
    db.leases.update_one({"_id": "upkeep"}, {"$set": {"until": datetime.now(UTC) - timedelta(milliseconds=1)}})


@pytest.mark.parametrize("first", [True, False])
def test_one_upkeep_works_at_a_time(container: Container, db: Database, first: bool) -> None:
    leases = MongoLeases()
    if not first:
        assert leases.take("upkeep", "somebody before", 5)
        end_lease(db)

    taken = at_once([lambda holder=holder: leases.take("upkeep", f"worker {holder}", 5) for holder in range(10)])

    assert sorted(taken) == [False] * 9 + [True]


def test_upkeep_leaves_the_work_to_who_holds_the_lease(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor()
    job = submit(container, actor)
    lose_worker(container, db, job)
    leases = MongoLeases()
    assert leases.take("upkeep", "another worker", 60)

    assert not container.upkeep()
    assert container.jobs.get(actor, job.id).status is JobStatus.RUNNING

    end_lease(db)
    assert container.upkeep()
    assert container.upkeep(), "the holder keeps it"
    assert not leases.take("upkeep", "another worker", 60)
    assert container.jobs.get(actor, job.id).status is JobStatus.QUEUED


def test_a_holders_name_is_never_an_expression(db: Database, container: Container) -> None:
    leases = MongoLeases()
    assert leases.take("upkeep", "$until", 5)
    assert db.leases.find_one({"_id": "upkeep"})["holder"] == "$until"
    assert not leases.take("upkeep", "$holder", 5)
