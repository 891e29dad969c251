"""Promises 1 to 3 while processes and servers are killed, frozen and emptied under way."""

import time
from collections.abc import Iterator

import pytest

from tests.core.checker import check_money
from tests.stack.stack import StackUnderTest, eventually

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


@pytest.fixture
def broken(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """The stack, whole again and checked after the test."""
    stack.upstream.clear()
    yield stack
    stack.upstream.clear()
    stack.mongo.start()
    stack.redis.start()
    for part in (stack.web, *stack.workers, stack.scheduler):
        part.resume()
        part.start()
    eventually(lambda: stack.db.jobs.count_documents({"status": {"$in": ["queued", "running"]}}) == 0, 45)
    check_money(stack.db)


def only_one_worker(stack: StackUnderTest) -> None:
    for other in stack.workers[1:]:
        other.stop()


def test_job_of_a_killed_worker_is_run_again_and_charged_once(broken: StackUnderTest) -> None:
    only_one_worker(broken)
    broken.upstream.rule(contains="killed", hold="gate", times=1)
    broken.upstream.rule(contains="killed", answer="second try", usage=USAGE)
    person = broken.register()
    job_id = person.submit("killed in the middle")
    broken.upstream.wait_for_calls(1, contains="killed")

    broken.workers[0].kill()
    broken.workers[0].start()

    job = person.final(job_id)
    assert (job["status"], job["message"], job["charged"]) == ("succeeded", "second try", 18)
    assert len(broken.upstream.journal(contains="killed")) == 2
    assert person.billing()["currentBalance"] == 100_000 - 18


def test_flushed_redis_loses_no_job_queued_or_running(broken: StackUnderTest) -> None:
    broken.upstream.rule(contains="running", hold="gate", usage=USAGE)
    person = broken.register()
    running = [person.submit(f"running {n}") for n in range(3)]
    broken.upstream.wait_for_calls(3, contains="running")
    for worker in broken.workers:
        worker.pause()
    queued = [person.submit(f"queued {n}") for n in range(5)]

    broken.redis_client.flushall()
    for worker in broken.workers:
        worker.resume()
    broken.upstream.release("gate")

    assert {person.final(job_id)["status"] for job_id in running + queued} == {"succeeded"}


def test_submit_without_redis_is_accepted_within_a_second_and_runs_later(broken: StackUnderTest) -> None:
    person = broken.register()
    broken.redis.kill()
    started = time.monotonic()
    job_id = person.submit("nobody hears the bell")
    assert time.monotonic() - started < 1
    assert person.job(job_id)["status"] == "queued"

    broken.redis.start()

    assert person.final(job_id)["status"] == "succeeded"


def test_workers_hear_again_after_outages_of_redis_in_which_jobs_ended(broken: StackUnderTest) -> None:
    person = broken.register()
    for outage in range(3):
        question = f"ends in outage {outage}"
        broken.upstream.rule(contains=question, hold="gate", usage=USAGE)
        running = [person.submit(question) for _ in range(6)]
        broken.upstream.wait_for_calls(len(running), contains=question)
        broken.redis.kill()
        broken.upstream.release("gate")
        for job_id in running:
            assert person.final(job_id)["status"] == "succeeded"
        broken.redis.start()

        assert person.final(person.submit("are you there?"))["status"] == "succeeded"


def test_submit_with_a_frozen_redis_is_accepted_within_a_second(broken: StackUnderTest) -> None:
    person = broken.register()
    broken.redis.pause()
    try:
        started = time.monotonic()
        job_id = person.submit("the bell is stuck")
        assert time.monotonic() - started < 1
    finally:
        broken.redis.resume()

    assert person.final(job_id)["status"] == "succeeded"


def test_a_full_redis_loses_nothing_and_workers_hear_again_when_it_has_room(broken: StackUnderTest) -> None:
    """It answers, and refuses every write: no ring, no piece of a stream, no lock."""
    broken.upstream.rule(contains="while it fills", hold="gate", answer="all of it", usage=USAGE)
    person = broken.register()
    running = [person.submit(f"while it fills {n}", stream=True) for n in range(3)]
    broken.upstream.wait_for_calls(len(running), contains="while it fills")
    broken.redis_client.config_set("maxmemory", 1)
    try:
        broken.upstream.release("gate")
        ended = [person.final(job_id) for job_id in running]
        assert {(job["status"], job["message"]) for job in ended} == {("succeeded", "all of it")}
        started = time.monotonic()
        queued = [person.submit(f"nobody can ring {n}") for n in range(3)]
        assert time.monotonic() - started < 3
        assert {person.job(job_id)["status"] for job_id in queued} == {"queued"}
    finally:
        broken.redis_client.config_set("maxmemory", 0)

    assert {person.final(job_id)["status"] for job_id in queued} == {"succeeded"}


@pytest.mark.parametrize("harm", ["kill", "pause"])
def test_submit_without_the_database_is_refused_within_five_seconds(broken: StackUnderTest, harm: str) -> None:
    person = broken.register()
    before = person.billing()["currentBalance"]
    getattr(broken.mongo, harm)()
    try:
        started = time.monotonic()
        reply = person.call("POST", "/api/chat", json={"message": "nowhere to write"})
        seconds = time.monotonic() - started
    finally:
        broken.mongo.resume()
        broken.mongo.start()
    assert (reply.status_code, reply.json()["code"]) == (503, "UNAVAILABLE")
    assert int(reply.headers["Retry-After"]) > 0
    assert seconds < 5
    assert eventually(lambda: person.call("GET", "/api/billing").status_code == 200)
    assert person.billing()["currentBalance"] == before
    assert person.final(person.submit("back again"))["status"] == "succeeded"


def test_answer_survives_a_database_that_is_away_when_it_arrives(broken: StackUnderTest) -> None:
    broken.upstream.rule(contains="patient", hold="gate", answer="kept", usage=USAGE)
    person = broken.register()
    job_id = person.submit("be patient")
    broken.upstream.wait_for_calls(1, contains="patient")
    broken.mongo.kill()
    broken.upstream.release("gate")
    broken.upstream.wait_for_calls(1, contains="patient", finished=True)

    broken.mongo.start()

    job = person.final(job_id)
    assert (job["status"], job["charged"]) == ("succeeded", 18)


def test_message_delivered_ten_times_calls_the_provider_once(broken: StackUnderTest) -> None:
    broken.upstream.rule(contains="ten times", hold="gate", usage=USAGE)
    person = broken.register()
    job_id = person.submit("ten times")
    broken.upstream.wait_for_calls(1, contains="ten times")
    for _ in range(9):
        broken.ring(job_id)
    eventually(lambda: broken.redis_client.llen("chat") == 0)
    broken.upstream.release("gate")

    assert person.final(job_id)["charged"] == 18
    assert len(broken.upstream.journal(contains="ten times")) == 1
    assert person.billing()["currentBalance"] == 100_000 - 18


def test_thawed_worker_cannot_write_after_its_lease(broken: StackUnderTest) -> None:
    only_one_worker(broken)
    broken.upstream.rule(contains="frozen", hold="gate", times=1, answer="of the frozen one")
    broken.upstream.rule(contains="frozen", answer="of the second", usage=USAGE)
    person = broken.register()
    job_id = person.submit("frozen for long")
    broken.upstream.wait_for_calls(1, contains="frozen")
    frozen = broken.workers[0]
    frozen.pause()
    broken.workers[1].start()
    job = person.final(job_id)
    assert job["message"] == "of the second"

    broken.upstream.release("gate")
    frozen.resume()

    eventually(lambda: "run lost its claim" in frozen.log())
    assert person.job(job_id) == job
    assert person.billing()["currentBalance"] == 100_000 - 18


def test_cancel_reaches_the_call_on_whichever_worker_runs_it(broken: StackUnderTest) -> None:
    broken.upstream.rule(contains="stop me", hold="gate")
    person = broken.register()
    job_id = person.submit("stop me")
    broken.upstream.wait_for_calls(1, contains="stop me")

    assert person.call("POST", f"/api/chat/jobs/{job_id}/cancel").status_code == 200

    call = broken.upstream.wait_for_calls(1, contains="stop me", finished=True)[0]
    assert call["outcome"] == "disconnected"
    job = person.final(job_id)
    assert (job["status"], job["charged"]) == ("cancelled", 0)
    assert person.billing()["currentBalance"] == 100_000


def test_killed_web_process_forgets_no_accepted_job(broken: StackUnderTest) -> None:
    broken.upstream.rule(contains="web dies", hold="gate", usage=USAGE)
    person = broken.register()
    jobs = [person.submit(f"web dies {n}") for n in range(3)]

    broken.web.kill()
    broken.upstream.release("gate")
    broken.web.start()

    assert {person.final(job_id)["status"] for job_id in jobs} == {"succeeded"}
