"""`/api/bot`: whatever happens the answer is 200, flat, without nulls, and ready to be shown to a person."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from tests.api.conftest import Caller, Program
from tests.api.test_openapi import complain
from tests.domain.telegram_rules import Message, parse_html, parse_markdown

NewProgram = Callable[..., Program]
FIELDS = ["ok", "status", "jobId", "clientRequestId", "text", "part1", "part2", "part3", "part4", "part5"]
FIELDS += ["partsCount", "errorCode", "errorText", "retryAfter", "balance", "topUpUrl"]
RUSSIAN = "абвгдежзийклмнопрстуфхцчшщъыьэюя"


@pytest.fixture
def bot(program: Program) -> Program:
    """A bot whose user has something to spend."""
    top_up(program)
    return program


@pytest.fixture
def at_once(container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no worker here: whoever waits for a job runs it."""
    wait = type(container.jobs).wait

    def run(service: Any, actor: Any, job_id: str, seconds: float) -> Any:
        if seconds > 0:
            container.run(job_id)
        return wait(service, actor, job_id, 0)

    monkeypatch.setattr(type(container.jobs), "wait", run)


@pytest.fixture
def pong(upstream: UpstreamControl, at_once: None) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})


def top_up(program: Program, user_id: str = "4242", amount: int = 10_000) -> None:
    assert program.post("/api/billing/topup", {"userId": user_id, "amount": amount}).status_code == 200


def flat(reply: Any) -> dict[str, Any]:
    """The body, which is what every answer of the profile is."""
    assert reply.status_code == 200, reply.text
    assert reply.content_type == "application/json; charset=utf-8"
    body = dict(reply.json)
    assert sorted(body) == sorted(FIELDS)
    assert all(isinstance(value, str | int | bool) for value in body.values())
    assert body["ok"] is (body["status"] != "failed") is not bool(body["errorCode"])
    assert bool(body["errorCode"]) is bool(body["errorText"])
    return body


def ask(bot: Program, **fields: Any) -> dict[str, Any]:
    return flat(bot.post("/api/bot/ask", {"userId": "4242", "message": "ping", **fields}))


def test_an_answer_comes_in_the_reply(bot: Program, pong: None) -> None:
    reply = ask(bot, clientRequestId="update-1")
    assert reply == {
        **dict.fromkeys(FIELDS, ""),
        "ok": True,
        "status": "done",
        "jobId": reply["jobId"],
        "clientRequestId": "update-1",
        "text": "pong",
        "part1": "pong",
        "partsCount": 1,
        "retryAfter": 0,
        "balance": 10_000 - 38,
        "topUpUrl": reply["topUpUrl"],
    }


def test_a_form_and_numbers_for_ids_do_as_well(bot: Program, client: FlaskClient, pong: None) -> None:
    form = {"userId": "4242", "message": "ping", "clientRequestId": "17", "wait": "5", "format": "html"}
    first = flat(bot.call("POST", "/api/bot/ask", data=form))
    assert (first["text"], first["clientRequestId"]) == ("pong", "17")
    again = ask(bot, userId=4242, clientRequestId=17)
    assert (again["jobId"], again["balance"]) == (first["jobId"], first["balance"])


def test_the_key_may_be_in_the_path(bot: Program, client: FlaskClient, pong: None) -> None:
    path = f"/api/bot/{bot.key['key']}"
    asked = flat(client.post(f"{path}/ask", data={"userId": "4242", "message": "ping", "clientRequestId": "1"}))
    assert asked["text"] == "pong"
    assert ask(bot, clientRequestId="1")["jobId"] == asked["jobId"], "one and the same bot"
    assert flat(client.get(f"{path}/result?jobId={asked['jobId']}"))["text"] == "pong"
    assert flat(client.get(f"{path}/balance?userId=4242"))["balance"] == asked["balance"]
    assert flat(client.post(f"{path}/reset", data={"userId": "4242"}))["ok"] is True
    assert flat(client.post(f"{path}/link", data={"userId": "4242", "code": "AAAA-BBBB"}))["ok"] is False


def test_the_key_in_the_path_alone_counts(bot: Program, admin: Caller) -> None:
    for secret in ("x", "tm_" + "x" * 43, "tm_" + "x" * 5000, "%00", "é"):
        for send in (admin.post, bot.post):
            assert flat(send(f"/api/bot/{secret}/ask", {"message": "ping"}))["errorCode"] == "UNAUTHORIZED"


def test_an_answer_that_takes_longer_is_polled(bot: Program, container: Container, upstream: UpstreamControl) -> None:
    upstream.rule(answer="pong")
    asked = ask(bot, wait=0)
    assert (asked["ok"], asked["status"], asked["text"], asked["partsCount"]) == (True, "queued", "", 0)
    assert 0 < asked["balance"] < 10_000, "what is held can't be spent"
    waiting = flat(bot.get(f"/api/bot/result?jobId={asked['jobId']}&wait=0"))
    assert waiting == asked
    container.run(asked["jobId"])
    done = flat(bot.get(f"/api/bot/result?jobId={asked['jobId']}&wait=0"))
    assert (done["status"], done["text"], done["jobId"]) == ("done", "pong", asked["jobId"])


def test_it_waits_as_the_request_the_key_or_the_installation_says(
    program_for: NewProgram, user: Caller, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    wait = type(container.jobs).wait

    def record(service: Any, actor: Any, job_id: str, seconds: float) -> Any:
        waited.append(seconds)
        return wait(service, actor, job_id, 0)

    monkeypatch.setattr(type(container.jobs), "wait", record)
    patient, plain = program_for(user, waitSeconds=25), program_for(user)
    for body in ({}, {"wait": 1}):
        flat(patient.post("/api/bot/ask", {"message": "ping", **body}))
    job_id = flat(plain.post("/api/bot/ask", {"message": "ping"}))["jobId"]
    flat(plain.get(f"/api/bot/result?jobId={job_id}"))
    assert waited == [25, 1, 2, 2]


def test_a_long_answer_comes_in_parts(bot: Program, user: Caller, upstream: UpstreamControl, at_once: None) -> None:
    paragraphs = [f"Абзац {number}: {'слово ' * 20}".strip() for number in range(1, 9)]
    upstream.rule(answer="\n\n".join(paragraphs))
    user.call("PATCH", f"/api/keys/{bot.key['keyId']}", json={"partCharacters": 150})
    asked = ask(bot)
    assert asked["text"] == "\n\n".join(paragraphs)
    assert [asked[f"part{number}"] for number in range(1, 6)] == paragraphs[:5]
    assert asked["partsCount"] == 8
    rest = flat(bot.get(f"/api/bot/result?jobId={asked['jobId']}&firstPart=6"))
    assert [rest[f"part{number}"] for number in range(1, 6)] == [*paragraphs[5:], "", ""]
    assert rest["partsCount"] == 8


def test_the_format_is_the_requests_or_the_keys(
    bot: Program, user: Caller, upstream: UpstreamControl, at_once: None
) -> None:
    upstream.rule(answer="**2 < 3.**")
    job_id = ask(bot)["jobId"]

    def text(query: str = "") -> str:
        return str(flat(bot.get(f"/api/bot/result?jobId={job_id}{query}"))["part1"])

    assert text() == "**2 < 3.**"
    assert text("&format=html") == "<b>2 &lt; 3.</b>"
    assert text("&format=markdownv2") == r"*2 < 3\.*"
    user.call("PATCH", f"/api/keys/{bot.key['keyId']}", json={"textFormat": "html"})
    assert text() == "<b>2 &lt; 3.</b>"
    assert text("&format=plain") == "**2 < 3.**"
    assert ask(bot, format="markdownv2")["part1"] == r"*2 < 3\.*"


@pytest.mark.parametrize(("form", "judge"), [("html", parse_html), ("markdownv2", parse_markdown)])
def test_our_own_words_are_in_the_format_too(
    bot: Program, user: Caller, upstream: UpstreamControl, at_once: None, form: str, judge: Callable[[str], Message]
) -> None:
    """A bot that sends everything as MarkdownV2 can send them as they are."""
    user.call("PATCH", f"/api/keys/{bot.key['keyId']}", json={"textFormat": form})
    upstream.rule(status=400)
    shown = [
        ask(bot, userId="poor")["errorText"],
        ask(bot, message="")["errorText"],
        ask(bot, format="nonsense", wait="<b>")["errorText"],
        ask(bot)["errorText"],
        flat(bot.get("/api/bot/result?jobId=unknown"))["errorText"],
        flat(bot.get("/api/bot/balance?userId=4242"))["text"],
        flat(bot.post("/api/bot/reset", {"userId": "4242"}))["part1"],
        flat(bot.post("/api/bot/link", {"userId": "4242", "code": "AAAA-AAAA"}))["errorText"],
    ]
    plain = [judge(text).text for text in shown]
    assert plain[5:7] == ["На балансе 10\u00a0000 токенов.", "Начнём сначала: прошлый разговор забыт."]
    assert plain[0].startswith("Недостаточно токенов. Пополните баланс: http")


def test_a_refusal_names_the_request(program: Program) -> None:
    assert ask(program, userId="poor", clientRequestId="update-3")["clientRequestId"] == "update-3"


def test_the_same_request_again_is_the_same_question(bot: Program, pong: None) -> None:
    first = ask(bot, clientRequestId="update-9")
    for fields in ({}, {"wait": 0}, {"format": "html"}):
        assert ask(bot, clientRequestId="update-9", **fields)["jobId"] == first["jobId"]
    assert ask(bot, clientRequestId="update-10")["balance"] == 10_000 - 2 * 38
    other = ask(bot, clientRequestId="update-9", message="another")
    assert (other["errorCode"], other["jobId"]) == ("IDEMPOTENCY_MISMATCH", "")


def test_a_request_id_is_of_one_person_of_one_bot(program_for: NewProgram, user: Caller, pong: None) -> None:
    ids = set()
    for bot in (program_for(user), program_for(user)):
        for user_id in ("1", "2", None):
            if user_id:
                top_up(bot, user_id)
            ids.add(
                ask(bot, userId=user_id, clientRequestId="update-1")["jobId"]
                if user_id
                else flat(bot.post("/api/bot/ask", {"message": "ping", "clientRequestId": "update-1"}))["jobId"]
            )
    assert len(ids) == 6


def test_a_dialog_goes_on_until_it_is_reset(bot: Program, upstream: UpstreamControl, at_once: None) -> None:
    upstream.rule(answer="pong")
    for message in ("first of all", "second"):
        ask(bot, message=message)
    assert "first of all" in json.dumps(upstream.journal()[-1], ensure_ascii=False)
    reset = flat(bot.post("/api/bot/reset", {"userId": "4242"}))
    assert (reset["status"], reset["text"]) == ("done", "Начнём сначала: прошлый разговор забыт.")
    ask(bot, message="third")
    assert "first of all" not in json.dumps(upstream.journal()[-1], ensure_ascii=False)


def test_the_balance_in_words(bot: Program) -> None:
    shown = flat(bot.get("/api/bot/balance?userId=4242"))
    assert (shown["balance"], shown["text"]) == (10_000, "На балансе 10\u00a0000 токенов.")
    assert flat(bot.get("/api/bot/balance?userId=new"))["balance"] == 0


def test_no_money_says_where_to_pay(program: Program) -> None:
    refused = ask(program, userId="poor")
    assert refused["errorCode"] == "INSUFFICIENT_TOKENS"
    assert refused["errorText"] == f"Недостаточно токенов. Пополните баланс: {refused['topUpUrl']}"
    assert refused["topUpUrl"].startswith("http")


@pytest.mark.parametrize(
    ("body", "code", "named"),
    [
        ({}, "VALIDATION_ERROR", "message"),
        ({"message": None}, "VALIDATION_ERROR", "message"),
        ({"message": ["ping"]}, "VALIDATION_ERROR", "message"),
        ({"message": {"$ne": ""}}, "VALIDATION_ERROR", "message"),
        ({"message": " "}, "INVALID_MESSAGE", ""),
        ({"message": "x" * 10_001}, "INVALID_MESSAGE", ""),
        ({"message": "ping", "userId": {"$gt": ""}}, "VALIDATION_ERROR", "userId"),
        ({"message": "ping", "userId": True}, "VALIDATION_ERROR", "userId"),
        ({"message": "ping", "userId": 1.5}, "VALIDATION_ERROR", "userId"),
        ({"message": "ping", "userId": "x" * 129}, "VALIDATION_ERROR", "userId"),
        ({"message": "ping", "clientRequestId": ""}, "VALIDATION_ERROR", "clientRequestId"),
        ({"message": "ping", "clientRequestId": [1]}, "VALIDATION_ERROR", "clientRequestId"),
        ({"message": "ping", "format": "markdown"}, "VALIDATION_ERROR", "format"),
        ({"message": "ping", "wait": 56}, "VALIDATION_ERROR", "wait"),
        ({"message": "ping", "wait": "soon"}, "VALIDATION_ERROR", "wait"),
        ({"message": "ping", "assistant": "nobody"}, "VALIDATION_ERROR", "assistant"),
        ({"message": "ping", "metadata": {"a": {}}}, "VALIDATION_ERROR", "metadata"),
        ({"message": "ping", "callbackUrl": "http://localhost/"}, "UNSAFE_CALLBACK_URL", "callbackUrl"),
    ],
)
def test_bad_input_is_told_flat(bot: Program, body: dict[str, Any], code: str, named: str) -> None:
    reply = flat(bot.post("/api/bot/ask", body))
    assert (reply["errorCode"], reply["status"]) == (code, "failed")
    assert named in reply["errorText"]
    assert any(letter in reply["errorText"] for letter in RUSSIAN)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"data": b"{", "content_type": "application/json"}, "INVALID_JSON"),
        ({"data": b"[]", "content_type": "application/json"}, "INVALID_JSON"),
        ({"data": b"\xff", "content_type": "application/json"}, "INVALID_JSON"),
        ({"data": b"[" * 500, "content_type": "application/json"}, "INVALID_JSON"),
        ({"data": b"ping", "content_type": "text/plain"}, "UNSUPPORTED_MEDIA_TYPE"),
        ({"data": b"message=%FF", "content_type": "application/x-www-form-urlencoded"}, "VALIDATION_ERROR"),
        ({"data": b"x" * 300_000, "content_type": "application/json"}, "PAYLOAD_TOO_LARGE"),
        ({}, "INVALID_JSON"),
    ],
)
def test_a_body_that_is_none_is_told_flat(bot: Program, options: dict[str, Any], code: str) -> None:
    reply = flat(bot.call("POST", "/api/bot/ask", **options))
    assert (reply["errorCode"], reply["balance"]) == (code, 0), "nobody's, and least of all the owner's"


def test_errors_of_the_route_are_flat_too(bot: Program, client: FlaskClient) -> None:
    assert flat(bot.get("/api/bot/ask"))["errorCode"] == "METHOD_NOT_ALLOWED"
    assert flat(bot.get("/api/bot/nothing/of/the/kind"))["errorCode"] == "NOT_FOUND"
    assert flat(bot.get("/api/bot/result"))["errorCode"] == "VALIDATION_ERROR"
    assert flat(bot.get("/api/bot/result?jobId=unknown"))["errorCode"] == "NOT_FOUND"
    assert flat(bot.get("/api/bot/result?jobId=x&firstPart=0"))["errorCode"] == "VALIDATION_ERROR"
    assert flat(client.post("/api/bot/ask", json={"message": "ping"}))["errorCode"] == "UNAUTHORIZED"
    assert flat(client.post("/api/bot/ask", headers={"X-API-Key": "x"}))["errorCode"] == "UNAUTHORIZED"
    assert client.get("/api/botany").status_code == 404


def test_a_refusal_says_what_is_left_and_when_to_come_back(program_for: NewProgram, user: Caller) -> None:
    bot = program_for(user, requestsPerMinute=1)
    top_up(bot)
    ask(bot, wait=0)
    response = bot.post("/api/bot/ask", {"userId": "4242", "message": "ping"})
    refused = flat(response)
    assert (refused["errorCode"], refused["retryAfter"]) == ("RATE_LIMITED", int(response.headers["Retry-After"]))
    assert refused["errorText"].startswith("Слишком часто. Повторите через ")
    assert 0 < refused["balance"] < 10_000


def test_scopes_blocks_and_other_bots(program_for: NewProgram, user: Caller, admin: Caller, bot: Program) -> None:
    job_id = ask(bot, wait=0)["jobId"]
    assert flat(program_for(user).get(f"/api/bot/result?jobId={job_id}&wait=0"))["errorCode"] == "FORBIDDEN"
    assert ask(program_for(user, ["chat", "context"]))["errorCode"] == "FORBIDDEN"
    admin.post(f"/api/admin/user/{user.id}/block")
    blocked = ask(bot)
    assert (blocked["errorCode"], blocked["errorText"]) == (
        "ACCOUNT_BLOCKED",
        "Доступ закрыт. Обратитесь к администратору.",
    )


@pytest.mark.parametrize(("status", "code"), [(400, "UPSTREAM_ERROR"), (500, "UPSTREAM_ERROR")])
def test_a_failed_answer_costs_nothing_and_says_so(
    bot: Program, upstream: UpstreamControl, at_once: None, status: int, code: str
) -> None:
    upstream.rule(status=status)
    failed = ask(bot)
    assert (failed["status"], failed["errorCode"], failed["balance"]) == ("failed", code, 10_000)
    assert failed["errorText"] == "Не получилось ответить. Ничего не списано, попробуйте ещё раз."
    assert failed["retryAfter"] == 0
    assert failed["jobId"]


def test_a_cancelled_question_has_failed(bot: Program) -> None:
    job_id = ask(bot, wait=0)["jobId"]
    bot.post(f"/api/chat/jobs/{job_id}/cancel")
    reply = flat(bot.get(f"/api/bot/result?jobId={job_id}"))
    assert (reply["status"], reply["errorCode"], reply["balance"]) == ("failed", "CANCELLED", 10_000)


def test_a_defect_is_told_flat(bot: Program, container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(container.jobs), "submit", broken)
    assert ask(bot)["errorCode"] == "INTERNAL_ERROR"
    outage = container.outages[0]
    monkeypatch.setattr(type(container.jobs), "submit", lambda *_: (_ for _ in ()).throw(outage("away")))
    away = ask(bot)
    assert (away["errorCode"], away["retryAfter"]) == ("UNAVAILABLE", 1)


def test_the_language_is_the_keys_the_accounts_or_the_clients(
    program_for: NewProgram, register: Callable[..., Caller], user: Caller
) -> None:
    def words(bot: Program, **headers: str) -> str:
        return str(flat(bot.get("/api/bot/result?jobId=unknown", headers=headers))["errorText"])

    english = "There is no such question. Ask a new one."
    russian = program_for(user)
    assert words(russian) == "Такого вопроса нет. Задайте новый."
    assert words(russian, **{"Accept-Language": "en"}) == english
    assert words(program_for(user, locale="en")) == english
    assert words(program_for(register(locale="en"))) == english
    assert words(program_for(register(locale="en"), locale="ru")) == "Такого вопроса нет. Задайте новый."


def test_the_key_is_in_no_log_and_no_metric(
    bot: Program, client: FlaskClient, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], pong: None
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = bot.key["key"]
    for path in ("ask", "result?jobId=x", "nothing", "ask/"):
        for method in ("POST", "GET", "DELETE"):
            reply = client.open(f"/api/bot/{secret}/{path}", method=method, json={"message": "ping"})
            assert secret not in reply.text + str(reply.headers)
    logged = caplog.text + "".join(capsys.readouterr())
    assert "/api/bot/<api_key>/ask" in logged
    assert "bot_outcome" in logged
    assert secret not in logged
    metrics = client.get("/metrics").text
    assert 'bot_replies_total{outcome="done"}' in metrics
    assert 'route="/api/bot/<api_key>/ask"' in metrics
    assert secret not in metrics


def test_the_answers_are_as_documented(bot: Program, client: FlaskClient, pong: None) -> None:
    document = client.get("/openapi.json").json
    schema = document["components"]["schemas"]["BotReply"]
    replies = [ask(bot), ask(bot, wait=0), ask(bot, message=""), flat(bot.get("/api/bot/balance"))]
    for reply in replies:
        assert not complain(document, schema, reply)
        assert schema["properties"].keys() == reply.keys()
