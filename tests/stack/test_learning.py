"""Structured answers by real workers: asked for once more, stopped in the middle, and silent in the logs."""

import json

from tests.stack.stack import StackUnderTest, eventually


def test_a_plan_is_asked_for_once_more_and_charged_once(stack: StackUnderTest) -> None:
    usage = {"prompt_tokens": 300, "completion_tokens": 100, "total_tokens": 400}
    stack.upstream.rule(contains="plan twice", times=1, answer='{"title": "tamarisk"}', usage=usage)
    stack.upstream.rule(contains="plan twice", usage=usage)
    person = stack.register()
    before = person.billing()["currentBalance"]

    body = {"message": "plan twice", "assistant": "planner", "stream": True}
    reply = person.call("POST", "/api/chat", json=body, headers={"Prefer": "wait=20"})

    assert reply.status_code == 200, reply.text
    assert reply.json()["result"]["title"] == "title: plan twice"
    assert json.loads(reply.json()["message"]) == reply.json()["result"]
    assert reply.json()["charged"] == 400
    assert person.billing()["currentBalance"] == before - 400
    assert len(stack.upstream.journal(contains="plan twice")) == 2
    logs = "".join(part.log() for part in (stack.web, *stack.workers))
    assert "asking once more" in logs
    assert "tamarisk" not in logs


def test_a_cancel_stops_the_second_try(stack: StackUnderTest) -> None:
    stack.upstream.rule(contains="plan and stop", times=1, answer="no JSON")
    stack.upstream.rule(contains="plan and stop", hold="second try")
    person = stack.register()
    before = person.billing()["currentBalance"]
    job_id = person.submit("plan and stop", assistant="planner")
    stack.upstream.wait_for_calls(2, contains="plan and stop")
    person.call("POST", f"/api/chat/jobs/{job_id}/cancel")
    job = person.final(job_id)
    assert (job["status"], job["charged"]) == ("cancelled", 0)
    calls = stack.upstream.wait_for_calls(2, contains="plan and stop", finished=True)
    assert [call["outcome"] for call in calls] == ["answered", "disconnected"]
    assert eventually(lambda: person.billing()["currentBalance"] == before)


def test_the_connection_is_tested_from_the_web_process(stack: StackUnderTest) -> None:
    person = stack.register()
    found = person.call("POST", "/api/ai/test-connection").json()
    assert (found["success"], found["model"]) == (True, "default")
    stack.upstream.rule(path="/v1/models", times=1, status=401, error={"message": "Incorrect API key: sk-of-the"})
    failed = person.call("POST", "/api/ai/test-connection")
    assert (failed.status_code, failed.json()["reason"]) == (500, "key_refused")
    assert "sk-of-the" not in failed.text + stack.web.log()
    # Nobody else minds: the breaker is closed.
    assert person.final(person.submit("still there?"))["status"] == "succeeded"
