"""Processes that are told to end, as a new version or a smaller fleet tells them: nobody loses anything by it."""

import threading
from collections.abc import Iterator

import pytest
import requests

from tests.core.checker import check_money
from tests.stack.sse import Listener
from tests.stack.stack import Person, StackUnderTest, eventually

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
# A worker may take its grace period (1 s here) and the time that Celery needs to stop.
STOP_SECONDS = 20.0


@pytest.fixture
def restarted(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    stack.upstream.clear()
    yield stack
    stack.upstream.clear()
    for part in (stack.web, *stack.workers):
        part.start()
    eventually(lambda: stack.db.jobs.count_documents({"status": {"$in": ["queued", "running"]}}) == 0, 45)
    check_money(stack.db)


def test_a_job_that_does_not_end_in_time_is_handed_to_another_worker(restarted: StackUnderTest) -> None:
    first, second = restarted.workers
    second.stop()
    restarted.upstream.rule(contains="too long", hold="gate", times=1)
    restarted.upstream.rule(contains="too long", answer="second try", usage=USAGE)
    person = restarted.register()
    job_id = person.submit("takes too long")
    restarted.upstream.wait_for_calls(1, contains="too long")

    first.stop(STOP_SECONDS)
    assert restarted.db.jobs.find_one({"_id": job_id})["status"] == "queued", "before its lease was over"
    second.start()

    job = person.final(job_id)
    assert (job["status"], job["message"], job["charged"]) == ("succeeded", "second try", 18)
    stored = restarted.db.jobs.find_one({"_id": job_id})
    assert (stored["attempt"], stored["handed_back"]) == (2, 1)


def test_a_job_that_ends_in_time_is_answered_by_the_worker_that_stops(restarted: StackUnderTest) -> None:
    first, second = restarted.workers
    second.stop()
    restarted.upstream.rule(contains="soon", delay_seconds=0.7, answer="just in time", usage=USAGE)
    person = restarted.register()
    job_id = person.submit("answered soon")
    restarted.upstream.wait_for_calls(1, contains="soon")

    first.stop(STOP_SECONDS)

    assert person.job(job_id)["message"] == "just in time"
    assert len(restarted.upstream.journal(contains="soon")) == 1


def test_an_answer_that_was_begun_ends_with_its_worker_and_costs_nothing(restarted: StackUnderTest) -> None:
    first, second = restarted.workers
    second.stop()
    restarted.upstream.rule(contains="begun", answer="one two three four", hold="gate", hold_after_chunks=4)
    person = restarted.register()
    job_id = person.submit("begun", stream=True)
    listener = Listener.of(person, job_id, restarted.web.url).has_seen(3)

    first.stop(STOP_SECONDS)

    listener.ended()
    job = person.job(job_id)
    assert (job["status"], job["error"]["code"], job["charged"]) == ("failed", "INTERRUPTED", 0)
    assert job["message"] == listener.text


def test_waiting_clients_of_a_web_process_that_stops_are_answered_at_once(restarted: StackUnderTest) -> None:
    restarted.upstream.rule(contains="patience", hold="gate", answer="at last", usage=USAGE)
    person = restarted.register()
    job_id = person.submit("patience", stream=True)
    replies: list[requests.Response] = []
    waits = [
        threading.Thread(target=lambda: replies.append(person.call("GET", f"/api/chat/jobs/{job_id}?wait=50"))),
        threading.Thread(target=lambda: replies.append(_wait_for(person, "patience, too"))),
    ]
    listener = Listener.of(person, job_id, restarted.web.url)
    for wait in waits:
        wait.start()
    restarted.upstream.wait_for_calls(2, contains="patience")
    eventually(lambda: listener.headers)

    restarted.web.stop(STOP_SECONDS)

    for wait in waits:
        wait.join(STOP_SECONDS)
    assert sorted(reply.status_code for reply in replies) == [200, 202]
    assert {reply.json()["status"] for reply in replies} <= {"queued", "running"}
    listener.ended()
    assert (listener.broken, listener.names) == (False, []), "told to reconnect, not cut"
    restarted.web.start()
    restarted.upstream.release("gate")
    assert person.final(job_id)["message"] == "at last"


def _wait_for(person: Person, question: str) -> requests.Response:
    return requests.post(
        f"{person._url}/api/chat",
        json={"message": question},
        headers={"Authorization": f"Bearer {person.token}", "Prefer": "wait=50"},
        timeout=60,
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_completion_is_answered_by_the_web_process_that_stops(restarted: StackUnderTest, stream: bool) -> None:
    """OpenAI's SDKs can't ask another process for the answer: they would buy it again."""
    question = f"completion {stream}"
    restarted.upstream.rule(contains=question, hold="gate", answer="one two three", usage=USAGE)
    person = restarted.register()
    replies: list[requests.Response] = []
    body = {"model": "default", "messages": [{"role": "user", "content": question}], "stream": stream}
    client = threading.Thread(
        target=lambda: replies.append(person.call("POST", "/v1/chat/completions", json=body)), daemon=True
    )
    client.start()
    restarted.upstream.wait_for_calls(1, contains=question)
    stopping = threading.Thread(target=restarted.web.stop, args=[STOP_SECONDS])
    stopping.start()
    eventually(lambda: "Handling signal: term" in restarted.web.log()[-2000:])

    restarted.upstream.release("gate")

    client.join(STOP_SECONDS)
    stopping.join(STOP_SECONDS)
    (reply,) = replies
    assert reply.status_code == 200, reply.text
    assert ("data: [DONE]" in reply.text) if stream else ("one two three" in reply.text)


def test_workers_restarted_one_after_the_other_under_load_lose_nothing(restarted: StackUnderTest) -> None:
    restarted.upstream.rule(contains="load", delay_seconds=0.3, usage=USAGE)
    person = restarted.register()
    asked: list[str] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            asked.append(person.submit(f"load {len(asked)}"))
            enough.wait(0.05)

    client = threading.Thread(target=ask)
    client.start()
    try:
        for worker in restarted.workers:
            worker.stop(STOP_SECONDS)
            worker.start()
    finally:
        enough.set()
        client.join()

    assert {person.final(job_id)["status"] for job_id in asked} == {"succeeded"}
    assert len(asked) > 20
    assert person.billing()["currentBalance"] == 100_000 - 18 * len(asked)


def test_a_web_process_restarted_under_load_loses_and_doubles_nothing(restarted: StackUnderTest) -> None:
    restarted.upstream.rule(contains="web load", usage=USAGE)
    people = [restarted.register() for _ in range(3)]
    asked: dict[str, list[str]] = {person.account_id: [] for person in people}
    enough = threading.Event()
    clients = [
        threading.Thread(target=_keep_asking, args=(person, asked[person.account_id], enough)) for person in people
    ]
    for client in clients:
        client.start()
    try:
        for _ in range(2):
            eventually(lambda so_far=sum(map(len, asked.values())): sum(map(len, asked.values())) > so_far + 10)
            restarted.web.stop(STOP_SECONDS)
            restarted.web.start()
    finally:
        enough.set()
        for client in clients:
            client.join()

    for person in people:
        job_ids = asked[person.account_id]
        assert {person.final(job_id)["status"] for job_id in job_ids} == {"succeeded"}
        assert restarted.db.jobs.count_documents({"account_id": person.account_id}) == len(set(job_ids))
        assert person.billing()["currentBalance"] == 100_000 - 18 * len(job_ids)


def _keep_asking(person: Person, asked: list[str], enough: threading.Event) -> None:
    """One question after the other; one without a reply is sent again under the same key, as careful clients do."""
    while not enough.wait(0.02):
        name = f"web load {len(asked)}"
        reply = None
        while reply is None or reply.status_code == 503:
            try:
                reply = person.ask(name, key=name.replace(" ", "-"))
            except requests.RequestException:
                # Nobody listens for a moment.
                enough.wait(0.1)
        assert reply.status_code == 202, reply.text
        asked.append(str(reply.json()["jobId"]))


def test_a_web_process_that_stops_writes_its_last_requests_down(restarted: StackUnderTest) -> None:
    def counted() -> tuple[int, int]:
        days = list(restarted.db.request_days.find({}))
        refused = sum(day.get("errors", {}).get("UNAUTHORIZED", 0) for day in days)
        return sum(day["requests"] for day in days), refused

    restarted.web.stop()
    requests_before, refused_before = counted()
    restarted.web.start()
    for _ in range(3):
        assert requests.get(f"{restarted.web.url}/api/auth/me", timeout=10).status_code == 401
    # Long before they would be written down by the way.
    restarted.web.stop()
    assert counted() == (requests_before + 3, refused_before + 3)
