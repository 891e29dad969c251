"""What tests of deliveries say often."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymongo.database import Database
from standardwebhooks.webhooks import Webhook

from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.webhooks import Endpoint, Template
from service.usecases.ports import DeliveryQuery
from tests.core.receivers import Receiver

ALL = DeliveryQuery(limit=100)


def register(container: Container, actor: Actor, url: str, **fields: Any) -> Endpoint:
    created = container.webhooks.create(actor, {"url": url, **fields})
    return container.webhooks.get(actor, created.id)


def deliver_all(container: Container, db: Database) -> None:
    """Everything that is due, as the workers would."""
    for destination in sorted({row["destination"] for row in db.deliveries.find({"status": "pending"})}):
        container.deliver(destination)


def hurry(db: Database) -> None:
    """As if the time until the next try were over."""
    db.deliveries.update_many({"status": "pending"}, {"$set": {"next_at": datetime.now(UTC) - timedelta(minutes=1)}})


def only(db: Database) -> dict[str, Any]:
    (row,) = db.deliveries.find()
    return dict(row)


def verified(secret: str, receiver: Receiver) -> Any:
    heard = receiver.heard[-1]
    return Webhook(secret).verify(heard.body, heard.headers)


def template(body: str = "json", method: str = "POST", **fields: str) -> dict[str, Any]:
    return {"format": "template", "template": Template(method=method, body=body, fields=fields)}
