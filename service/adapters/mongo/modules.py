"""Modules of tracks, changed within transactions of others: of settling a plan, of beginning one, of deleting a track.

Whoever changes modules writes the track too, so that two such transactions of one track meet there and one repeats.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from pymongo import DeleteMany, InsertOne, UpdateOne
from pymongo.client_session import ClientSession

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import ModuleDocument, TrackDocument
from service.domain.tracks import Lesson, Module, ModuleStatus, TrackStatus, planned, progress, status_at


def store_modules(session: ClientSession, track_id: str, plan: Mapping[str, Any]) -> bool:
    """Replace the modules of a track by those of a plan; False, and nothing is written, if they are these already.

    Modules that the plan has unchanged keep their status, their chat and their lessons' material. A track that is gone
    stays gone.
    """
    modules, wanted = collection(ModuleDocument), planned(track_id, plan)
    known: dict[str, Row] = {
        row["_id"]: row for row in modules.find({"track_id": track_id}, {"position": 1, "status": 1}, session=session)
    }
    if {module.id: module.position for module in wanted} == {key: row["position"] for key, row in known.items()}:
        return False
    statuses = [ModuleStatus(known[module.id]["status"]) if module.id in known else module.status for module in wanted]
    if not _advance(session, track_id, statuses):
        return False
    gone = sorted(known.keys() - {module.id for module in wanted})
    new = [InsertOne(_row(module)) for module in wanted if module.id not in known]
    moved = [
        UpdateOne({"_id": module.id}, {"$set": {"position": module.position}})
        for module in wanted
        if module.id in known and known[module.id]["position"] != module.position
    ]
    modules.bulk_write([*([DeleteMany({"_id": {"$in": gone}})] if gone else []), *new, *moved], session=session)
    return True


def begin_module(session: ClientSession, module_id: str, chat_id: str, instead_of: str | None = None) -> bool:
    """The module is learned from now on, in this chat; False, and nothing is written, if it has one already.

    `instead_of` is the chat that it had, of one that is gone.
    """
    modules = collection(ModuleDocument)
    fresh = {"_id": module_id, "chat_id": instead_of}
    if not modules.update_one(fresh, {"$set": {"chat_id": chat_id}}, session=session).matched_count:
        return False
    pending = {"_id": module_id, "status": ModuleStatus.PENDING.value}
    modules.update_one(pending, {"$set": {"status": ModuleStatus.IN_PROGRESS.value}}, session=session)
    return True


def complete_module(session: ClientSession, module: Module) -> bool:
    """The module is done, and its track as far as that brings it; False, and nothing is written, if it was or is gone.

    Raises nothing: of a track that is gone there is no module.
    """
    modules = collection(ModuleDocument)
    open_still = {"_id": module.id, "status": {"$ne": ModuleStatus.COMPLETED.value}}
    done = {"$set": {"status": ModuleStatus.COMPLETED.value}}
    if not modules.update_one(open_still, done, session=session).matched_count:
        return False
    rows = modules.find({"track_id": module.track_id}, {"status": 1}, session=session)
    return _advance(session, module.track_id, [ModuleStatus(row["status"]) for row in rows])


def store_lesson(session: ClientSession, module_id: str, lesson_id: str, material: Mapping[str, Any]) -> bool:
    """Keep the material of a lesson, in the place of what there was; False if there is no such lesson any more."""
    lesson = {"_id": module_id, "lessons.id": lesson_id}
    change = {"$set": {"lessons.$.content": dict(material)}}
    return collection(ModuleDocument).update_one(lesson, change, session=session).matched_count == 1


def delete_modules(session: ClientSession, track_id: str) -> None:
    collection(ModuleDocument).delete_many({"track_id": track_id}, session=session)


def to_module(row: Row) -> Module:
    lessons = tuple(Lesson(**lesson) for lesson in row["lessons"])
    return Module(
        id=row["_id"],
        track_id=row["track_id"],
        position=row["position"],
        title=row["title"],
        description=row["description"],
        lessons=lessons,
        status=ModuleStatus(row["status"]),
        chat_id=row.get("chat_id"),
    )


def _advance(session: ClientSession, track_id: str, statuses: list[ModuleStatus]) -> bool:
    """The track as it is with modules in these states; False if it is gone."""
    tracks, reached = collection(TrackDocument), progress(statuses)
    track = tracks.find_one({"_id": track_id}, {"status": 1}, session=session)
    if track is None:
        return False
    status = status_at(TrackStatus(track["status"]), reached)
    changes = {"progress": reached, "status": status.value, "updated_at": datetime.now(UTC)}
    tracks.update_one({"_id": track_id}, {"$set": changes}, session=session)
    return True


def _row(module: Module) -> Row:
    row = asdict(module)
    row["_id"] = row.pop("id")
    row["status"] = module.status.value
    row["lessons"] = [
        {name: value for name, value in asdict(lesson).items() if value is not None} for lesson in module.lessons
    ]
    return row
