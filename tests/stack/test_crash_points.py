"""A process dies at each place between acceptance and the final word: the job still ends once, charged once."""

import json
from collections.abc import Iterator

import pytest
from requests import ConnectionError as Disconnected

from tests.core.checker import check_money
from tests.core.support import plan_of
from tests.stack.stack import PASSWORD, StackUnderTest, eventually

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
WORKER_POINTS = [
    "jobs.claim:after",
    "upstream.answer:before",
    "upstream.answer:after",
    "money.settle:before",
    "transaction.commit:before",
    "money.settle:after",
    "events.announce:after",
]
BEFORE_THE_CALL = {"jobs.claim:after", "upstream.answer:before"}
# At these the provider has answered already, and is asked once more.
ASKED_TWICE = {"upstream.answer:after", "money.settle:before", "transaction.commit:before"}
LINK_POINTS = ["links.link:before", "transaction.commit:before", "links.link:after"]
ERASE_POINTS = [
    "erasures.begin:before",
    "transaction.commit:before",
    "erasures.begin:after",
    "erasures.remove_messages:after",
    "erasures.erase_jobs:before",
]
FAREWELL_POINTS = [
    "account_erasures.begin:before",
    "transaction.commit:before",
    "account_erasures.begin:after",
    "erasures.remove_messages:after",
    "account_erasures.remove_belongings:after",
]
PLAN_POINTS = ["upstream.answer:after", "transaction.commit:before", "money.settle:after"]
WEB_POINTS = ["transaction.commit:before", "money.reserve:after", "doorbell.ring:after"]


@pytest.fixture
def mortal(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    """The stack, made whole again after one of its processes died."""
    yield stack
    stack.crash_file.unlink(missing_ok=True)
    for worker in stack.workers:
        worker.start()


@pytest.mark.parametrize("point", WORKER_POINTS)
def test_worker_dies_at(mortal: StackUnderTest, point: str) -> None:
    question = f"worker dies at {point}"
    mortal.upstream.rule(contains=question, hold="gate", answer="here it is", usage=USAGE)
    person = mortal.register()
    if point in BEFORE_THE_CALL:
        mortal.crash_file.write_text(point)
        job_id = person.submit(question)
    else:
        # Armed once the job runs, so that it's the worker's transaction that dies and not the one of the submit.
        job_id = person.submit(question)
        mortal.upstream.wait_for_calls(1, contains=question)
        mortal.crash_file.write_text(point)
    mortal.upstream.release("gate")
    eventually(lambda: not all(worker.running for worker in mortal.workers))

    job = person.final(job_id)

    assert not mortal.crash_file.exists()
    assert (job["status"], job["message"], job["charged"]) == ("succeeded", "here it is", 18)
    asked = len(mortal.upstream.journal(contains=question))
    assert asked == (2 if point in ASKED_TWICE else 1)
    assert person.billing()["currentBalance"] == 100_000 - 18
    check_money(mortal.db)


@pytest.mark.parametrize("point", PLAN_POINTS)
def test_worker_dies_while_it_plans(mortal: StackUnderTest, point: str) -> None:
    """Whoever asks for the track meanwhile finds no module or all of them, and they are paid for once."""
    title, plan = f"planner dies at {point}", plan_of("alpha", "beta")
    mortal.upstream.rule(contains=title, hold="gate", answer=json.dumps(plan), usage=USAGE)
    person = mortal.register()
    path = f"/api/tracks/{person.call('POST', '/api/tracks', json={'title': title}).json()['id']}"
    body = {"track_id": path.rpartition("/")[2]}
    reply = person.call("POST", "/api/ai/finalize-course-plan", json=body, headers={"Prefer": "respond-async"})
    assert reply.status_code == 202, reply.text
    mortal.upstream.wait_for_calls(1, contains=title)
    mortal.crash_file.write_text(point)
    mortal.upstream.release("gate")
    eventually(lambda: not all(worker.running for worker in mortal.workers))
    stored = [module["title"] for module in person.call("GET", path).json()["modules"]]
    assert stored in ([], ["alpha", "beta"])

    job = person.final(reply.json()["jobId"])

    assert (job["status"], job["result"], job["charged"]) == ("succeeded", plan, 18)
    assert [module["title"] for module in person.call("GET", path).json()["modules"]] == ["alpha", "beta"]
    assert len(mortal.upstream.journal(contains=title)) == (2 if point in ASKED_TWICE else 1)
    check_money(mortal.db)


@pytest.mark.parametrize("point", WEB_POINTS)
def test_web_process_dies_at(mortal: StackUnderTest, point: str) -> None:
    question, key = f"web dies at {point}", f"web-dies-at-{point}"
    mortal.upstream.rule(contains=question, usage=USAGE)
    person = mortal.register()
    mortal.crash_file.write_text(point)
    with pytest.raises(Disconnected):
        person.ask(question, key=key)
    assert not mortal.crash_file.exists()

    reply = person.ask(question, key=key)

    assert reply.status_code == 202, reply.text
    assert person.final(reply.json()["jobId"])["status"] == "succeeded"
    assert mortal.db.jobs.count_documents({"account_id": person.account_id}) == 1
    assert person.billing()["currentBalance"] == 100_000 - 18
    check_money(mortal.db)


@pytest.mark.parametrize("point", LINK_POINTS)
def test_web_process_dies_while_it_links(mortal: StackUnderTest, point: str) -> None:
    """The bot sends the person's code once more, and every token is there once."""
    person, bot = mortal.register(), mortal.register().new_key("bot")
    admin = mortal.register()
    mortal.db.accounts.update_one({"_id": admin.account_id}, {"$set": {"role": "admin"}})
    scopes = {"scopes": ["bot", "billing:topup"]}
    assert admin.call("POST", f"/api/admin/keys/{bot.key_id}/scopes", json=scopes).status_code == 200
    assert bot.call("POST", "/api/billing/topup", json={"userId": "42", "amount": 500}).status_code == 200
    code = person.call("POST", "/api/link/code").json()["code"]
    mortal.crash_file.write_text(point)
    with pytest.raises(Disconnected):
        bot.call("POST", "/api/link/confirm", json={"userId": "42", "code": code})
    assert not mortal.crash_file.exists()

    reply = eventually(lambda: bot.call("POST", "/api/link/confirm", json={"userId": "42", "code": code}))

    assert reply.status_code == 200, reply.text
    assert reply.json()["movedTokens"] == (0 if point == "links.link:after" else 500)
    assert person.billing()["currentBalance"] == 100_500
    assert len(person.call("GET", "/api/link").json()["links"]) == 1
    check_money(mortal.db)


@pytest.mark.parametrize("point", ERASE_POINTS)
def test_web_process_dies_while_it_deletes(mortal: StackUnderTest, point: str) -> None:
    """Either the session is there, whole, and can be deleted once more, or all of it goes."""
    question = f"tamarisk, {point}"
    person = mortal.register()
    job_ids = [person.submit(question, stream=True) for _ in range(2)]
    for job_id in job_ids:
        person.final(job_id)
    session_id = mortal.db.jobs.find_one({"_id": job_ids[0]})["session_id"]
    mortal.crash_file.write_text(point)
    with pytest.raises(Disconnected):
        person.call("DELETE", f"/api/chat/sessions/{session_id}")

    assert not mortal.crash_file.exists()

    eventually(lambda: person.call("GET", "/api/billing"))
    again = person.call("DELETE", f"/api/chat/sessions/{session_id}")

    is_deleted = point not in ("erasures.begin:before", "transaction.commit:before")
    assert again.status_code == (404 if is_deleted else 200), again.text
    eventually(lambda: mortal.db.jobs.count_documents({"_id": {"$in": job_ids}, "erased_at": None}) == 0)
    eventually(lambda: mortal.db.messages.count_documents({"session_id": session_id}) == 0)
    assert mortal.db.jobs.count_documents({"prompt.content": question}) == 0
    check_money(mortal.db)


@pytest.mark.parametrize("point", FAREWELL_POINTS)
def test_web_process_dies_while_an_account_leaves(mortal: StackUnderTest, point: str) -> None:
    person = mortal.register()
    job_id = person.submit(f"tamarisk, {point}")
    person.final(job_id)
    mortal.crash_file.write_text(point)
    with pytest.raises(Disconnected):
        person.call("DELETE", "/api/auth/me", json={"password": PASSWORD})
    assert not mortal.crash_file.exists()

    eventually(lambda: mortal.register())
    again = person.call("DELETE", "/api/auth/me", json={"password": PASSWORD})

    is_deleted = point not in ("account_erasures.begin:before", "transaction.commit:before")
    assert again.status_code == (401 if is_deleted else 200), again.text
    eventually(lambda: mortal.db.jobs.count_documents({"_id": job_id, "erased_at": None}) == 0)
    eventually(lambda: mortal.db.sessions.count_documents({"account_id": person.account_id}) == 0)
    eventually(lambda: mortal.db.messages.count_documents({"account_id": person.account_id}) == 0)
    check_money(mortal.db)
