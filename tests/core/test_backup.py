"""Backups as streams: what goes in comes out, and what is damaged is refused."""

import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, MongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

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


def unpacked(packed: bytes) -> bytes | None:
    with contextlib.suppress(OSError, EOFError, zlib.error):
        return gzip.decompress(packed)
    return None


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


@pytest.mark.parametrize("flip", [0x01, 0x10, 0xFF])
def test_a_backup_in_which_a_byte_is_wrong_is_refused_wherever_that_is(source: MongoClient, flip: int) -> None:
    frames = list(bson.decode_iter(gzip.decompress(taken(source)), bson.CodecOptions(RawBSONDocument)))
    some = {"collection": "empty", "documents": [{"_id": n, "text": "one of a few"} for n in range(9)]}
    ended = {"end": {"empty": 9}}
    content = b"".join([*(frame.raw for frame in frames[:2]), bson.encode(some), bson.encode(ended)])
    small = gzip.compress(content)
    assert backup.check(io.BytesIO(small)) == {"empty": 9}
    damaged = [small[:place] + bytes([byte ^ flip]) + small[place + 1 :] for place, byte in enumerate(small)]
    # Some bits of the head and of the filling say nothing.
    matter = [each for each in damaged if unpacked(each) != content]
    assert len(matter) > 0.9 * len(small)
    for each in matter:
        with pytest.raises(BackupError):
            backup.check(io.BytesIO(each))


def test_what_expired_since_is_counted_before_the_server_may_forget_it(source: MongoClient, mongo: MongoServer) -> None:
    """That begins with the index that says when: a big database's others take long after it."""
    commands: list[str] = []

    class Listener(CommandListener):
        def started(self, event: CommandStartedEvent) -> None:
            commands.append(event.command_name)

        def succeeded(self, event: CommandSucceededEvent) -> None: ...

        def failed(self, event: CommandFailedEvent) -> None: ...

    with MongoClient(mongo.uri_of("backup_target"), event_listeners=[Listener()]) as client:
        try:
            backup.restore(client, io.BytesIO(taken(source)))
        finally:
            client.drop_database("backup_target")
    counts = [place for place, name in enumerate(commands) if name == "aggregate"]
    indexes = [place for place, name in enumerate(commands) if name == "createIndexes"]
    assert (len(counts), len(indexes)) == (2, 2)
    assert max(counts) < min(indexes)


@pytest.mark.parametrize("uri", ["mongodb://", "mongodb://127.0.0.1/?replicaSet=rs0", "http://127.0.0.1/talkmeter"])
def test_an_address_that_names_no_database_is_told(uri: str) -> None:
    with pytest.raises(BackupError, match="MongoDB: "):
        backup.connect(uri)


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
