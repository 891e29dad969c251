"""Endpoints: their secrets, by which messages are signed, what they may be, and whose they are."""

from collections.abc import Callable

import pytest
from pymongo.database import Database
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import Forbidden, NotFound, UnsafeCallbackUrl, ValidationFailed
from service.domain.webhooks import WebhookFormat
from tests.core.checker import check_money
from tests.core.deliveries.support import ALL, deliver_all, only, register, template, verified
from tests.core.receivers import Receiver
from tests.core.support import ROOT, NewActor, ask, submit


def test_native_messages_are_signed_by_the_standard(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    upstream.clear()
    upstream.rule(answer="«Прибой» 🌊 \u2028")
    endpoint = register(calling, actor, receiver.url)
    ask(calling, actor)
    deliver_all(calling, db)

    assert verified(endpoint.secret, receiver)["data"]["message"] == "«Прибой» 🌊 \u2028"
    with pytest.raises(WebhookVerificationError):
        verified("whsec_" + "A" * 32, receiver)
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.secret).verify(receiver.heard[-1].body + b" ", receiver.heard[-1].headers)


def test_a_secret_is_rotated_with_an_overlap(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url)
    rotated = calling.webhooks.rotate(actor, endpoint.id, 1)
    assert rotated.secret != endpoint.secret
    ask(calling, actor)
    deliver_all(calling, db)
    for secret in (endpoint.secret, rotated.secret):
        assert verified(secret, receiver)["type"] == "job.succeeded"

    calling.webhooks.rotate(actor, endpoint.id, 0)
    ask(calling, actor)
    deliver_all(calling, db)
    for secret in (endpoint.secret, rotated.secret):
        with pytest.raises(WebhookVerificationError):
            verified(secret, receiver)


def test_callbacks_of_jobs_are_signed_once_the_account_has_a_secret(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    first = calling.webhooks.callback_secret(actor, 1)
    second = calling.webhooks.callback_secret(actor, 1)
    ask(calling, actor, callback_url=receiver.url)
    deliver_all(calling, db)
    for secret in (first.secret, second.secret):
        assert verified(secret, receiver)["type"] == "job.succeeded"
    assert calling.webhooks.list(actor) == []
    with pytest.raises(NotFound):
        calling.webhooks.get(actor, first.id)


def test_wrong_endpoints_are_refused(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    with pytest.raises(UnsafeCallbackUrl):
        register(calling, actor, "http://127.0.0.2/")
    with pytest.raises(ValidationFailed):
        register(calling, actor, receiver.url, format="template")
    with pytest.raises(ValidationFailed):
        register(calling, actor, receiver.url, **template(a="{password}"))
    with pytest.raises(ValidationFailed):
        register(calling, actor, "https://example.com/***")
    endpoint = register(calling, actor, receiver.url)
    with pytest.raises(UnsafeCallbackUrl):
        calling.webhooks.update(actor, endpoint.id, {"url": "https://[::1]/"})
    with pytest.raises(ValidationFailed):
        calling.webhooks.update(actor, endpoint.id, {"format": WebhookFormat.TEMPLATE})
    assert calling.webhooks.get(actor, endpoint.id) == endpoint
    for _ in range(19):
        register(calling, actor, receiver.url)
    with pytest.raises(ValidationFailed):
        register(calling, actor, receiver.url)
    with pytest.raises(UnsafeCallbackUrl):
        submit(calling, actor, callback_url="http://127.0.0.2/")
    check_money(db)


def test_others_reach_neither_endpoints_nor_deliveries(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, new_actor: NewActor
) -> None:
    endpoint = register(calling, actor, receiver.url)
    ask(calling, actor)
    delivery, stranger, webhooks = only(db), new_actor(), calling.webhooks
    calls: list[Callable[[Actor], object]] = [
        lambda who: webhooks.get(who, endpoint.id),
        lambda who: webhooks.update(who, endpoint.id, {"url": "https://example.com/"}),
        lambda who: webhooks.rotate(who, endpoint.id, 0),
        lambda who: webhooks.test(who, endpoint.id, {}),
        lambda who: webhooks.deliveries(who, endpoint.id, ALL),
        lambda who: webhooks.redeliver(who, delivery["_id"]),
        lambda who: webhooks.delete(who, endpoint.id),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            call(stranger)
    for refused in (lambda: webhooks.all_deliveries(actor, ALL), lambda: webhooks.redeliver_any(actor, "x")):
        with pytest.raises(Forbidden):
            refused()
    assert webhooks.get(actor, endpoint.id) == endpoint
    audited = db.audit.count_documents({})
    for call in calls:
        call(ROOT)
    assert db.audit.count_documents({}) == audited + len(calls), "an admin's are on the record"
