"""Backups as streams: what goes in comes out, and what is damaged is refused."""

import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, MongoClient

from devstack.servers import MongoServer
from service.adapters.mongo import backup
from service.adapters.mongo.backup import BackupError

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def source(mongo: MongoServer) -> Iterator[MongoClient]:
    with backup.connect(mongo.uri_of("backup_source")) as client:
        database = client.get_default_database()
        database.things.create_index([("owner", ASCENDING), ("n", ASCENDING)], unique=True)
        database.things.create_index("gone_at", expireAfterSeconds=60, partialFilterExpression={"n": {"$gt": 1}})
        database.things.insert_many({"_id": f"thing-{n}", "owner": "me", "n": n, "at": NOW} for n in range(2500))
        database.create_collection("empty")
        yield client
        client.drop_database("backup_source")


@pytest.fixture
def target(mongo: MongoServer) -> Iterator[MongoClient]:
    with backup.connect(mongo.uri_of("backup_target")) as client:
        yield client
        client.drop_database("backup_target")


def taken(client: MongoClient) -> bytes:
    out = io.BytesIO()
    backup.dump(client, out)
    return out.getvalue()


def test_what_is_restored_is_what_was_there(source: MongoClient, target: MongoClient) -> None:
    stream = taken(source)
    assert backup.check(io.BytesIO(stream)) == {"empty": 0, "things": 2500}

    assert backup.restore(target, io.BytesIO(stream)) == {"empty": 0, "things": 2500}

    old, new = source.get_default_database(), target.get_default_database()
    assert list(new.things.find().sort("n")) == list(old.things.find().sort("n"))
    assert new.things.index_information() == old.things.index_information()
    assert set(new.list_collection_names()) == {"things", "empty"}


def test_it_is_of_one_moment_though_writing_goes_on(source: MongoClient) -> None:
    """`out` writes to the database whenever it is written to: none of that may be in the backup."""
    database = source.get_default_database()
    database.zoo.insert_one({"_id": "first"})

    class Busy(io.BytesIO):
        count = 0

        def write(self, data: bytes) -> int:
            # Not of the stream's head, which is written before the first document is read.
            if len(data) > 100:
                self.count += 1
                database.zoo.insert_one({"_id": f"late {self.count}"})
            return super().write(data)

    out = Busy()
    database.things.insert_many({"owner": "many", "n": n, "text": "x" * 1000 + str(hash(n * 7))} for n in range(5000))
    counts = backup.dump(source, out)
    assert out.count > 1, "nothing was written meanwhile"
    assert counts["zoo"] == 1
    assert database.zoo.count_documents({}) > 1


def test_a_database_that_is_not_empty_is_left_alone(source: MongoClient) -> None:
    stream = taken(source)
    with pytest.raises(BackupError, match="not empty"):
        backup.restore(source, io.BytesIO(stream))
    assert source.get_default_database().things.count_documents({}) == 2500


@pytest.mark.parametrize("left", [0, 10, -1, -9, -200])
def test_a_backup_that_is_cut_off_is_refused(source: MongoClient, target: MongoClient, left: int) -> None:
    stream = taken(source)[:left]
    with pytest.raises(BackupError, match="cut off"):
        backup.check(io.BytesIO(stream))
    with pytest.raises(BackupError, match="cut off"):
        backup.restore(target, io.BytesIO(stream))


def test_a_backup_without_its_end_is_refused(source: MongoClient) -> None:
    """Cut between two frames and packed again: only the missing end tells."""
    frames = list(bson.decode_iter(gzip.decompress(taken(source)), bson.CodecOptions(RawBSONDocument)))
    for kept, reason in ((frames[:-1], "cut off"), (frames[:2] + frames[-1:], "holds"), (frames[1:], "none|no backup")):
        packed = gzip.compress(b"".join(frame.raw for frame in kept))
        with pytest.raises(BackupError, match=reason):
            backup.check(io.BytesIO(packed))


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param(b"no gzip at all", id="no gzip"),
        # Named: the packed bytes hold the time, and two processes must give one test one name.
        pytest.param(gzip.compress(b"no BSON"), id="no BSON"),
        pytest.param(gzip.compress(bson.encode({"a": 1})), id="no backup's BSON"),
    ],
)
def test_what_is_no_backup_is_refused(target: MongoClient, rubbish: bytes) -> None:
    with pytest.raises(BackupError):
        backup.restore(target, io.BytesIO(rubbish))
    assert target.get_default_database().list_collection_names() == []


def test_a_moment_that_the_server_has_forgotten_is_told(source: MongoClient) -> None:
    admin, name = source.admin, "minSnapshotHistoryWindowInSeconds"
    before = admin.command("getParameter", 1, **{name: 1})[name]
    error = backup._reason(backup.OperationFailure("old", backup._SNAPSHOT_TOO_OLD))
    assert name in error
    assert before > 0, "the parameter that is named is the server's"
