"""API keys, found by the hash of a secret. Secrets themselves are never stored."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo import ReturnDocument

from service.adapters.mongo import cursors
from service.adapters.mongo.accounts import PUBLIC_FIELDS, to_account
from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import KeyDocument
from service.domain.keys import ApiKey, Scope
from service.usecases.ports import FoundKey, KeyQuery, Page

TOUCH_INTERVAL = timedelta(minutes=1)
_KEY_FIELDS = frozenset(field.name for field in fields(ApiKey)) - {"id"}
_NEWEST_FIRST = [("created_at", -1), ("_id", -1)]


class MongoKeys:
    def __init__(self) -> None:
        self._keys = collection(KeyDocument)

    def create(self, key: ApiKey, secret_hash: str) -> None:
        row = asdict(key)
        row["_id"] = row.pop("id")
        row["scopes"] = [scope.value for scope in key.scopes]
        row["callback_hosts"] = list(key.callback_hosts)
        self._keys.insert_one({**row, "secrets": [{"hash": secret_hash, "until": None}]})

    def by_secret(self, secret_hash: str) -> FoundKey | None:
        """See `ports.Keys.by_secret`."""
        account = {
            "from": "accounts",
            "localField": "account_id",
            "foreignField": "_id",
            "pipeline": [{"$project": PUBLIC_FIELDS}],
            "as": "account",
        }
        rows = list(self._keys.aggregate([{"$match": {"secrets.hash": secret_hash}}, {"$lookup": account}]))
        if not rows or not rows[0]["account"]:
            return None
        (row,) = rows
        until = next(secret["until"] for secret in row["secrets"] if secret["hash"] == secret_hash)
        return FoundKey(_to_key(row), to_account(row["account"][0]), until)

    def get(self, key_id: str) -> ApiKey | None:
        return _maybe(self._keys.find_one({"_id": key_id}))

    def living(self, account_id: str) -> list[ApiKey]:
        """See `ports.Keys.living`."""
        rows = self._keys.find({"account_id": account_id, "revoked_at": None}).sort(_NEWEST_FIRST)
        return [_to_key(row) for row in rows]

    def page(self, query: KeyQuery) -> Page[ApiKey]:
        """See `ports.Keys.page`."""
        criteria: Row = {} if query.account_id is None else {"account_id": query.account_id}
        if query.cursor is not None:
            created_at, key_id = cursors.decode(query.cursor, *cursors.TIME_AND_ID)
            criteria.update(cursors.older_than(created_at, key_id))
        rows = list(self._keys.find(criteria).sort(_NEWEST_FIRST).limit(query.limit + 1))
        keys = [_to_key(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(keys, cursors.encode(keys[-1].created_at, keys[-1].id) if more else None)

    def rotate(self, key: ApiKey, secret_hash: str) -> ApiKey | None:
        """See `ports.Keys.rotate`. One update, so that of two rotations at once the later one's secret is valid."""
        old = {"hash": {"$first": "$secrets.hash"}, "until": key.previous_until}
        changes = {
            "secrets": [{"hash": secret_hash, "until": None}, old],
            "prefix": key.prefix,
            "previous_until": key.previous_until,
            "expires_at": key.expires_at,
        }
        return _maybe(
            self._keys.find_one_and_update(
                {"_id": key.id, "revoked_at": None}, [{"$set": changes}], return_document=ReturnDocument.AFTER
            )
        )

    def revoke(self, key_id: str, now: datetime) -> ApiKey | None:
        """See `ports.Keys.revoke`."""
        return self._set(key_id, {"revoked_at": now})

    def set_scopes(self, key_id: str, scopes: Sequence[Scope]) -> ApiKey | None:
        return self._set(key_id, {"scopes": [scope.value for scope in scopes]})

    def change(self, key: ApiKey, changes: Mapping[str, Any]) -> ApiKey | None:
        """See `ports.Keys.change`."""
        plain = {
            name: [str(item) for item in value] if isinstance(value, tuple) else value
            for name, value in changes.items()
        }
        return self._set(key.id, plain, {"scopes": [scope.value for scope in key.scopes]} if "scopes" in plain else {})

    def touch(self, key: ApiKey) -> None:
        """See `ports.Keys.touch`."""
        now = datetime.now(UTC)
        if key.last_used_at is None or now - key.last_used_at > TOUCH_INTERVAL:
            self._keys.update_one({"_id": key.id}, {"$set": {"last_used_at": now}})

    def _set(self, key_id: str, changes: Row, still: Row | None = None) -> ApiKey | None:
        living = {"_id": key_id, "revoked_at": None, **(still or {})}
        return _maybe(self._keys.find_one_and_update(living, {"$set": changes}, return_document=ReturnDocument.AFTER))


def _maybe(row: Row | None) -> ApiKey | None:
    return None if row is None else _to_key(row)


def _to_key(row: Row) -> ApiKey:
    values = {name: value for name, value in row.items() if name in _KEY_FIELDS}
    values["scopes"] = tuple(Scope(scope) for scope in row["scopes"])
    values["callback_hosts"] = tuple(row["callback_hosts"])
    return ApiKey(id=row["_id"], **values)
