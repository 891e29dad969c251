"""Webhook deliveries: written with what they tell of, claimed and postponed by conditional updates in database time."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import DeliveryDocument, DeliverySlotsDocument, EndpointDocument
from service.domain.jobs import Job
from service.domain.webhooks import (
    Delivery,
    DeliveryStatus,
    EventType,
    callback_destination,
    delivery_id,
    event_of,
    origin,
)
from service.usecases.ports import DeliveryQuery, Page

_FIELDS = frozenset(field.name for field in fields(Delivery))
# Due at once by any host's clock.
_CLOCKS_DIFFER = timedelta(minutes=5)


def owe_deliveries(session: ClientSession, job: Job, *, has_endpoints: bool) -> tuple[str, ...]:
    """Part of the transaction that ends a job: a row for everybody who is told of it. Returns the destinations."""
    event = event_of(job)
    rows = []
    if job.callback_url is not None:
        asker_id = job.program_id or job.account_id
        rows.append(
            _owed(job, event, callback_destination(asker_id, job.callback_url), asker_id, job.callback_url, None)
        )
    # A program's account hears of its end users' jobs as well; whether it has endpoints its own wallet would say.
    if has_endpoints or job.program_id is not None:
        told = list({job.account_id, job.program_id} - {None})
        wanting = {"account_id": {"$in": told}, "enabled": True, "events": event.value}
        for row in collection(EndpointDocument).find(wanting, {"url": 1, "account_id": 1}, session=session):
            rows.append(_owed(job, event, row["_id"], row["account_id"], row["url"], row["_id"]))
    if rows:
        collection(DeliveryDocument).insert_many(rows, session=session)
    return tuple(dict.fromkeys(row["destination"] for row in rows))


def _owed(job: Job, event: EventType, destination: str, account_id: str, url: str, endpoint_id: str | None) -> Row:
    now = job.finished_at or datetime.now(UTC)
    return _row(
        Delivery(
            # A callback of the job and an endpoint are told apart, whatever their URLs.
            id=delivery_id(job.id, endpoint_id or "callback"),
            account_id=account_id,
            event=event,
            destination=destination,
            origin=origin(url),
            created_at=now,
            next_at=now - _CLOCKS_DIFFER,
            job_id=job.id,
            endpoint_id=endpoint_id,
            request_id=job.request_id,
        )
    )


def _row(delivery: Delivery) -> Row:
    row = asdict(delivery)
    row["_id"] = row.pop("id")
    row["event"] = delivery.event.value
    row["status"] = delivery.status.value
    return row


def to_delivery(row: Row) -> Delivery:
    values: dict[str, Any] = {name: value for name, value in row.items() if name in _FIELDS}
    values |= {"id": row["_id"], "event": EventType(row["event"]), "status": DeliveryStatus(row["status"])}
    return Delivery(**values)


def _in_seconds(seconds: float) -> Row:
    return {"$add": ["$$NOW", int(seconds * 1000)]}


class MongoDeliveries:
    def __init__(self) -> None:
        self._deliveries = collection(DeliveryDocument)
        self._slots = collection(DeliverySlotsDocument)

    def add(self, delivery: Delivery) -> None:
        row = _row(delivery)
        row["next_at"] = delivery.next_at - _CLOCKS_DIFFER
        self._deliveries.insert_one(row)

    def get(self, delivery_id: str) -> Delivery | None:
        row = self._deliveries.find_one({"_id": delivery_id})
        return None if row is None else to_delivery(row)

    def page(self, query: DeliveryQuery) -> Page[Delivery]:
        """See `ports.Deliveries.page`."""
        criteria: Row = {}
        if query.endpoint_id is not None:
            criteria["endpoint_id"] = query.endpoint_id
        if query.account_id is not None:
            criteria["account_id"] = query.account_id
        if query.status is not None:
            criteria["status"] = query.status.value
        if query.cursor is not None:
            created_at, row_id = cursors.decode(query.cursor, *cursors.TIME_AND_ID)
            criteria.update(cursors.older_than(created_at, row_id))
        newest_first = [("created_at", -1), ("_id", -1)]
        rows = list(self._deliveries.find(criteria).sort(newest_first).limit(query.limit + 1))
        found = [to_delivery(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(found, cursors.encode(found[-1].created_at, found[-1].id) if more else None)

    def take_slot(self, destination: str, holder: str, slots: int, lease_seconds: int) -> bool:
        """See `ports.Deliveries.take_slot`."""
        mine = {"id": {"$literal": holder}, "until": _in_seconds(lease_seconds)}
        others = {
            "$filter": {
                "input": {"$ifNull": ["$holders", []]},
                "cond": {"$and": [{"$gt": ["$$this.until", "$$NOW"]}, {"$ne": ["$$this.id", {"$literal": holder}]}]},
            }
        }
        room = {"$lt": [{"$size": "$holders"}, slots]}
        added = {"$cond": [room, {"$concatArrays": ["$holders", [mine]]}, "$holders"]}
        changes = [{"$set": {"holders": others}}, {"$set": {"holders": added, "until": _in_seconds(lease_seconds)}}]
        try:
            row = self._slots.find_one_and_update(
                {"_id": destination}, changes, upsert=True, return_document=ReturnDocument.AFTER
            )
        except DuplicateKeyError:
            # Somebody else took the first slot at the same moment; now it is there to be updated.
            row = self._slots.find_one_and_update({"_id": destination}, changes, return_document=ReturnDocument.AFTER)
        return row is not None and any(each["id"] == holder for each in row["holders"])

    def leave_slot(self, destination: str, holder: str) -> None:
        self._slots.update_one({"_id": destination}, {"$pull": {"holders": {"id": holder}}})

    def claim(self, destination: str, lease_seconds: int) -> Delivery | None:
        """See `ports.Deliveries.claim`."""
        due = {
            "destination": destination,
            "status": DeliveryStatus.PENDING.value,
            "$expr": {"$lte": ["$next_at", "$$NOW"]},
        }
        claimed = {
            "status": DeliveryStatus.SENDING.value,
            "attempt": {"$add": ["$attempt", 1]},
            "lease_until": _in_seconds(lease_seconds),
        }
        row = self._deliveries.find_one_and_update(
            due, [{"$set": claimed}], sort=[("next_at", 1)], return_document=ReturnDocument.AFTER
        )
        return None if row is None else to_delivery(row)

    def progress(self, delivery: Delivery, parts_sent: int, lease_seconds: int) -> bool:
        """See `ports.Deliveries.progress`."""
        changes = {"parts_sent": parts_sent, "lease_until": _in_seconds(lease_seconds)}
        return self._deliveries.update_one(_this_claim(delivery), [{"$set": changes}]).matched_count == 1

    def postpone(self, delivery: Delivery, seconds: float, status: int | None, error: str) -> bool:
        """See `ports.Deliveries.postpone`."""
        changes = {
            "status": DeliveryStatus.PENDING.value,
            "tries": {"$add": ["$tries", 1]},
            "next_at": _in_seconds(seconds),
            "last_status": status,
            "last_error": error,
        }
        update: list[Row] = [{"$set": changes}, {"$unset": "lease_until"}]
        return self._deliveries.update_one(_this_claim(delivery), update).matched_count == 1

    def finish(self, delivery: Delivery, outcome: DeliveryStatus, status: int | None, error: str | None) -> bool:
        """See `ports.Deliveries.finish`."""
        changes = {
            "status": outcome.value,
            "tries": {"$add": ["$tries", 1]},
            "last_status": status,
            "last_error": error,
            "finished_at": "$$NOW",
        }
        update: list[Row] = [{"$set": changes}, {"$unset": "lease_until"}]
        return self._deliveries.update_one(_this_claim(delivery), update).matched_count == 1

    def restart(self, delivery_id: str) -> bool:
        """See `ports.Deliveries.restart`."""
        ended = [DeliveryStatus.DELIVERED.value, DeliveryStatus.DEAD.value]
        changes = {
            "status": DeliveryStatus.PENDING.value,
            "tries": 0,
            # A dead one goes on where it stopped.
            "parts_sent": {"$cond": [{"$eq": ["$status", DeliveryStatus.DEAD.value]}, "$parts_sent", 0]},
            "next_at": "$$NOW",
            "finished_at": None,
        }
        found = self._deliveries.update_one({"_id": delivery_id, "status": {"$in": ended}}, [{"$set": changes}])
        return found.matched_count == 1

    def recover_expired(self, limit: int) -> int:
        """See `ports.Deliveries.recover_expired`."""
        over = {"status": DeliveryStatus.SENDING.value, "$expr": {"$lt": ["$lease_until", "$$NOW"]}}
        rows = self._deliveries.find(over, {"_id": 1, "attempt": 1}).sort("lease_until", 1).limit(limit)
        recovered = 0
        for row in rows:
            this = {"_id": row["_id"], "attempt": row["attempt"], **over}
            changes: list[Row] = [
                {"$set": {"status": DeliveryStatus.PENDING.value, "next_at": "$$NOW"}},
                {"$unset": "lease_until"},
            ]
            recovered += self._deliveries.update_one(this, changes).modified_count
        return recovered

    def due(self, limit: int) -> Sequence[str]:
        """See `ports.Deliveries.due`. One step through the index per destination, however much waits for each."""
        rows = self._deliveries.aggregate(
            [
                {"$match": {"status": DeliveryStatus.PENDING.value}},
                {"$sort": {"destination": 1, "next_at": 1}},
                {"$group": {"_id": "$destination", "next_at": {"$first": "$next_at"}}},
                {"$match": {"$expr": {"$lte": ["$next_at", "$$NOW"]}}},
                {"$limit": limit},
            ]
        )
        return [row["_id"] for row in rows]


def _this_claim(delivery: Delivery) -> Row:
    """The fence: nothing that an earlier claim writes matches any more."""
    return {"_id": delivery.id, "status": DeliveryStatus.SENDING.value, "attempt": delivery.attempt}
