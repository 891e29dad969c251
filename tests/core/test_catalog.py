"""Models and assistants as stored: aliases, the end of a model's life, and additions that never overwrite."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo.database import Database

from service.adapters.mongo.catalog import MongoCatalog, seed
from service.domain.catalog import ChatModel


def day(days: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


@pytest.fixture
def store(db: Database) -> Iterator[Any]:
    """Stores a model of this id that ends so many days from now."""
    template = db.models.find_one({"_id": "gpt-6-luna"})

    def make(name: str, ends_in: int | None = None, successor: str | None = None) -> None:
        shutdown_on = None if ends_in is None else day(ends_in)
        ids = {"_id": name, "upstream_id": f"{name}-upstream", "shutdown_on": shutdown_on, "successor": successor}
        db.models.insert_one({**template, **ids})

    yield make
    db.models.delete_many({"_id": {"$regex": "^t-"}})


def model(alias: str) -> ChatModel:
    found = MongoCatalog("gpt-6-luna").model(alias)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ends_in", "sent"),
    [(1, "t-old-upstream"), (0, "t-new-upstream"), (-1, "t-new-upstream"), (None, "t-old-upstream")],
)
def test_a_model_is_sent_until_the_day_it_ends_and_its_successor_from_then_on(
    store: Any, ends_in: int | None, sent: str
) -> None:
    store("t-new")
    store("t-old", ends_in, "t-new")
    found = model("t-old")
    assert (found.alias, found.upstream_id) == ("t-old", sent), "clients keep the name they know"


def test_a_successor_may_have_ended_too(store: Any) -> None:
    store("t-1", -30, "t-2")
    store("t-2", -20, "t-3")
    store("t-3", 5, "t-4")
    assert (model("t-1").alias, model("t-1").upstream_id) == ("t-1", "t-3-upstream")


def test_models_that_succeed_each_other_end_somewhere(store: Any) -> None:
    store("t-1", -30, "t-2")
    store("t-2", -20, "t-1")
    assert model("t-1").alias == "t-1"


def test_a_successor_that_is_missing_is_no_model(store: Any) -> None:
    store("t-1", -30, "t-2")
    assert MongoCatalog("gpt-6-luna").model("t-1") is None


def test_the_default_model_is_the_installations(db: Database) -> None:
    assert model("default").alias == "gpt-6-luna"
    other = MongoCatalog("house-of-cards").model("default")
    assert other is not None
    assert (other.alias, other.upstream_id) == ("house-of-cards", "house-of-cards")
    assert MongoCatalog("house-of-cards").model("house-of-cards") == other


@pytest.mark.parametrize("name", ["", "nobody", "$ne", "gpt-6-Luna"])
def test_what_is_not_on_offer_is_not_found(db: Database, name: str) -> None:
    catalog = MongoCatalog("gpt-6-luna")
    assert catalog.model(name) is None
    assert catalog.assistant(name) is None


def test_what_was_missing_is_found_as_soon_as_it_is_there(store: Any) -> None:
    catalog = MongoCatalog("gpt-6-luna")
    assert catalog.model("t-new") is None
    store("t-new")
    assert catalog.model("t-new") is not None


def test_seeding_again_adds_what_is_missing_and_changes_nothing(db: Database) -> None:
    before = {row["_id"]: row for row in db.assistants.find()}
    db.assistants.delete_one({"_id": "coach"})
    db.assistants.update_one({"_id": "tutor"}, {"$set": {"output_tokens": 777}})
    try:
        seed()
        after = {row["_id"]: row for row in db.assistants.find()}
    finally:
        db.assistants.replace_one({"_id": "tutor"}, before["tutor"])
    assert after == {**before, "tutor": {**before["tutor"], "output_tokens": 777}}


def test_seeding_gives_what_an_older_version_stored_the_fields_that_are_new(db: Database) -> None:
    before = db.assistants.find_one({"_id": "stream"})
    db.assistants.update_one({"_id": "stream"}, {"$unset": {"listed": "", "version": ""}, "$set": {"locale": "en"}})
    try:
        seed()
        after = db.assistants.find_one({"_id": "stream"})
    finally:
        db.assistants.replace_one({"_id": "stream"}, before)
    assert after == {**before, "locale": "en"}


def test_fields_of_a_newer_version_are_not_minded(store: Any, db: Database) -> None:
    store("t-new")
    db.models.update_one({"_id": "t-new"}, {"$set": {"from_the_future": 1}})
    assert model("t-new").upstream_id == "t-new-upstream"
