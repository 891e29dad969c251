"""Deliveries: one event per final job and destination, sent until somebody has it or nobody wants it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from pymongo.database import Database
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import Forbidden, NotFound, UnsafeCallbackUrl, ValidationFailed
from service.domain.jobs import Job
from service.domain.webhooks import RETRY_SECONDS, DeliveryStatus, Endpoint, Template, WebhookFormat
from service.usecases.deliver import SLOTS
from service.usecases.ports import DeliveryQuery, WebhookReply, WebhookRequest
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.receivers import Receiver, receiving
from tests.core.support import ROOT, NewActor, ask, at_once, lose_worker, new_key, program_of, submit

ALL = DeliveryQuery(limit=100)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def calling(build: Build) -> Container:
    """A container that may call this machine, and waits two seconds for an answer."""
    return build(webhook_allowed_hosts="127.0.0.1", webhook_timeout_seconds=2.0)


@pytest.fixture
def actor(db: Database, new_actor: NewActor, upstream: UpstreamControl) -> Actor:
    upstream.rule(answer="pong")
    return new_actor(1_000_000)


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


def seconds_until_next(db: Database) -> float:
    return float((only(db)["next_at"] - datetime.now(UTC)).total_seconds())


def test_a_callback_tells_of_an_answer_once(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    job = ask(calling, actor, callback_url=receiver.url, metadata={"order": 17})
    deliver_all(calling, db)
    deliver_all(calling, db)

    (heard,) = receiver.heard
    assert (heard.method, heard.path) == ("POST", "/hook")
    assert heard.headers["Content-Type"] == "application/json; charset=utf-8"
    assert heard.headers["X-Request-Id"] == actor.request_id
    assert "webhook-signature" not in heard.headers
    body = json.loads(heard.body)
    assert body["type"] == "job.succeeded"
    assert body["data"] == {
        "jobId": job.id,
        "userId": actor.account_id,
        "status": "succeeded",
        "message": "pong",
        "model": job.model,
        "tokensUsed": job.usage.total_tokens if job.usage else None,
        "charged": job.charged,
        "currentBalance": job.balance_after,
        "finishReason": "stop",
        "metadata": {"order": 17},
        "createdAt": job.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "finishedAt": body["timestamp"],
    }
    row = only(db)
    assert (row["status"], row["tries"], row["last_status"]) == ("delivered", 1, 200)
    assert str(receiver.port) in row["origin"]
    assert "hook" not in json.dumps(row, default=str), "the URL is in the job alone"


def test_nobody_is_told_of_nothing(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    job = submit(calling, actor, callback_url=receiver.url)
    deliver_all(calling, db)
    assert not receiver.heard
    assert job.destinations == ()
    ask(calling, actor)
    assert db.deliveries.count_documents({}) == 0


def test_each_end_has_its_event(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    register(calling, actor, receiver.url)
    ask(calling, actor)
    calling.jobs.cancel(actor, submit(calling, actor).id)
    upstream.clear()
    upstream.rule(status=400)
    failed = ask(calling, actor)
    lost = submit(calling, actor)
    for _ in range(3):
        lose_worker(calling, db, lost)
        calling.upkeep()
    deliver_all(calling, db)

    told = {json.loads(each.body)["type"]: json.loads(each.body)["data"] for each in receiver.heard}
    assert [json.loads(each.body)["type"] for each in receiver.heard].count("job.failed") == 2
    assert told.keys() == {"job.succeeded", "job.cancelled", "job.failed"}
    errors = {json.loads(each.body)["data"].get("error", {}).get("code") for each in receiver.heard}
    assert errors == {None, failed.error_code, "INTERRUPTED"}
    assert len(set(receiver.ids())) == 4
    check_money(db)


def test_every_destination_is_told(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    endpoints = [register(calling, actor, receiver.url), register(calling, actor, receiver.url)]
    register(calling, actor, receiver.url, events=["job.failed"])
    off = register(calling, actor, receiver.url)
    calling.webhooks.update(actor, off.id, {"enabled": False})
    job = ask(calling, actor, callback_url=receiver.url)
    assert {row["endpoint_id"] for row in db.deliveries.find()} == {None, *(each.id for each in endpoints)}
    deliver_all(calling, db)
    assert len(set(receiver.ids())) == len(receiver.heard) == 3
    assert {row["job_id"] for row in db.deliveries.find()} == {job.id}


def test_nobody_else_is_told(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, new_actor: NewActor
) -> None:
    register(calling, new_actor(), receiver.url)
    ask(calling, actor)
    assert db.deliveries.count_documents({}) == 0


def test_a_job_that_is_settled_again_owes_nothing_more(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    job = submit(calling, actor, callback_url=receiver.url)
    at_once([lambda: calling.run(job.id), lambda: calling.jobs.cancel(actor, job.id), lambda: calling.run(job.id)])
    calling.run(job.id)
    calling.jobs.cancel(actor, job.id)
    assert db.deliveries.count_documents({"job_id": job.id}) == 1


def verified(secret: str, receiver: Receiver) -> Any:
    heard = receiver.heard[-1]
    return Webhook(secret).verify(heard.body, heard.headers)


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


def test_a_failed_try_is_repeated_by_schedule_with_the_same_id(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    register(calling, actor, receiver.url)
    ask(calling, actor)
    receiver.replies = [(status, {}) for status in (500, 404, 302, 503, 429, 400, 401, 500)]
    for tries, seconds in enumerate(RETRY_SECONDS, start=1):
        deliver_all(calling, db)
        assert (only(db)["status"], only(db)["tries"]) == ("pending", tries)
        assert 0.85 * seconds < seconds_until_next(db) < 1.15 * seconds
        deliver_all(calling, db)
        assert len(receiver.heard) == tries, "not before its time"
        hurry(db)
    deliver_all(calling, db)
    assert only(db)["status"] == "delivered"
    assert len(receiver.heard) == 9
    assert len(set(receiver.ids())) == 1


def test_after_the_last_try_it_is_dead_and_can_be_sent_again(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url)
    ask(calling, actor)
    receiver.replies = [(500, {})] * 9
    for _ in range(12):
        deliver_all(calling, db)
        hurry(db)
    assert (only(db)["status"], only(db)["last_status"], only(db)["tries"]) == ("dead", 500, 9)
    assert len(receiver.heard) == 9

    (dead,) = calling.webhooks.deliveries(actor, endpoint.id, ALL).items
    assert calling.webhooks.redeliver(actor, dead.id).status is DeliveryStatus.PENDING
    deliver_all(calling, db)
    assert (only(db)["status"], only(db)["tries"]) == ("delivered", 1)
    assert len(set(receiver.ids())) == 1
    calling.webhooks.redeliver(ROOT, dead.id)
    deliver_all(calling, db)
    assert len(receiver.heard) == 11


@pytest.mark.parametrize(("said", "least", "most"), [("100", 99, 101), ("3", 8, 12), ("999999999", 86_000, 86_401)])
def test_retry_after_is_honoured(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, said: str, least: int, most: int
) -> None:
    receiver.replies = [(429, {"Retry-After": said})]
    ask(calling, actor, callback_url=receiver.url)
    deliver_all(calling, db)
    assert least <= seconds_until_next(db) <= most


def test_a_receiver_that_is_gone_is_left_alone(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url)
    receiver.replies = [(410, {})]
    ask(calling, actor)
    deliver_all(calling, db)
    assert (only(db)["status"], only(db)["last_error"]) == ("dead", "gone")
    disabled = calling.webhooks.get(actor, endpoint.id)
    assert (disabled.enabled, disabled.disabled_reason) == (False, "gone")
    ask(calling, actor)
    assert db.deliveries.count_documents({}) == 1

    enabled = calling.webhooks.update(actor, endpoint.id, {"enabled": True})
    assert (enabled.enabled, enabled.disabled_reason) == (True, None)
    ask(calling, actor)
    deliver_all(calling, db)
    assert len(receiver.heard) == 2


@pytest.mark.parametrize("end", ["deleted", "disabled"])
def test_what_is_due_for_an_endpoint_that_ended_is_dead(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, end: str
) -> None:
    endpoint = register(calling, actor, receiver.url)
    ask(calling, actor)
    if end == "deleted":
        calling.webhooks.delete(actor, endpoint.id)
    else:
        calling.webhooks.update(actor, endpoint.id, {"enabled": False})
    deliver_all(calling, db)
    assert only(db)["status"] == "dead"
    assert not receiver.heard


def test_an_address_that_may_not_be_called_is_never_called(
    container: Container, calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    """As if it had been accepted under other settings, or its name had moved."""
    register(calling, actor, receiver.url)
    ask(calling, actor)
    deliver_all(container, db)
    assert (only(db)["status"], only(db)["last_error"]) == ("pending", "unsafe_address")
    assert not receiver.heard


def test_a_dispatcher_that_dies_loses_nothing(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url)
    ask(calling, actor)
    deliveries = calling.deliver._deliveries
    claimed = deliveries.claim(endpoint.id, 30)
    assert claimed is not None
    assert deliveries.claim(endpoint.id, 30) is None
    calling.deliver(endpoint.id)
    assert not receiver.heard
    db.deliveries.update_one({}, {"$set": {"lease_until": datetime.now(UTC) - timedelta(seconds=1)}})

    calling.upkeep()
    calling.deliver(endpoint.id)

    assert receiver.ids() == [claimed.id]
    before = only(db)
    assert not deliveries.finish(claimed, DeliveryStatus.DEAD, None, "late")
    assert not deliveries.postpone(claimed, 0, None, "late")
    assert not deliveries.progress(claimed, 1, 30)
    assert only(db) == before, "an earlier claim changes nothing any more"


def test_upkeep_rings_for_what_is_due(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    endpoint = register(calling, actor, receiver.url)
    for _ in range(3):
        ask(calling, actor)
    rung: list[str] = []
    calling.upkeep._delivery_bell = Rings(rung)
    calling.upkeep.deliver_again()
    assert rung == [endpoint.id]
    calling.deliver(endpoint.id)
    calling.upkeep.deliver_again()
    assert rung == [endpoint.id]


class Rings:
    def __init__(self, rung: list[str]) -> None:
        self._rung = rung

    def ring(self, destinations: list[str]) -> None:
        self._rung.extend(destinations)

    def waiting(self) -> int:
        return 0


def test_a_receiver_that_hangs_delays_nobody_elses(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    with receiving() as hanging:
        hanging.going.clear()
        bad, good = register(calling, actor, hanging.url), register(calling, actor, receiver.url)
        for _ in range(2 * SLOTS):
            ask(calling, actor)
        runners = [threading.Thread(target=calling.deliver, args=(bad.id,)) for _ in range(3 * SLOTS)]
        for runner in runners:
            runner.start()
        until(lambda: len(hanging.heard) == SLOTS)
        started = time.monotonic()
        assert calling.deliver(good.id) == 2 * SLOTS
        assert time.monotonic() - started < 1.5
        assert len(receiver.heard) == 2 * SLOTS
        assert sum(runner.is_alive() for runner in runners) == SLOTS, "those who found no slot went away"
        assert len(hanging.heard) == SLOTS
        hanging.going.set()
        for runner in runners:
            runner.join()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def test_slots_are_limited_and_given_back(calling: Container, db: Database) -> None:
    deliveries = calling.deliver._deliveries
    names = [f"holder-{number}" for number in range(10)]
    taken = at_once([lambda name=name: deliveries.take_slot("d", name, 3, 30) for name in names])
    assert taken.count(True) == 3
    mine = names[taken.index(True)]
    assert deliveries.take_slot("d", mine, 3, 30), "one's own is kept"
    assert not deliveries.take_slot("d", "late", 3, 30)
    deliveries.leave_slot("d", mine)
    assert deliveries.take_slot("d", "late", 3, 0)
    time.sleep(0.02)
    assert deliveries.take_slot("d", "later", 3, 30), "a lease that is over is free"
    assert deliveries.take_slot("other", "late", 1, 30)


class Broken:
    """A sender with a defect."""

    def send(self, request: WebhookRequest) -> WebhookReply:
        raise RuntimeError("a defect")


def test_a_defect_counts_as_a_failed_try(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    register(calling, actor, receiver.url)
    ask(calling, actor)
    calling.deliver._sender = Broken()
    deliver_all(calling, db)
    assert (only(db)["status"], only(db)["tries"], only(db)["last_error"]) == ("pending", 1, "internal_error")


def test_two_dispatchers_at_once_send_once(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    endpoint = register(calling, actor, receiver.url)
    for _ in range(10):
        ask(calling, actor)
    at_once([lambda: calling.deliver(endpoint.id)] * 4)
    assert len(receiver.heard) == len(set(receiver.ids())) == 10


BOTBOOM = {"format": "botboom", "part_characters": 100}


def form(body: bytes) -> dict[str, str]:
    return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))


def test_botboom_gets_the_parts_in_order_each_once(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    answer = "\n\n".join(f"Абзац {number}. " + "слово " * 10 for number in range(5))
    upstream.clear()
    upstream.rule(answer=answer)
    register(calling, actor, receiver.url, **BOTBOOM)
    receiver.replies = [(200, {}), (200, {}), (500, {}), (200, {}), (503, {})]
    ask(calling, actor, metadata={"chatId": 4242})
    for _ in range(4):
        deliver_all(calling, db)
        hurry(db)

    assert only(db)["status"] == "delivered"
    assert {each.headers["Content-Type"] for each in receiver.heard} == {
        "application/x-www-form-urlencoded; charset=utf-8"
    }
    sent = [form(each.body) for each in receiver.heard]
    assert {each["chatId"] for each in sent} == {"4242"}
    arrived = [each["caption"] for number, each in enumerate(sent) if number not in (2, 4)]
    assert len(arrived) == len(set(arrived)) == 5
    assert " ".join(" ".join(arrived).split()) == " ".join(answer.split())
    assert sent[2] == sent[3], "the part that failed is sent again, and none before it"


def test_botboom_is_told_of_a_failure_in_words(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    upstream.clear()
    upstream.rule(status=400)
    register(calling, actor, receiver.url, format="botboom")
    ask(calling, actor, metadata={"chatId": "77"})
    deliver_all(calling, db)
    (heard,) = receiver.heard
    assert form(heard.body) == {
        "chatId": "77",
        "caption": "Поставщик модели вернул ошибку. Ничего не списано. Повторите запрос.",
    }


def test_botboom_knows_the_end_users_chat(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    upstream.clear()
    upstream.rule(times=1, answer="pong")
    upstream.rule(status=400)
    register(calling, actor, receiver.url, format="botboom")
    bot = program_of(new_key(calling, actor))
    calling.billing.top_up(bot, "4242", 10_000, None)
    ask(calling, bot, user_id="4242")
    deliver_all(calling, db)
    ask(calling, bot, user_id="4242", metadata={"chatId": 77})
    deliver_all(calling, db)
    assert [form(heard.body)["chatId"] for heard in receiver.heard] == ["4242", "77"]


@pytest.mark.parametrize(
    ("of_account", "of_key", "words"),
    [
        (None, None, "Поставщик модели вернул ошибку"),
        ("en", None, "The model provider"),
        ("en", "fr", "Le fournisseur du modèle"),
        (None, "en", "The model provider"),
    ],
)
def test_a_failure_is_told_in_the_language_of_key_or_account(
    calling: Container,
    db: Database,
    actor: Actor,
    receiver: Receiver,
    upstream: UpstreamControl,
    of_account: str | None,
    of_key: str | None,
    words: str,
) -> None:
    upstream.clear()
    upstream.rule(status=400)
    register(calling, actor, receiver.url)
    person = replace(actor, locale=of_account)
    bot = replace(program_of(new_key(calling, actor, locale=of_key)), locale=of_account)
    calling.billing.top_up(bot, "4242", 10_000, None)
    failed = ask(calling, bot, user_id="4242")
    if of_key is None:
        ask(calling, person)
    deliver_all(calling, db)
    for heard in receiver.heard:
        assert json.loads(heard.body)["data"]["error"]["message"].startswith(words)
    assert len(receiver.heard) == (2 if of_key is None else 1)
    assert json.loads(receiver.heard[0].body)["data"]["userId"] == "4242"
    again = calling.admin.retry_job(ROOT, failed.id)
    assert again.locale == failed.locale


def test_a_linked_persons_endpoint_knows_the_person_and_the_bots_the_bots_user(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, new_actor: NewActor
) -> None:
    """The account of a linked person is nobody's to know but theirs, and the bot's name for them is the bot's."""
    vera = new_actor()
    bot = program_of(new_key(calling, actor))
    calling.links.confirm(bot, "4242", calling.links.issue(vera).code)
    hers = register(calling, vera, receiver.url)
    bots = register(calling, actor, receiver.url)
    ask(calling, bot, user_id="4242", callback_url=receiver.url)
    deliver_all(calling, db)
    named = {}
    for heard in receiver.heard:
        row = db.deliveries.find_one({"_id": heard.headers["webhook-id"]})
        named[row["endpoint_id"]] = json.loads(heard.body)["data"]["userId"]
    assert named == {hers.id: vera.account_id, bots.id: "4242", None: "4242"}


def test_botboom_without_a_chat_is_dead(calling: Container, db: Database, actor: Actor, receiver: Receiver) -> None:
    register(calling, actor, receiver.url, format="botboom")
    ask(calling, actor)
    deliver_all(calling, db)
    assert (only(db)["status"], only(db)["last_error"]) == ("dead", "no_recipient")
    assert not receiver.heard


def template(body: str = "json", method: str = "POST", **fields: str) -> dict[str, Any]:
    return {"format": "template", "template": Template(method=method, body=body, fields=fields)}


def test_a_template_speaks_the_receivers_words(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    upstream.clear()
    upstream.rule(answer='a "quoted" {jobId} & more')
    fields = {
        "client_id": "{metadata.client}",
        "variables.answer": "{text}",
        "variables.cost": "{charged} tokens",
        "event": "{event}",
        "nothing": "{errorCode}{metadata.absent}",
    }
    register(calling, actor, receiver.url, **template("json", "PUT", **fields))
    register(calling, actor, receiver.url, **template("form", **{"a[b]": "{message}", "id": "{jobId}"}))
    job = ask(calling, actor, metadata={"client": 5})
    deliver_all(calling, db)

    by_method = {each.method: each for each in receiver.heard}
    assert json.loads(by_method["PUT"].body) == {
        "client_id": "5",
        "variables": {"answer": 'a "quoted" {jobId} & more', "cost": f"{job.charged} tokens"},
        "event": "job.succeeded",
        "nothing": "",
    }
    assert form(by_method["POST"].body) == {"a[b]": 'a "quoted" {jobId} & more', "id": job.id}


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


def test_a_test_event_is_sent_whatever_the_endpoint_wants(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url, events=["job.failed"])
    delivery = calling.webhooks.test(actor, endpoint.id, {"chatId": 1})
    deliver_all(calling, db)
    assert verified(endpoint.secret, receiver)["type"] == "webhook.test"
    assert receiver.ids() == [delivery.id]


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


def test_a_retried_job_has_a_callback_of_its_own(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, upstream: UpstreamControl
) -> None:
    upstream.clear()
    upstream.rule(status=400)
    failed = ask(calling, actor, callback_url=receiver.url)
    upstream.clear()
    retried: Job = calling.admin.retry_job(ROOT, failed.id)
    calling.run(retried.id)
    deliver_all(calling, db)
    assert {json.loads(each.body)["data"]["jobId"] for each in receiver.heard} == {failed.id, retried.id}


def test_urls_and_secrets_are_not_logged(
    calling: Container, db: Database, actor: Actor, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    url = receiver.url + "/very-secret-path"
    endpoint = register(calling, actor, url)
    receiver.replies = [(500, {}), (410, {})]
    ask(calling, actor, callback_url=url)
    for _ in range(3):
        deliver_all(calling, db)
        hurry(db)
    printed = "".join(capsys.readouterr())
    assert "delivery" in printed
    assert "very-secret-path" not in printed
    assert endpoint.secret not in printed
