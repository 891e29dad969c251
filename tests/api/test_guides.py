"""The guides for bots and 1C, tried as they are written: every request in them is sent, and 1C's code is run."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.usecases.jobs import JobService
from tests.api import bsl
from tests.api.conftest import Caller, Program
from tests.api.test_bot import FIELDS

DOCS = Path(__file__).parents[2] / "docs"
BOTBOOM, FROM_1C = ((DOCS / name).read_text(encoding="utf-8") for name in ("connect-botboom.md", "from-1c.md"))
RUSSIAN, ENGLISH = BOTBOOM.split("## In English")


@dataclass(frozen=True)
class Block:
    kind: str
    text: str


def blocks(guide: str) -> list[Block]:
    return [Block(kind, text) for kind, text in re.findall(r"```([\w-]+)\n(.*?)```", guide, re.DOTALL)]


def code(guide: str, kind: str) -> str:
    return next(block.text for block in blocks(guide) if block.kind == kind)


def send(client: FlaskClient, request: str, names: dict[str, str]) -> TestResponse:
    """A request of a guide, with the reader's own values in it: encoded where they are part of a form or an address."""
    head, _, body = request.partition("\n\n")
    first, *lines = head.splitlines()
    method, path, version = first.split()
    assert version == "HTTP/1.1"
    headers = dict(line.split(": ", 1) for line in lines)
    assert headers.pop("Host") == "talkmeter.example.com"
    is_form = "form" in headers.get("Content-Type", "")
    headers = {name: filled(value, names) for name, value in headers.items()}
    body = filled(body.strip(), names, encoded=is_form)
    return client.open(filled(path, names, encoded=True), method=method, headers=headers, data=body.encode())


def filled(text: str, names: dict[str, str], *, encoded: bool = False) -> str:
    for name, value in names.items():
        pattern = re.escape(name) if name.startswith("{") else rf"\b{name}\b"
        text = re.sub(pattern, (quote(value, safe="") if encoded else value).replace("\\", "\\\\"), text)
    assert not re.search(r"\{\w+\}", text), f"nobody says what this is: {text}"
    return text


@pytest.fixture
def answered(container: Container, upstream: UpstreamControl, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no worker here: whoever waits for a job runs it."""
    wait = JobService.wait

    def run(service: Any, actor: Any, job_id: str, seconds: float) -> Any:
        container.run(job_id)
        return wait(service, actor, job_id, 0)

    monkeypatch.setattr(JobService, "wait", run)


@pytest.mark.parametrize("guide", [pytest.param(RUSSIAN, id="ru"), pytest.param(ENGLISH, id="en")])
def test_the_bot_guide_from_key_to_answer(
    guide: str, client: FlaskClient, user: Caller, admin: Caller, register: Callable[..., Caller],
    upstream: UpstreamControl, answered: None,
) -> None:  # fmt: skip
    shown = [json.loads(block.text) for block in blocks(guide) if block.kind == "json"]
    answer = shown[0]["text"].replace("<b>", "**").replace("</b>", "**")
    upstream.rule(answer=answer, usage={"prompt_tokens": 20, "completion_tokens": 18})
    person = register()
    names = {
        "ADMIN_TOKEN": admin.token,
        "USER_TOKEN": person.token,
        "TOKEN": user.token,
        "{chat_id}": "4242",
        "{text}": 'Что такое «синий» & почему? 100% = "да"',
        "{update_id}": "9001",
        "SECRET_KEY": "0123abcd",
    }
    replies: list[tuple[str, dict[str, Any]]] = []
    for block in blocks(guide):
        if block.kind == "json":
            assert replies
            compare(block.text, replies[-1][1])
            continue
        reply = send(client, block.text, names)
        assert reply.status_code in (200, 201), (block.text, reply.text)
        body = dict(reply.json)
        assert body.get("ok", True) is True, (block.text, body)
        replies.append((block.text.split()[1], body))
        if block.text.startswith("POST /api/keys"):
            names |= {"KEY_ID": body["keyId"], "KEY": body["key"]}
        names |= {f"{{{name}}}": str(body[name]) for name in ("jobId", "code") if body.get(name)}
    asked = [path for path, _ in replies]
    assert len(asked) == 11
    assert {path for path in asked if path.startswith("/api/bot")} == {
        "/api/bot/KEY/ask",
        "/api/bot/KEY/result?jobId={jobId}",
        "/api/bot/KEY/result?jobId={jobId}&firstPart=6",
        "/api/bot/KEY/reset",
        "/api/bot/KEY/balance?userId={chat_id}",
        "/api/bot/KEY/link",
    }
    linked = dict(replies)["/api/bot/KEY/link"]
    assert linked["balance"] == person.get("/api/billing").json["currentBalance"] == 100_000 + 10_000 - 38


def compare(shown: str, real: dict[str, Any]) -> None:
    """The reply as the guide shows it, but for ids and addresses; a refusal is only of the same form."""
    expected = json.loads(shown)
    assert list(expected) == FIELDS
    if expected["ok"]:
        same = [name for name in FIELDS if name not in ("jobId", "topUpUrl")]
        assert {name: real[name] for name in same} == {name: expected[name] for name in same}


def test_the_bot_guides_refusal_is_what_a_bot_gets(program: Program) -> None:
    shown = next(json.loads(block.text) for block in blocks(RUSSIAN) if '"ok": false' in block.text)
    real = program.post("/api/bot/ask", {"userId": "poor", "message": "ping"}).json
    address = "https://talkmeter.example.com/balance"
    assert {**real, "topUpUrl": address, "errorText": real["errorText"].replace(real["topUpUrl"], address)} == shown


@pytest.mark.parametrize("guide", [RUSSIAN, ENGLISH])
def test_the_bot_guide_names_codes_and_fields_that_exist(guide: str, client: FlaskClient) -> None:
    document = client.get("/openapi.json").json["components"]["schemas"]
    known = {"BotReply", "BotQuestion", "ResultQuery", "NewKey", "BotUser"} & document.keys()
    fields = {field for name in known for field in document[name]["properties"]}
    fields |= {"firstPart", "userId"} | set(document["Error"]["properties"]["code"]["enum"])
    named = set(re.findall(r"`([a-z]+[A-Z]\w+|[A-Z]{2,}_[A-Z_]+)`", guide)) - {"SECRET_KEY"}
    assert len(named) > 15
    assert named <= fields


class Network:
    """Between 1C and the service: `faults` are what happens to the next requests on their way."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client, self._key = client, key
        self.faults: list[str] = []
        self.sent: list[tuple[str, str, dict[str, Any], bytes]] = []

    def __call__(self, method: str, request: bsl.HTTPЗапрос) -> bsl.HTTPОтвет:
        self.sent.append((method, request.address, dict(request.headers), request.body))
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "lost":
            raise OSError("connection lost")
        if fault == "busy":
            body = b'{"error": "busy", "code": "OVERLOADED", "message": "later", "requestId": "x"}'
            return bsl.HTTPОтвет(503, {"Retry-After": "7"}, body)
        headers = {**request.headers, "X-API-Key": request.headers["X-API-Key"].replace("KEY", self._key)}
        reply = self._client.open(request.address, method=method, headers=headers, data=request.body)
        if fault == "unheard":
            raise OSError("connection lost after the request arrived")
        return bsl.HTTPОтвет(reply.status_code, dict(reply.headers), reply.data)


@pytest.fixture
def network(client: FlaskClient, program: Program) -> Network:
    return Network(client, program.key["key"])


@pytest.fixture
def waited() -> list[int]:
    return []


@pytest.fixture
def onec(network: Network, waited: list[int]) -> dict[str, Any]:
    """The module of the guide."""
    return bsl.module(code(FROM_1C, "bsl"), network, waited)


def test_1c_asks_and_gets_the_answer(
    onec: dict[str, Any], network: Network, upstream: UpstreamControl, answered: None, user: Caller
) -> None:
    upstream.rule(answer='Ответ с "кавычками"', usage={"prompt_tokens": 20, "completion_tokens": 18})
    result = onec["Спросить"]('Что такое "счёт"?', "", "request-1")
    assert (result.Успешно, result.Текст, result.Баланс) == (True, 'Ответ с "кавычками"', 100_000 - 38)
    ((method, address, headers, body),) = network.sent
    assert (method, address, headers["Prefer"]) == ("POST", "/api/chat", "wait=20")
    assert json.loads(body) == {"message": 'Что такое "счёт"?'}
    assert onec["Баланс"]("") == user.get("/api/billing").json["currentBalance"] == 100_000 - 38
    assert unquote(network.sent[-1][1]) == "/api/billing"
    assert onec["Баланс"]("Иванов & Ко") == 0


def test_1c_polls_what_takes_longer(
    onec: dict[str, Any], network: Network, container: Container, upstream: UpstreamControl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    upstream.rule(answer="наконец")
    wait, calls = JobService.wait, 0

    def slow(service: Any, actor: Any, job_id: str, seconds: float) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            container.run(job_id)
        return wait(service, actor, job_id, 0)

    monkeypatch.setattr(JobService, "wait", slow)
    result = onec["Спросить"]("ping", "", "request-1")
    assert (result.Успешно, result.Текст) == (True, "наконец")
    assert [address.split("?")[-1] for _, address, *_ in network.sent] == ["/api/chat", "wait=20", "wait=20"]


def test_1c_gives_up_waiting_and_asks_for_the_answer_later(
    onec: dict[str, Any], network: Network, container: Container, upstream: UpstreamControl,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    upstream.rule(answer="наконец")
    wait = JobService.wait
    monkeypatch.setattr(JobService, "wait", lambda service, actor, job_id, _: wait(service, actor, job_id, 0))
    result = onec["Спросить"]("ping", "", "request-1")
    assert (result.Успешно, result.КодОшибки, len(network.sent)) == (False, "RUNNING", 10)
    container.run(result.Задание)
    assert onec["ДождатьсяОтвета"](result.Задание).Текст == "наконец"


@pytest.mark.parametrize("faults", [["lost"], ["unheard"], ["busy"], ["lost", "unheard", "busy"]])
def test_1c_repeats_what_got_lost_and_is_charged_once(
    onec: dict[str, Any], network: Network, waited: list[int], upstream: UpstreamControl, answered: None,
    user: Caller, faults: list[str],
) -> None:  # fmt: skip
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    network.faults = list(faults)
    assert onec["Спросить"]("ping", "", "request-1").Текст == "pong"
    assert user.get("/api/billing").json["currentBalance"] == 100_000 - 38
    assert len(network.sent) == len(faults) + 1
    assert len({headers["Idempotency-Key"] for *_, headers, _ in network.sent}) == 1
    assert waited == [7 if fault == "busy" else 2 for fault in faults]


def test_1c_says_what_went_wrong(
    onec: dict[str, Any], network: Network, upstream: UpstreamControl, answered: None
) -> None:
    poor = onec["Спросить"]("ping", "Иванов", "request-1")
    assert (poor.Успешно, poor.КодОшибки) == (False, "INSUFFICIENT_TOKENS")
    assert poor.ТекстОшибки.startswith("Недостаточно токенов. ")
    assert onec["Спросить"](" ", "", "request-2").КодОшибки == "INVALID_MESSAGE"
    upstream.rule(status=400)
    failed = onec["Спросить"]("ping", "", "request-3")
    assert (failed.КодОшибки, failed.Баланс) == ("UPSTREAM_ERROR", 0)
    assert onec["ДождатьсяОтвета"](failed.Задание).КодОшибки == "UPSTREAM_ERROR"
    assert onec["Спросить"]("another", "", "request-3").КодОшибки == "IDEMPOTENCY_MISMATCH"
    assert onec["ДождатьсяОтвета"]("unknown").КодОшибки == "NOT_FOUND"
    network.faults = ["lost"] * 4
    with pytest.raises(bsl.Исключение, match="Сервис ответов недоступен: connection lost"):
        onec["Спросить"]("ping", "", "request-4")


def test_1c_is_called_back(onec: dict[str, Any], network: Network, upstream: UpstreamControl) -> None:
    result = onec["Спросить"]("ping", "", "request-1", "https://1c.example.com/base/hs/talkmeter/answer")
    assert (result.Успешно, result.КодОшибки) == (False, "RUNNING")
    assert "Prefer" not in network.sent[0][2]
    written: list[tuple[str, str]] = []
    service = bsl.module(
        code(FROM_1C, "bsl-service"),
        network,
        [],
        ПодписьВерна=lambda request, secret: secret == request.secret,
        СекретУведомлений=lambda: "whsec",
        ЗаписатьОтвет=lambda job, text: written.append((job, text)),
        ЗаписатьОшибку=lambda job, text: written.append((job, text)),
        HTTPСервисОтвет=int,
    )

    class Request:
        def __init__(self, event: dict[str, Any], secret: str = "whsec") -> None:
            self.event, self.secret = event, secret

        def ПолучитьТелоКакСтроку(self, _encoding: str) -> str:  # noqa: N802 - the platform's name
            return json.dumps(self.event)

    ended = {"type": "job.succeeded", "data": {"jobId": "1", "message": "pong"}}
    failed = {"type": "job.failed", "data": {"jobId": "2", "error": {"code": "X", "message": "нет"}}}
    cancelled = {"type": "job.cancelled", "data": {"jobId": "3"}}
    assert [service["AnswerPOST"](Request(event)) for event in (ended, failed, cancelled)] == [200, 200, 200]
    assert service["AnswerPOST"](Request(ended, "forged")) == 401
    assert written == [("1", "pong"), ("2", "нет")]


def test_what_the_1c_guide_shows_is_what_its_code_sends(
    onec: dict[str, Any], network: Network, client: FlaskClient, user: Caller, program: Program,
    upstream: UpstreamControl, answered: None,
) -> None:  # fmt: skip
    upstream.rule(answer="pong")
    shown = [block.text for block in blocks(FROM_1C) if block.kind == "http"]
    names = {"TOKEN": user.token, "KEY": program.key["key"]}
    for request in shown:
        reply = send(client, request, names)
        assert reply.status_code in (200, 201, 202), (request, reply.text)
        names |= {"{jobId}": str(reply.json["jobId"])} if "jobId" in reply.json else {}
    asked = shown[1]
    onec["Спросить"]("Почему небо голубое?", "", "5b0e7d9c-2f4a-4c1e-9a6d-3f8b7c2e1d04")
    method, address, headers, body = network.sent[-1]
    assert asked.startswith(f"{method} {address} HTTP/1.1\n")
    assert {f"{name}: {value}" for name, value in headers.items()} <= set(asked.splitlines())
    assert json.loads(body) == json.loads(asked.partition("\n\n")[2])


def test_the_guides_are_linked_from_the_readme() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert "(docs/connect-botboom.md)" in readme
    assert "(docs/from-1c.md)" in readme
