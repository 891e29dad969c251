"""Answers followed while they are written, across web processes, while parts of the stack are killed and emptied.

The stand-in's journal is the stack's: a question here must hold no words by which another test finds its own.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.parts import Web
from tests.core.checker import check_money
from tests.stack.sse import Listener
from tests.stack.stack import Person, StackUnderTest, eventually

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
ANSWER = "Раз два три четыре пять 🌊 семь восемь девять десять"
THREE_WORDS = "Раз два три "
SOON_SECONDS = 1.0
IDLE_READERS = 200


@pytest.fixture(scope="module")
def second_web(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One more web process on the same servers."""
    directory: Path = tmp_path_factory.mktemp("second-web")
    with Web(directory, stack.environment, "second-web") as web:
        yield web


@pytest.fixture
def broken(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """The stack, whole again and checked after the test."""
    stack.upstream.clear()
    yield stack
    stack.upstream.clear()
    stack.crash_file.unlink(missing_ok=True)
    stack.redis.start()
    for part in (stack.web, *stack.workers, stack.scheduler):
        part.resume()
        part.start()
    eventually(lambda: stack.db.jobs.count_documents({"status": {"$in": ["queued", "running"]}}) == 0, 45)
    check_money(stack.db)


def ask(stack: StackUnderTest, person: Person, question: str, **rule: object) -> str:
    """A streamed question, of whose answer three words come before the gate opens."""
    stack.upstream.rule(
        contains=question, answer=ANSWER, usage=USAGE, hold=question, **{"hold_after_chunks": 3, **rule}
    )
    return person.submit(question, stream=True)


def test_two_web_processes_show_an_answer_while_it_is_written(broken: StackUnderTest, second_web: Web) -> None:
    person = broken.register()
    job_id = ask(broken, person, "shown twice")
    listeners = [Listener.of(person, job_id, url) for url in (broken.web.url, second_web.url)]
    for listener in listeners:
        assert listener.has_seen(len(THREE_WORDS)).text == THREE_WORDS
    assert person.job(job_id)["status"] == "running"

    broken.upstream.release("shown twice")

    for listener in listeners:
        assert listener.ended().text == ANSWER
        assert (listener.last["charged"], listener.last["finishReason"]) == (18, "stop")
        assert listener.ids == sorted(set(listener.ids))
        assert listener.last_id == len(ANSWER) + 1
    assert len(broken.upstream.journal(contains="shown twice")) == 1


def test_chunks_come_within_a_fraction_of_a_second(broken: StackUnderTest) -> None:
    person = broken.register()
    broken.upstream.rule(contains="in time", answer=ANSWER, chunk_delay_seconds=0.2)
    listener = Listener.of(person, person.submit("in time", stream=True), broken.web.url)
    assert listener.ended().text == ANSWER
    assert len(listener.ids) >= 8, "words that come slowly are not gathered"


def test_a_client_of_a_killed_web_process_goes_on_at_another(broken: StackUnderTest, second_web: Web) -> None:
    person = broken.register()
    job_id = ask(broken, person, "the web is gone")
    first = Listener.of(person, job_id, broken.web.url).has_seen(len(THREE_WORDS))
    broken.web.kill()
    assert first.ended().last == {}

    second = Listener.of(person, job_id, second_web.url, after=first.last_id)
    broken.upstream.release("the web is gone")

    assert first.text + second.ended().text == ANSWER
    assert second.names[-1] == "done"
    broken.web.start()
    third = Listener.of(person, job_id, broken.web.url, after=first.last_id - 5)
    assert third.ended().text == ANSWER[first.last_id - 5 :], "after the end too"


def test_an_emptied_redis_makes_no_gap_and_no_repeat(broken: StackUnderTest, second_web: Web) -> None:
    person = broken.register()
    job_id = ask(broken, person, "redis is emptied")
    early = Listener.of(person, job_id, broken.web.url).has_seen(len(THREE_WORDS))
    broken.redis_client.flushall()
    late = Listener.of(person, job_id, second_web.url)
    broken.upstream.release("redis is emptied")
    assert (early.ended().text, late.ended().text) == (ANSWER, ANSWER)
    broken.redis_client.flushall()
    after_all = Listener.of(person, job_id, second_web.url, after=7)
    assert after_all.ended().text == ANSWER[7:]


@pytest.mark.parametrize("back", [True, False])
def test_a_killed_redis_makes_no_gap_and_no_repeat(broken: StackUnderTest, back: bool) -> None:
    person, question = broken.register(), f"redis is gone, back {back}"
    job_id = ask(broken, person, question)
    listener = Listener.of(person, job_id, broken.web.url).has_seen(len(THREE_WORDS))
    broken.redis.kill()
    if back:
        broken.redis.start()
    broken.upstream.release(question)
    assert listener.ended().text == ANSWER
    assert listener.last["charged"] == 18


def test_an_answer_whose_worker_died_is_not_begun_again(broken: StackUnderTest) -> None:
    person = broken.register()
    job_id = ask(broken, person, "gone after three words")
    listener = Listener.of(person, job_id, broken.web.url).has_seen(len(THREE_WORDS))
    for worker in broken.workers:
        worker.kill()
    broken.workers[0].start()

    job = person.final(job_id)

    assert (job["status"], job["error"]["code"], job["charged"]) == ("failed", "INTERRUPTED", 0)
    assert job["message"] == listener.ended().text == THREE_WORDS
    assert (listener.names[-1], listener.last["code"]) == ("error", "INTERRUPTED")
    assert len(broken.upstream.journal(contains="gone after three words")) == 1
    assert person.billing()["currentBalance"] == 100_000


def test_a_job_whose_worker_died_before_the_first_piece_is_run_again(broken: StackUnderTest) -> None:
    person = broken.register()
    job_id = ask(broken, person, "gone before the first", hold_after_chunks=0, times=1)
    broken.upstream.rule(contains="gone before the first", answer=ANSWER, usage=USAGE)
    listener = Listener.of(person, job_id, broken.web.url)
    broken.upstream.wait_for_calls(1, contains="gone before the first")
    for worker in broken.workers:
        worker.kill()
    broken.workers[0].start()
    assert listener.ended().text == ANSWER
    assert (listener.last["charged"], len(broken.upstream.journal(contains="gone before the first"))) == (18, 2)


def test_a_frozen_worker_shows_nothing_after_its_lease(broken: StackUnderTest) -> None:
    broken.workers[1].stop()
    person = broken.register()
    job_id = ask(broken, person, "the worker sleeps")
    listener = Listener.of(person, job_id, broken.web.url).has_seen(len(THREE_WORDS))
    frozen = broken.workers[0]
    before = frozen.log().count("run lost its claim")
    frozen.pause()
    broken.workers[1].start()
    job = person.final(job_id)
    broken.upstream.release("the worker sleeps")
    frozen.resume()
    eventually(lambda: frozen.log().count("run lost its claim") > before)
    assert (job["error"]["code"], job["message"]) == ("INTERRUPTED", THREE_WORDS)
    assert listener.ended().text == THREE_WORDS
    assert person.job(job_id) == job
    assert Listener.of(person, job_id, broken.web.url).ended().text == THREE_WORDS


def test_a_cancel_stops_the_provider_within_a_second_and_keeps_what_was_shown(broken: StackUnderTest) -> None:
    person = broken.register()
    job_id = ask(broken, person, "stop writing")
    listener = Listener.of(person, job_id, broken.web.url).has_seen(len(THREE_WORDS))

    asked = time.time()
    person.call("POST", f"/api/chat/jobs/{job_id}/cancel")

    (call,) = broken.upstream.wait_for_calls(1, contains="stop writing", finished=True)
    assert (call["outcome"], call["finished"] - asked < SOON_SECONDS) == ("disconnected", True)
    job = person.final(job_id)
    assert (job["status"], job["message"], job["usage"]["estimated"]) == ("cancelled", THREE_WORDS, True)
    assert job["charged"] == job["usage"]["totalTokens"] > 0
    assert person.billing()["currentBalance"] == 100_000 - job["charged"]
    assert listener.ended().text == THREE_WORDS
    assert (listener.last["status"], listener.last["charged"]) == ("cancelled", job["charged"])


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"cut_after_chunks": 3}, "UPSTREAM_ERROR"),
        ({"reset_after_chunks": 3}, "UPSTREAM_ERROR"),
        ({"garbage_after_chunks": 3}, "UPSTREAM_ERROR"),
        ({"stall_after_chunks": 3}, "UPSTREAM_TIMEOUT"),
    ],
    ids=["cut", "reset", "garbage", "stall"],
)
def test_an_answer_that_the_provider_breaks_off_is_free(broken: StackUnderTest, rule: dict, code: str) -> None:
    person, question = broken.register(), f"broken off {rule}"
    broken.upstream.rule(contains=question, answer=ANSWER, **rule)
    listener = Listener.of(person, person.submit(question, stream=True), broken.web.url)
    assert listener.ended(40).text == THREE_WORDS
    assert (listener.names[-1], listener.last["code"]) == ("error", code)
    assert len(broken.upstream.journal(contains=question)) == 1
    assert person.billing()["currentBalance"] == 100_000


def test_a_question_is_answered_by_its_own_stream(broken: StackUnderTest) -> None:
    person = broken.register()
    broken.upstream.rule(contains="tell me here", answer=ANSWER, hold="here", hold_after_chunks=3)
    listener = Listener(f"{broken.web.url}/api/chat", person.token, body={"message": "tell me here"}).start()
    listener.has_seen(len(THREE_WORDS))
    job_id = listener.headers["X-Job-Id"]
    assert listener.headers["Location"] == f"/api/chat/jobs/{job_id}"
    assert person.job(job_id)["status"] == "running"
    broken.upstream.release("here")
    assert listener.ended().text == ANSWER


def test_idle_readers_cost_one_connection_and_keep_nobody_out(broken: StackUnderTest) -> None:
    person = broken.register()
    for n in range(20):
        broken.upstream.rule(contains=f"idle {n}.", hold="idle", hold_after_chunks=1, answer=ANSWER)
    job_ids = [person.submit(f"idle {n}.", stream=True) for n in range(20)]
    first = Listener.of(person, job_ids[0], broken.web.url).has_seen(1)
    before = len(broken.redis_client.client_list())

    listeners = [Listener.of(person, job_ids[n % 20], broken.web.url) for n in range(IDLE_READERS)]

    for listener in listeners:
        listener.has_seen(1)
    assert len(broken.redis_client.client_list()) <= before + 1
    assert person.call("GET", "/health/live", timeout=5).status_code == 200
    gauge = next(
        line
        for line in person.call("GET", "/metrics").text.splitlines()
        if line.startswith(("chat_streams_open ", "chat_streams_open{"))
    )
    assert float(gauge.split()[-1]) >= IDLE_READERS + 1
    broken.upstream.release("idle")
    assert {listener.ended().text for listener in (first, *listeners)} == {ANSWER}


# What is kept is known where nothing of it can still be on its way to Redis.
CRASHES = {
    "jobs.show:before": ("succeeded", ANSWER, 2),
    "jobs.show:after": ("failed", "Раз ", 1),
    "answer_writer.show:after": ("failed", None, 1),
    "money.settle:before": ("failed", None, 1),
    "money.settle:after": ("succeeded", ANSWER, 1),
    "answer_writer.end:before": ("succeeded", ANSWER, 1),
    "answer_writer.end:after": ("succeeded", ANSWER, 1),
}


@pytest.mark.parametrize("point", CRASHES)
def test_worker_dies_while_it_shows(broken: StackUnderTest, point: str) -> None:
    status, text, calls = CRASHES[point]
    question, person = f"shows until {point}", broken.register()
    job_id = ask(broken, person, question, hold_after_chunks=0)
    listener = Listener.of(person, job_id, broken.web.url)
    broken.upstream.wait_for_calls(1, contains=question)
    broken.crash_file.write_text(point)
    broken.upstream.release(question)
    eventually(lambda: not all(worker.running for worker in broken.workers))

    job = person.final(job_id)

    assert not broken.crash_file.exists()
    assert job["status"] == status
    assert text is None or job["message"] == text
    assert listener.ended().text == job["message"]
    assert job["charged"] == (18 if status == "succeeded" else 0)
    assert len(broken.upstream.journal(contains=question)) == calls
