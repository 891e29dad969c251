"""Callbacks of the real stack: whatever dies or hangs, each receiver hears of each job under one id."""

import time
from collections import Counter
from collections.abc import Iterator

import pytest
from standardwebhooks.webhooks import Webhook

from service.usecases.deliver import SLOTS
from tests.core.checker import check_money
from tests.core.receivers import Receiver, receiving
from tests.stack.stack import Person, StackUnderTest, eventually

DELIVERY_POINTS = [
    "deliveries.take_slot:after",
    "deliveries.claim:after",
    "webhook_sender.send:before",
    "webhook_sender.send:after",
    "deliveries.finish:before",
    "deliveries.finish:after",
    "deliveries.leave_slot:after",
]
# At these the receiver has heard of it already, and hears once more.
HEARD_TWICE = {"webhook_sender.send:after", "deliveries.finish:before"}
SETTLE_POINTS = ["money.settle:after", "events.announce:after", "delivery_bell.ring:before", "delivery_bell.ring:after"]
# A claim's lease is the time limit of a request and three seconds.
PATIENCE_SECONDS = 40.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def mortal(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """The stack, made whole again after one of its processes died."""
    yield stack
    stack.crash_file.unlink(missing_ok=True)
    for worker in stack.workers:
        worker.start()


def register(person: Person, receiver: Receiver) -> tuple[str, str]:
    """The id and the secret of a new endpoint."""
    reply = person.call("POST", "/api/webhooks", json={"url": receiver.url})
    assert reply.status_code == 201, reply.text
    return reply.json()["id"], reply.json()["secret"]


def test_a_question_with_a_callback(stack: StackUnderTest, receiver: Receiver) -> None:
    person = stack.register()
    _, secret = register(person, receiver)
    with receiving() as own:
        job_id = person.submit("call me back", callbackUrl=own.url)
        eventually(lambda: receiver.heard and own.heard)
    heard = receiver.heard[0]
    told = Webhook(secret).verify(heard.body, heard.headers)
    assert (told["type"], told["data"]["jobId"]) == ("job.succeeded", job_id)
    assert told["data"]["message"] == person.final(job_id)["message"]
    assert heard.headers["X-Request-Id"] == stack.db.jobs.find_one({"_id": job_id})["request_id"]
    for part in (stack.web, *stack.workers):
        assert receiver.url not in part.log()


@pytest.mark.parametrize("point", DELIVERY_POINTS)
def test_the_dispatcher_dies_at(mortal: StackUnderTest, receiver: Receiver, point: str) -> None:
    person = mortal.register()
    mortal.upstream.rule(contains=f"dispatcher dies at {point}", hold="gate")
    job_id = person.submit(f"dispatcher dies at {point}", callbackUrl=receiver.url)
    mortal.upstream.wait_for_calls(1, contains=f"dispatcher dies at {point}")
    mortal.crash_file.write_text(point)
    mortal.upstream.release("gate")
    eventually(lambda: not all(worker.running for worker in mortal.workers))
    assert not mortal.crash_file.exists()

    row = eventually(lambda: mortal.db.deliveries.find_one({"job_id": job_id, "status": "delivered"}), PATIENCE_SECONDS)

    assert row["tries"] == 1
    assert len(receiver.heard) == (2 if point in HEARD_TWICE else 1)
    assert set(receiver.ids()) == {row["_id"]}


@pytest.mark.parametrize("point", SETTLE_POINTS)
def test_who_settles_dies_at(mortal: StackUnderTest, receiver: Receiver, point: str) -> None:
    person = mortal.register()
    mortal.upstream.rule(contains=f"settler dies at {point}", hold="gate")
    job_id = person.submit(f"settler dies at {point}", callbackUrl=receiver.url)
    mortal.upstream.wait_for_calls(1, contains=f"settler dies at {point}")
    mortal.crash_file.write_text(point)
    mortal.upstream.release("gate")
    eventually(lambda: not all(worker.running for worker in mortal.workers))

    eventually(lambda: receiver.heard, PATIENCE_SECONDS)

    (row,) = mortal.db.deliveries.find({"job_id": job_id})
    assert receiver.ids() == [row["_id"]]


def test_workers_that_die_and_a_flushed_redis_lose_no_event(mortal: StackUnderTest, receiver: Receiver) -> None:
    """Receivers hear of every job, whatever is killed while they are told."""
    person = mortal.register()
    register(person, receiver)
    jobs = []
    for number in range(60):
        jobs.append(person.submit(f"many events {number}"))
        if number % 20 == 10:
            mortal.redis_client.flushall()
            worker = mortal.workers[number // 20 % 2]
            worker.kill()
            worker.start()
    deliveries = mortal.db.deliveries
    told = {"job_id": {"$in": jobs}, "status": "delivered"}
    eventually(lambda: deliveries.count_documents(told) == len(jobs), 60)
    heard = Counter(receiver.ids())
    assert heard.keys() == {row["_id"] for row in deliveries.find({"job_id": {"$in": jobs}})}
    assert len(heard) == len(jobs), "one event per job"
    check_money(mortal.db)


def test_a_receiver_that_hangs_delays_nobody_elses(stack: StackUnderTest, receiver: Receiver) -> None:
    """A hundred events wait for one that hangs; somebody else's comes as soon as the job is done."""
    with receiving() as hanging:
        hanging.going.clear()
        unlucky, lucky = stack.register(), stack.register()
        register(unlucky, hanging)
        register(lucky, receiver)
        for number in range(100):
            unlucky.submit(f"hanging {number}")
        eventually(lambda: hanging.heard)
        waits, slots = [], []
        for number in range(10):
            heard, job_id = len(receiver.heard), lucky.submit(f"healthy {number}")
            lucky.final(job_id)
            started = time.monotonic()
            eventually(lambda heard=heard: len(receiver.heard) > heard)
            waits.append(time.monotonic() - started)
            slots += [len(row["holders"]) for row in stack.db.delivery_slots.find()]
        assert max(waits) < 5, "they take 25 s or more"
        assert 0 < max(slots) <= SLOTS
