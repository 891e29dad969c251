"""The bot profile over real processes: form and JSON, the key in the path, repeats, and answers that take longer."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests

from tests.core.checker import check_money
from tests.stack.stack import Program, StackUnderTest, eventually


@pytest.fixture
def bot(stack: StackUnderTest) -> Program:
    """A key that pays from its owner's account, who has the allowance of development."""
    return stack.register().new_key("bot", "billing:read")


def flat(reply: requests.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    body = dict(reply.json())
    assert all(isinstance(value, str | int | bool) for value in body.values())
    return body


def ask(bot: Program, **fields: Any) -> dict[str, Any]:
    return flat(bot.call("POST", "/api/bot/ask", json={"wait": 20, **fields}))


def test_json_form_and_path_are_one_question_and_one_charge(stack: StackUnderTest, bot: Program) -> None:
    question, name = f"asked thrice {uuid4().hex}", uuid4().hex
    stack.upstream.rule(contains=question, answer="at once", usage={"prompt_tokens": 20, "completion_tokens": 18})
    before = bot.billing()["currentBalance"]
    body = {"message": question, "clientRequestId": name}
    first = ask(bot, **body)
    form = flat(bot.call("POST", "/api/bot/ask", data={**body, "wait": "20"}))
    by_path = flat(requests.post(f"{stack.web.url}/api/bot/{bot.secret}/ask", data=body, timeout=30))
    assert (first["text"], first["part1"], first["partsCount"]) == ("at once", "at once", 1)
    assert form == first == by_path
    assert before - bot.billing()["currentBalance"] == 38 == before - first["balance"]
    assert len(stack.upstream.journal(contains=question)) == 1
    check_money(stack.db)


def test_repeats_at_once_are_one_question_and_one_charge(stack: StackUnderTest, bot: Program) -> None:
    """A builder that is impatient sends the same update again while the first one is still being answered."""
    question, name = f"asked at once {uuid4().hex}", uuid4().hex
    stack.upstream.rule(contains=question, hold=question, answer="in the end")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, bot, message=question, clientRequestId=name) for _ in range(8)]
        stack.upstream.wait_for_calls(1, contains=question)
        stack.upstream.release(question)
        replies = [each.result() for each in asked]
    assert {reply["text"] for reply in replies} == {"in the end"}
    assert len({reply["jobId"] for reply in replies}) == 1
    assert len(stack.upstream.journal(contains=question)) == 1
    check_money(stack.db)


def test_when_the_wait_is_over_the_answer_is_polled(stack: StackUnderTest, bot: Program) -> None:
    question = f"takes longer {uuid4().hex}"
    stack.upstream.rule(contains=question, hold=question, answer="**late**")
    asked = ask(bot, message=question, wait=1, clientRequestId="update-1")
    assert (asked["ok"], asked["text"], asked["errorCode"]) == (True, "", "")
    assert asked["status"] in ("queued", "running")
    path = f"/api/bot/result?jobId={asked['jobId']}"
    assert flat(bot.call("GET", f"{path}&wait=1"))["status"] == "running"
    stack.upstream.release(question)
    done = flat(bot.call("GET", f"{path}&wait=20&format=html"))
    assert (done["status"], done["text"], done["clientRequestId"]) == ("done", "<b>late</b>", "update-1")
    again = flat(requests.get(f"{stack.web.url}/api/bot/{bot.secret}/result", {"jobId": asked["jobId"]}, timeout=30))
    assert (again["text"], again["balance"]) == ("**late**", done["balance"])


def test_a_worker_that_dies_is_no_concern_of_the_bots(stack: StackUnderTest, bot: Program) -> None:
    question = f"outlives a worker {uuid4().hex}"
    stack.upstream.rule(contains=question, times=1, hold=question)
    stack.upstream.rule(contains=question, answer="all the same")
    asked = ask(bot, message=question, wait=0)
    stack.upstream.wait_for_calls(1, contains=question)
    for worker in stack.workers:
        worker.kill()
        worker.start()
    stack.upstream.release(question)
    path = f"/api/bot/result?jobId={asked['jobId']}&wait=5"
    done = eventually(lambda: (reply := flat(bot.call("GET", path)))["status"] == "done" and reply, 40)
    assert done["text"] == "all the same"
    check_money(stack.db)


def test_a_linked_persons_question_is_paid_once_by_the_account(stack: StackUnderTest, bot: Program) -> None:
    person = stack.register()
    code = person.call("POST", "/api/link/code").json()["code"]
    linked = flat(bot.call("POST", "/api/bot/link", data={"userId": "4242", "code": code}))
    assert linked["balance"] == person.billing()["currentBalance"]
    asked = ask(bot, userId="4242", message=f"paid by the account {uuid4().hex}")
    assert asked["status"] == "done"
    assert asked["balance"] == person.billing()["currentBalance"] < linked["balance"]
    assert person.job(asked["jobId"])["message"] == asked["text"]
    check_money(stack.db)


def test_a_key_in_a_path_is_in_no_log(stack: StackUnderTest, bot: Program) -> None:
    """Not in ours, and not in the web server's own about requests that it can't read."""
    where = urlsplit(stack.web.url)
    requests.post(f"{stack.web.url}/api/bot/{bot.secret}/ask", data={"message": "ping"}, timeout=30)
    for request in (
        "GET /api/bot/{0}/ask HTTP/9.9",
        "G@T /api/bot/{0}/ask",
        "GET /api/bot/{0}/ask\x00 HTTP/1.1",
        "{0}",
    ):
        with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
            connection.sendall(f"{request.format(bot.secret)}\r\nHost: x\r\n\r\n".encode())
            while connection.recv(4096):
                pass
    # One line of ours about the answer, with the template of its route.
    lines = stack.web.log().splitlines()
    assert [line for line in lines if "/api/bot/<api_key>/ask" in line and '"bot_outcome":"done"' in line]
    logs = "".join(part.log() for part in (stack.web, *stack.workers, stack.scheduler))
    assert "tm_***" in logs, "the web server said something about what it couldn't read"
    assert bot.secret not in logs
    assert bot.secret not in requests.get(f"{stack.web.url}/metrics", timeout=10).text
