"""A backup of the whole database as one stream, and the way back.

Everything is read at one moment of the server (a snapshot session), while the service goes on: wallets, ledger and
jobs belong together, and nothing is locked. The server keeps a moment for `minSnapshotHistoryWindowInSeconds`; a backup
that takes longer fails. The stream is gzip of BSON documents:

    {"format": "talkmeter-backup", "version": 1, "database", "created_at"}
    {"collection": name, "options": {…}, "indexes": [{…}, …]}    then of it, as often as needed:
    {"collection": name, "documents": [{…}, …]}
    {"end": {name: number of documents, …}}                         without which it is cut off
"""

import gzip
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO, cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import OperationFailure, PyMongoError

Frame = dict[str, Any]
Counts = dict[str, int]
FORMAT = "talkmeter-backup"
VERSION = 1
_BATCH_DOCUMENTS = 1000
_BATCH_BYTES = 8 * 1024 * 1024
_SNAPSHOT_TOO_OLD = 239
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


class BackupError(Exception):
    """It can't be done or the stream is damaged; the text says why and what to do."""


def connect(uri: str) -> MongoClient[Frame]:
    """A connection without the service's time limits: a backup reads for minutes.

    Raises BackupError for an address that is none, or names no database.
    """
    try:
        client: MongoClient[Frame] = MongoClient(uri, appname="talkmeter-backup", serverSelectionTimeoutMS=10_000)
        client.get_default_database()
    except PyMongoError as error:
        raise BackupError(_reason(error)) from error
    return client


def dump(client: MongoClient[Frame], out: BinaryIO) -> Counts:
    """Write the URI's database to `out`; how many documents of each collection.

    Raises BackupError when the server no longer had the moment, or can't be read.
    """
    database = client.get_default_database()
    counts: Counts = {}
    try:
        with gzip.GzipFile(fileobj=out, mode="wb", mtime=0) as stream, client.start_session(snapshot=True) as session:
            _put(stream, _header(database.name))
            for name, options in _collections(database):
                collection = database[name]
                indexes = list(collection.list_indexes())
                _put(stream, {"collection": name, "options": options, "indexes": indexes})
                counts[name] = _dump_documents(collection, session, stream)
            _put(stream, {"end": counts})
    except PyMongoError as error:
        raise BackupError(_reason(error)) from error
    return counts


def check(source: BinaryIO) -> Counts:
    """Read a backup to its end without a server; what it holds. Raises BackupError when it is damaged or cut off."""
    counts: Counts = {}
    for frame in _frames(source):
        if "indexes" in frame:
            counts[frame["collection"]] = 0
        elif "documents" in frame:
            if frame["collection"] not in counts:
                raise BackupError("The backup is damaged: it holds documents of a collection that it doesn't name")
            counts[frame["collection"]] += len(frame["documents"])
        elif "end" in frame and frame["end"] != counts:
            raise BackupError(f"The backup says that it holds {frame['end']}, and holds {counts}")
    return counts


def restore(client: MongoClient[Frame], source: BinaryIO) -> Counts:
    """Write a backup into the URI's database, which must be empty; how many documents of each collection.

    Raises BackupError; then what is there is not to be used, and the database is to be dropped.
    """
    database = client.get_default_database(write_concern=WriteConcern("majority", j=True))
    if database.list_collection_names():
        raise BackupError(
            f"The database {database.name} is not empty: drop it first, or name another one in MONGODB_URI"
        )
    indexes: dict[str, list[Frame]] = {}
    expected: Counts = {}
    try:
        for frame in _frames(source):
            if "indexes" in frame:
                indexes[frame["collection"]] = frame["indexes"]
                database.create_collection(frame["collection"], **frame["options"])
            elif "documents" in frame:
                database[frame["collection"]].insert_many(frame["documents"], ordered=False)
            elif "end" in frame:
                expected = frame["end"]
        counts = {name: database[name].count_documents({}) for name in indexes}
        if counts != expected:
            raise BackupError(f"{counts} documents are there after restoring, {expected} were kept")
        # After the count: as soon as they are there the server forgets what has expired since the backup.
        for name, wanted in indexes.items():
            database.command("createIndexes", name, indexes=wanted)
    except PyMongoError as error:
        raise BackupError(_reason(error)) from error
    return counts


def _header(database: str) -> Frame:
    return {"format": FORMAT, "version": VERSION, "database": database, "created_at": datetime.now(UTC)}


def _collections(database: Database[Frame]) -> Iterator[tuple[str, Frame]]:
    """Names and options, in the order of names."""
    found = database.list_collections(filter={"type": "collection", "name": {"$not": {"$regex": "^system\\."}}})
    for row in sorted(found, key=lambda row: str(row["name"])):
        yield row["name"], row["options"]


def _dump_documents(collection: Collection[Frame], session: ClientSession, stream: gzip.GzipFile) -> int:
    # Another member has the time; the moment is the same on all of them.
    raw = collection.with_options(codec_options=_RAW, read_preference=ReadPreference.SECONDARY_PREFERRED)
    count, size = 0, 0
    batch: list[RawBSONDocument] = []
    for document in raw.find({}, session=session, batch_size=_BATCH_DOCUMENTS):
        batch.append(document)
        count, size = count + 1, size + len(document.raw)
        if len(batch) == _BATCH_DOCUMENTS or size >= _BATCH_BYTES:
            _put(stream, {"collection": collection.name, "documents": batch})
            batch, size = [], 0
    if batch:
        _put(stream, {"collection": collection.name, "documents": batch})
    return count


def _put(stream: gzip.GzipFile, frame: Frame) -> None:
    stream.write(bson.encode(frame))


def _frames(source: BinaryIO) -> Iterator[Frame]:
    """All frames, documents as they were kept. Raises BackupError where the stream is none of ours or is cut off."""
    ended = False
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as stream:
            for number, raw in enumerate(bson.decode_file_iter(cast(BinaryIO, stream), _RAW)):
                frame = _decoded(raw)
                if not _is_sound(frame):
                    raise BackupError("The backup is damaged: a part of it is none of ours")
                if number == 0 and (frame.get("format"), frame.get("version")) != (FORMAT, VERSION):
                    raise BackupError("This is no backup of ours, or of a newer version")
                ended = "end" in frame
                yield frame
    except (OSError, EOFError, zlib.error, bson.errors.BSONError) as error:
        raise BackupError(f"The backup is damaged or cut off: {error}") from error
    if not ended:
        raise BackupError("The backup is cut off")


def _decoded(raw: RawBSONDocument) -> Frame:
    """The frame, with its documents left as the bytes that they are."""
    return dict(raw) if "documents" in raw else bson.decode(raw.raw)


def _is_sound(frame: Frame) -> bool:
    """Whether it is one of the four. A wrong byte is noticed by gzip at the very end alone, when all has been read."""
    match frame:
        case {"collection": str(), "documents": list(documents)}:
            return all(isinstance(each, RawBSONDocument) for each in documents)
        case {"collection": str(), "options": dict(), "indexes": list()} | {"end": dict()} | {"format": _}:
            return True
    return False


def _reason(error: PyMongoError) -> str:
    if isinstance(error, OperationFailure) and error.code == _SNAPSHOT_TOO_OLD:
        return (
            "Reading took longer than the server keeps a moment. Raise its minSnapshotHistoryWindowInSeconds, "
            "or take a snapshot of the volume instead."
        )
    return f"MongoDB: {error}"
