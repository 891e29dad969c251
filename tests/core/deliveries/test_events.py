"""Deliveries: one event per final job and destination, and none for anybody else."""

import json
from dataclasses import replace

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.jobs import Job
from tests.core.checker import check_money
from tests.core.deliveries.support import deliver_all, only, register, verified
from tests.core.receivers import Receiver
from tests.core.support import ROOT, NewActor, ask, at_once, lose_worker, new_key, program_of, submit


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


def test_a_test_event_is_sent_whatever_the_endpoint_wants(
    calling: Container, db: Database, actor: Actor, receiver: Receiver
) -> None:
    endpoint = register(calling, actor, receiver.url, events=["job.failed"])
    delivery = calling.webhooks.test(actor, endpoint.id, {"chatId": 1})
    deliver_all(calling, db)
    assert verified(endpoint.secret, receiver)["type"] == "webhook.test"
    assert receiver.ids() == [delivery.id]


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
