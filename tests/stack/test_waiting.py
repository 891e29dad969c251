"""Waiting requests cost a greenlet each: hundreds of them leave the one web process free for others."""

import json

from bench.waiting import finish, hold
from tests.stack.stack import StackUnderTest, eventually

WAITERS = 500


def test_500_waiting_requests_do_not_keep_others_out(stack: StackUnderTest) -> None:
    stack.upstream.rule(contains="everybody waits", hold="gate", answer="here you are")
    person = stack.register()
    job_ids = [person.submit("everybody waits") for _ in range(10)]
    held = hold(stack.web.url, person.token, [job_ids[n % len(job_ids)] for n in range(WAITERS)], 50)

    # One process accepts in order, so when these are answered all of the others are waiting inside.
    assert person.call("GET", "/api/auth/me", timeout=5).status_code == 200
    assert person.call("GET", "/health/live", timeout=5).status_code == 200
    # They hold no connections: Redis and MongoDB serve this process through a handful.
    assert len(stack.redis_client.client_list()) < 60
    stack.upstream.release("gate")

    assert finish(held) == WAITERS


def test_prefer_wait_answers_in_the_same_reply(stack: StackUnderTest) -> None:
    stack.upstream.rule(contains="quick", answer="at once")
    person = stack.register()
    reply = person.call("POST", "/api/chat", json={"message": "quick"}, headers={"Prefer": "wait=20"})
    assert (reply.status_code, reply.json()["message"]) == (200, "at once")
    assert reply.headers["Preference-Applied"] == "wait=20"


def test_wait_that_is_over_falls_back_to_202(stack: StackUnderTest) -> None:
    stack.upstream.rule(contains="never mind", hold="gate", answer="late")
    person = stack.register()
    reply = person.call("POST", "/api/chat", json={"message": "never mind"}, headers={"Prefer": "wait=1"})
    assert reply.status_code == 202
    stack.upstream.release("gate")
    assert person.final(reply.json()["jobId"])["message"] == "late"


def test_answer_is_seen_within_seconds_when_the_announcement_is_lost(stack: StackUnderTest) -> None:
    stack.upstream.rule(contains="unheard", hold="gate", answer="seen all the same")
    person = stack.register()
    job_id = person.submit("unheard")
    stack.upstream.wait_for_calls(1, contains="unheard")
    held = hold(stack.web.url, person.token, [job_id], 20)
    stack.redis_client.client_kill_filter(_type="pubsub")
    stack.upstream.release("gate")
    assert finish(held) == 1


def test_request_id_goes_from_http_to_the_provider(stack: StackUnderTest) -> None:
    person = stack.register()
    headers = {"X-Request-Id": "trace-me-0123456789"}
    reply = person.call("POST", "/api/chat", json={"message": "where do I go"}, headers=headers)
    assert reply.headers["X-Request-Id"] == "trace-me-0123456789"
    job_id = reply.json()["jobId"]
    person.final(job_id)
    call = stack.upstream.journal(contains="where do I go")[0]
    assert call["request_id"] == "trace-me-0123456789"
    for log in (stack.web.log, *(worker.log for worker in stack.workers)):
        lines = [json.loads(line) for line in log().splitlines() if line.startswith("{")]
        mine = [line for line in lines if line.get("job_id") == job_id]
        assert all(line["request_id"] == "trace-me-0123456789" for line in mine)


def test_logs_hold_no_prompt_answer_or_secret(stack: StackUnderTest) -> None:
    stack.upstream.rule(contains="most private question", answer="most private answer")
    person = stack.register()
    person.final(person.submit("most private question"))
    person.call("GET", f"/api/auth/me?token={person.token}")
    eventually(lambda: any("job settled" in worker.log() for worker in stack.workers))
    logs = "".join(part.log() for part in (stack.web, *stack.workers, stack.scheduler))
    for secret in ("most private", person.token, "long enough", stack.environment["jwt_secret_key"], "sk-of-the"):
        assert secret not in logs
