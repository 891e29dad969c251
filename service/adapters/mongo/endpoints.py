"""Webhook endpoints. An account that has had one is marked on its wallet, so that settling a job need not look."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import EndpointDocument, WalletDocument
from service.domain.webhooks import Endpoint, Template, WebhookFormat

_FIELDS = frozenset(field.name for field in fields(Endpoint))


class MongoEndpoints:
    def __init__(self) -> None:
        self._endpoints = collection(EndpointDocument)

    def add(self, endpoint: Endpoint) -> None:
        """The mark comes first: one without an endpoint costs a look, an endpoint without a mark would hear nothing."""
        collection(WalletDocument).update_one({"_id": endpoint.account_id}, {"$set": {"webhooks": True}})
        self._endpoints.insert_one(_row(endpoint))

    def get(self, endpoint_id: str) -> Endpoint | None:
        row = self._endpoints.find_one({"_id": endpoint_id})
        return None if row is None else to_endpoint(row)

    def of_account(self, account_id: str) -> list[Endpoint]:
        """See `ports.Endpoints.of_account`."""
        rows = self._endpoints.find({"account_id": account_id, "url": {"$gt": ""}})
        return sorted(map(to_endpoint, rows), key=lambda endpoint: (endpoint.created_at, endpoint.id))

    def save(self, endpoint: Endpoint) -> None:
        """Replace it, unless it has been deleted meanwhile."""
        row = _row(endpoint)
        self._endpoints.replace_one({"_id": row["_id"]}, row)

    def delete(self, endpoint_id: str) -> None:
        self._endpoints.delete_one({"_id": endpoint_id})

    def disable(self, endpoint_id: str, reason: str) -> None:
        """Nothing more goes there until its owner enables it again."""
        changes = {"$set": {"enabled": False, "disabled_reason": reason}}
        self._endpoints.update_one({"_id": endpoint_id}, changes)


def _row(endpoint: Endpoint) -> Row:
    row = asdict(endpoint)
    row["_id"] = row.pop("id")
    row["format"] = endpoint.format.value
    row["events"] = [str(event) for event in endpoint.events]
    if endpoint.template is not None:
        # As a list: a field's name may have dots, which mean something to the database.
        row["template"]["fields"] = [[name, text] for name, text in endpoint.template.fields.items()]
    return row


def to_endpoint(row: Mapping[str, Any]) -> Endpoint:
    values = {name: value for name, value in row.items() if name in _FIELDS}
    template = row.get("template")
    return Endpoint(
        **{
            **values,
            "id": row["_id"],
            "events": tuple(row["events"]),
            "format": WebhookFormat(row["format"]),
            "template": None if template is None else Template(**{**template, "fields": dict(template["fields"])}),
        }
    )
