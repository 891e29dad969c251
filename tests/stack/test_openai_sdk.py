"""The official `openai` client against the whole stack, with our base URL and key and nothing else of ours."""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from tests.core.checker import check_money
from tests.stack.stack import Person, StackUnderTest, eventually

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
ANSWER = "Раз два три четыре пять 🌊 семь"
MODEL = "gpt-4o-mini"
GUIDE = (Path(__file__).parents[2] / "docs" / "openai-sdk.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def checked(stack: StackUnderTest) -> Iterator[None]:
    """The stack is whole and its books are right after each test."""
    stack.upstream.clear()
    yield
    stack.upstream.clear()
    for part in (stack.web, *stack.workers):
        part.start()
    eventually(lambda: stack.db.jobs.count_documents({"status": {"$in": ["queued", "running"]}}) == 0, 45)
    check_money(stack.db)


@pytest.fixture
def person(stack: StackUnderTest) -> Person:
    return stack.register()


@pytest.fixture
def key(person: Person) -> str:
    return str(person.call("POST", "/api/keys", json={"name": "sdk", "scopes": ["chat"]}).json()["key"])


@pytest.fixture
def client(stack: StackUnderTest, key: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.web.url}/v1", api_key=key) as client:
        yield client


@pytest.fixture
def question() -> str:
    return f"question {uuid4().hex}"


def says(text: str) -> list[Any]:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def balance(person: Person) -> int:
    return int(person.billing()["currentBalance"])


def test_a_completion(stack: StackUnderTest, client: OpenAI, person: Person, question: str) -> None:
    stack.upstream.rule(contains=question, answer=ANSWER, usage=USAGE)
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=says(question))
    completion = raw.parse()
    choice = completion.choices[0]
    assert (choice.message.content, choice.message.role, choice.finish_reason) == (ANSWER, "assistant", "stop")
    assert (completion.model, completion.object) == (MODEL, "chat.completion")
    assert completion.usage.total_tokens == 18
    assert raw.headers["x-job-id"] == completion.id.removeprefix("chatcmpl-")
    assert raw.request_id
    assert balance(person) == 100_000 - 18


def test_a_persons_token_and_the_other_header_do_too(
    stack: StackUnderTest, person: Person, key: str, question: str
) -> None:
    for credentials in ({"api_key": person.token}, {"api_key": key}):
        with OpenAI(base_url=f"{stack.web.url}/v1", **credentials) as client:
            assert client.chat.completions.create(model=MODEL, messages=says(question)).choices
    reply = httpx2.get(f"{stack.web.url}/v1/models", headers={"X-API-Key": key})
    assert reply.status_code == 200


def test_a_stream(stack: StackUnderTest, client: OpenAI, person: Person, question: str) -> None:
    stack.upstream.rule(contains=question, answer=ANSWER, usage=USAGE, hold="gate", hold_after_chunks=3)
    options: Any = {"include_usage": True}
    with client.chat.completions.create(
        model=MODEL, messages=says(question), stream=True, stream_options=options
    ) as stream:
        chunks = iter(stream)
        assert next(chunks).choices[0].delta.role == "assistant"
        text = ""
        while text != "Раз два три ":
            text += next(chunks).choices[0].delta.content or ""
        assert stack.upstream.journal(contains=question)[0]["finished"] is None, "it is being written"
        stack.upstream.release("gate")
        rest = list(chunks)
    text += "".join(chunk.choices[0].delta.content or "" for chunk in rest if chunk.choices)
    assert text == ANSWER
    assert rest[-2].choices[0].finish_reason == "stop"
    assert (rest[-1].choices, rest[-1].usage.total_tokens) == ([], 18)
    assert balance(person) == 100_000 - 18


def test_the_sdks_own_streaming_helper(stack: StackUnderTest, client: OpenAI, question: str) -> None:
    stack.upstream.rule(contains=question, answer=ANSWER, usage=USAGE)
    with client.chat.completions.stream(model=MODEL, messages=says(question)) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        assert "".join(deltas) == ANSWER
        assert stream.get_final_completion().choices[0].message.content == ANSWER


class Café(BaseModel):
    name: str
    seats: int


def test_structured_output(stack: StackUnderTest, client: OpenAI, question: str) -> None:
    stack.upstream.rule(contains=question, answer='{"name": "Прибой", "seats": 12}')
    completion = client.chat.completions.parse(model=MODEL, messages=says(question), response_format=Café)
    assert completion.choices[0].message.parsed == Café(name="Прибой", seats=12)
    (call,) = stack.upstream.journal(contains=question)
    assert call["body"]["response_format"]["json_schema"]["name"] == "Café"


def test_models(client: OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {"default", MODEL, "gpt-3.5-turbo"} <= listed.keys()
    assert client.models.retrieve(MODEL) == listed[MODEL]
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-0")
    assert missing.value.code == "model_not_found"


def test_errors(stack: StackUnderTest, client: OpenAI, person: Person, question: str) -> None:
    def create(by: OpenAI = client, **changes: Any) -> object:
        return by.chat.completions.create(**{"model": MODEL, "messages": says(question), **changes})

    with pytest.raises(openai.NotFoundError) as error:
        create(model="gpt-0")
    assert (error.value.code, error.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as error:
        create(temperature=3)
    assert (error.value.code, error.value.param, error.value.type) == (
        "invalid_value",
        "temperature",
        "invalid_request_error",
    )
    with pytest.raises(openai.BadRequestError) as error:
        create(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])
    assert (error.value.code, error.value.param) == ("unsupported_parameter", "tools")
    with pytest.raises(openai.AuthenticationError) as error:
        create(by=client.with_options(api_key="tm_wrong"))
    assert error.value.code == "invalid_api_key"
    powerless = person.call("POST", "/api/keys", json={"name": "x", "scopes": ["billing:read"]}).json()["key"]
    with pytest.raises(openai.PermissionDeniedError):
        create(by=client.with_options(api_key=powerless))
    assert stack.upstream.journal(contains=question) == []


def test_an_empty_balance_is_refused_once(stack: StackUnderTest, client: OpenAI, person: Person, question: str) -> None:
    stack.db.wallets.update_one({"_id": person.account_id}, {"$set": {"available": 10}})
    try:
        with pytest.raises(openai.APIStatusError) as error:
            client.chat.completions.create(model=MODEL, messages=says(question))
    finally:
        stack.db.wallets.update_one({"_id": person.account_id}, {"$set": {"available": 100_000}})
    assert (error.value.status_code, error.value.code) == (402, "insufficient_quota")
    assert error.value.request.headers["x-stainless-retry-count"] == "0"


def test_a_rate_limit_is_waited_for(stack: StackUnderTest, person: Person, question: str) -> None:
    secret = person.call("POST", "/api/keys", json={"name": "x", "scopes": ["chat"], "requestsPerMinute": 1}).json()
    with OpenAI(base_url=f"{stack.web.url}/v1", api_key=secret["key"], max_retries=0) as client:
        client.chat.completions.create(model=MODEL, messages=says(question))
        with pytest.raises(openai.RateLimitError) as error:
            client.chat.completions.create(model=MODEL, messages=says(question))
    assert error.value.code == "rate_limit_exceeded"
    assert 0 < int(error.value.response.headers["Retry-After"]) <= 60


def test_a_provider_that_fails_costs_nothing_and_is_not_asked_again_by_the_sdk(
    stack: StackUnderTest, client: OpenAI, person: Person, question: str
) -> None:
    stack.upstream.rule(contains=question, status=400)
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError) as error:
            client.chat.completions.create(model=MODEL, messages=says(question), stream=stream)
        assert error.value.code == "upstream_error"
    assert len(stack.upstream.journal(contains=question)) == 2
    assert balance(person) == 100_000


def test_a_stream_that_breaks_off_raises(stack: StackUnderTest, client: OpenAI, person: Person, question: str) -> None:
    stack.upstream.rule(contains=question, answer=ANSWER, cut_after_chunks=2)
    pieces: list[str] = []
    stream = client.chat.completions.create(model=MODEL, messages=says(question), stream=True)
    with pytest.raises(openai.APIError) as error:
        pieces.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert ("".join(pieces), error.value.code) == ("Раз два ", "upstream_error")
    assert balance(person) == 100_000


def test_who_hangs_up_is_charged_once_and_gets_the_answer_with_the_same_key(
    stack: StackUnderTest, client: OpenAI, person: Person, question: str
) -> None:
    stack.upstream.rule(contains=question, answer=ANSWER, usage=USAGE, hold="gate", hold_after_chunks=2)
    once = {"Idempotency-Key": question.replace(" ", "-")}
    stream = client.chat.completions.create(model=MODEL, messages=says(question), stream=True, extra_headers=once)
    next(iter(stream))
    stream.close()
    stack.upstream.release("gate")
    eventually(lambda: balance(person) == 100_000 - 18)
    again = client.chat.completions.create(model=MODEL, messages=says(question), stream=True, extra_headers=once)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in again) == ANSWER
    assert len(stack.upstream.journal(contains=question)) == 1
    assert balance(person) == 100_000 - 18


def test_the_sdks_retry_after_a_killed_web_process_is_the_same_question(
    stack: StackUnderTest, client: OpenAI, person: Person, question: str
) -> None:
    stack.upstream.rule(contains=question, answer=ANSWER, usage=USAGE, hold="gate")
    answers: list[Any] = []

    def ask() -> None:
        patient = client.with_options(max_retries=10, timeout=30)
        once = {"Idempotency-Key": question.replace(" ", "-")}
        answers.append(patient.chat.completions.create(model=MODEL, messages=says(question), extra_headers=once))

    asking = threading.Thread(target=ask)
    asking.start()
    stack.upstream.wait_for_calls(1, contains=question)
    stack.web.kill()
    stack.web.start()
    stack.upstream.release("gate")
    asking.join(60)
    assert answers[0].choices[0].message.content == ANSWER
    assert len(stack.upstream.journal(contains=question)) == 1
    assert balance(person) == 100_000 - 18


@pytest.mark.parametrize("stream", [False, True])
def test_a_database_that_is_away_for_a_while_is_no_refusal(
    stack: StackUnderTest, client: OpenAI, person: Person, question: str, stream: bool
) -> None:
    """What was accepted would be asked, and paid, a second time."""
    stack.upstream.rule(contains=question, answer=ANSWER, usage=USAGE, hold="gate", hold_after_chunks=2)
    patient, replies = client.with_options(max_retries=0), []

    def ask() -> None:
        reply: Any = patient.chat.completions.create(model=MODEL, messages=says(question), stream=stream)
        if stream:
            replies.append("".join(chunk.choices[0].delta.content or "" for chunk in reply))
        else:
            replies.append(reply.choices[0].message.content)

    asking = threading.Thread(target=ask)
    asking.start()
    stack.upstream.wait_for_calls(1, contains=question)
    stack.mongo.kill()
    stack.upstream.release("gate")
    stack.upstream.wait_for_calls(1, contains=question, finished=True)
    stack.mongo.start()
    asking.join(60)
    assert replies == [ANSWER]
    assert balance(person) == 100_000 - 18


def code(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found, language
    return found.group(1)


def node() -> list[str]:
    return [shutil.which("node")] if shutil.which("node") else [sys.executable, "-m", "devstack.node", "node"]


@pytest.mark.parametrize(
    ("language", "command", "calls"),
    [
        ("python", [sys.executable, "-c"], 2),
        ("sh", ["bash", "-c"], 1),
        ("js", [*node(), "--input-type=module", "-e"], 1),
    ],
)
def test_the_guides_code_works(
    stack: StackUnderTest, person: Person, key: str, language: str, command: list[str], calls: int
) -> None:
    stack.upstream.rule(contains="sky blue", answer="Air scatters blue light most.", usage=USAGE)
    stack.upstream.rule(contains="at sunset", answer="Red is left over.", usage=USAGE)
    variables = {"TALKMETER_URL": stack.web.url, "TALKMETER_KEY": key}
    done = subprocess.run(
        ["env", *(f"{name}={value}" for name, value in variables.items()), *command, code(language)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    said = "".join(re.findall(r'"content": "([^"]*)"', done.stdout)) if language == "sh" else done.stdout
    assert "Air scatters blue light most." in said
    assert ("Red is left over." in said) is (language == "python")
    assert balance(person) == 100_000 - 18 * calls
