"""The technical specification: every route, parameter, field and status of it, by a client that knows nothing else."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from devstack.upstream_control import UpstreamControl
from service.api.app import create_app
from service.bootstrap import Container
from service.usecases.accounts import AccountService
from service.usecases.admin import AdminService
from service.usecases.billing import BillingService
from service.usecases.contexts import ContextService
from tests.api.conftest import PASSWORD, Caller, NewCaller
from tests.seeds.documents import Route, mistyped, read, routes, section

ROUTES = routes(read("gateway"))
BY_NAME = {route.name: route for route in ROUTES}
TURN = [{"role": "user", "content": "Привет"}, {"role": "assistant", "content": "Здравствуйте"}]
TOKENS = {"userId", "user_id", "access_token", "refresh_token", "token_type", "expires_in"}
# What we say beyond the specification, and nothing else.
ADDED = {
    "POST /api/chat": {
        *("jobId", "userId", "status", "assistant", "meter", "model", "usage", "charged", "currentBalance"),
        *("finishReason", "createdAt", "startedAt", "finishedAt", "metadata", "sessionId", "chatId"),
    },
    "GET /api/billing": {"userId", "held", "plan", "credits"},
    "POST /api/auth/register": TOKENS,
    "POST /api/auth/login": TOKENS,
    "GET /api/admin/users": {"total", "page", "limit"},
    "POST /api/admin/user/:userId/balance": {"currentBalance"},
    "GET /api/admin/user/:userId/dialogs": {"nextCursor"},
}


@dataclass(frozen=True)
class People:
    """Who the specification knows: somebody, an operator, somebody without tokens, and nobody at all."""

    user: Caller
    admin: Caller
    poor: Caller
    client: FlaskClient

    def named(self, who: str) -> Caller | None:
        return {"nobody": None, "user": self.user, "admin": self.admin, "poor": self.poor}[who]


@pytest.fixture
def people(
    container: Container, user: Caller, admin: Caller, register: NewCaller,
    worker: Callable[[], None], upstream: UpstreamControl,
) -> People:  # fmt: skip
    """On an installation that waits for the answer by itself, as clients of the plain specification need it."""
    settings = container.settings.model_copy(update={"chat_wait_seconds": 20})
    patient = create_app(replace(container, settings=settings)).test_client()
    upstream.rule(contains="сломайся", status=400)
    upstream.rule(answer="Ответ от ChatGPT", usage={"prompt_tokens": 20, "completion_tokens": 18, "total_tokens": 38})
    worker()
    return People(*(replace(caller, client=patient) for caller in (user, admin, register(tokens=0))), client=patient)


def send(people: People, route: Route, caller: Caller | None, **values: Any) -> TestResponse:
    """The documented request: every documented parameter, and with `values` others, or None for none at all."""
    user_id = values.pop("path", people.user.id)
    usual = {
        "userId": people.user.id,
        "message": "Привет",
        "context": TURN,
        "amount": 500,
        "username": people.user.name,
        "password": PASSWORD,
    }
    sent = {name: usual[name] for name in route.request} | values
    sent = {name: value for name, value in sent.items() if value is not None}
    where = {"query_string": sent} if route.method == "GET" else {"json": sent}
    headers = {} if caller is None else {"Authorization": f"Bearer {caller.token}"}
    return people.client.open(
        route.path.replace(":userId", user_id),
        method=route.method,
        headers=headers,
        **where,  # type: ignore[arg-type]
    )


def one(name: str, people: People, **values: Any) -> dict[str, Any]:
    """The body of a successful answer."""
    reply = send(people, BY_NAME[name], caller_of(BY_NAME[name], people), **values)
    assert reply.status_code in (200, 201), reply.text
    return dict(reply.json)


def caller_of(route: Route, people: People) -> Caller | None:
    if "/auth/" in route.path:
        return None
    # Nobody else moves tokens out of nothing.
    return people.admin if "/admin/" in route.path or "topup" in route.path else people.user


def test_the_specification_is_read_whole() -> None:
    assert len(ROUTES) == len(BY_NAME) == 11


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_an_answer_has_the_documented_fields(people: People, route: Route) -> None:
    send(people, BY_NAME["POST /api/context"], people.user)
    values = {"username": f"new-{uuid4().hex[:12]}"} if route.path.endswith("/register") else {}
    reply = send(people, route, caller_of(route, people), **values)
    assert reply.status_code == (201 if route.path.endswith("/register") else 200), reply.text
    assert reply.content_type == "application/json; charset=utf-8"
    assert mistyped(route.response, reply.json, ADDED.get(route.name, ())) == []


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_reference_documents_what_the_specification_does(client: FlaskClient, route: Route) -> None:
    document = client.get("/openapi.json").json
    operation = document["paths"][route.path.replace(":userId", "{userId}")][route.method.lower()]
    if route.method == "GET":
        known = {parameter["name"] for parameter in operation["parameters"] if "name" in parameter}
    else:
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        schema = document["components"]["schemas"][name]
        # A question, or BizLevel's whole conversation.
        known = schema.get("oneOf", [schema])[0]["properties"].keys()
    assert route.request.keys() <= known
    assert {str(status) for status in route.statuses} <= operation["responses"].keys()


def test_a_dialog_as_the_specification_tells_it(people: People) -> None:
    first = one("POST /api/chat", people, context=None)
    assert (first["message"], first["tokensUsed"]) == ("Ответ от ChatGPT", 38)
    turn = [{"role": "user", "content": "Привет"}, {"role": "assistant", "content": "Ответ от ChatGPT"}]
    assert first["context"] == turn
    # With the context that came, without one, and with another.
    assert one("POST /api/chat", people, context=first["context"])["context"] == turn * 2
    assert one("POST /api/chat", people, context=None)["context"] == turn * 3
    assert one("GET /api/context", people)["context"] == turn * 3
    assert one("POST /api/chat", people, context=TURN)["context"] == TURN + turn

    assert one("POST /api/context/reset", people) == {"success": True}
    assert one("GET /api/context", people) == {"context": []}
    assert one("POST /api/context", people) == {"success": True}
    assert one("GET /api/context", people) == {"context": TURN}


def test_money_as_the_specification_tells_it(people: People) -> None:
    one("POST /api/chat", people)
    billing = one("GET /api/billing", people)
    assert (billing["totalTokens"], billing["currentBalance"]) == (38, 100_000 - 38)
    assert one("POST /api/billing/topup", people, amount=500) == {
        "success": True,
        "currentBalance": 100_000 - 38 + 500,
    }
    assert one("POST /api/admin/user/:userId/balance", people, amount=7)["success"] is True
    assert one("GET /api/billing", people)["currentBalance"] == 7


def test_an_operator_sees_what_was_said(people: People) -> None:
    one("POST /api/chat", people)
    (dialog,) = one("GET /api/admin/user/:userId/dialogs", people)["dialogs"]
    said = [(message["role"], message["content"]) for message in dialog["messages"]]
    assert said == [("user", "Привет"), ("assistant", "Ответ от ChatGPT")]
    users = one("GET /api/admin/users", people, q=people.user.name)["users"]
    assert [user["userId"] for user in users] == [people.user.id]


def test_a_new_token_is_a_token(people: People) -> None:
    name = f"new-{uuid4().hex[:12]}"
    new = one("POST /api/auth/register", people, username=name)
    logged_in = one("POST /api/auth/login", people, username=name)
    for token in (new["token"], logged_in["token"]):
        caller = replace(people.user, token=token)
        assert caller.get(f"/api/billing?userId={new['userId']}").status_code == 200


# What is sent, and by whom, to get each documented status; the same for all routes where none is named.
Case = tuple[str, dict[str, Any]]
ANY_FAILURE: dict[int, list[Case]] = {401: [("nobody", {})], 403: [("user", {})]}
FAILURES: dict[tuple[str, int], list[Case]] = {
    ("POST /api/chat", 400): [
        ("user", {"message": None}),
        ("user", {"message": ""}),
        ("user", {"message": 5}),
        ("user", {"userId": ""}),
        ("user", {"userId": 5}),
        ("user", {"context": "x"}),
    ],
    ("POST /api/chat", 402): [("poor", {"userId": None})],
    ("POST /api/chat", 500): [("user", {"message": "сломайся"})],
    ("POST /api/context", 400): [("user", {"context": None}), ("user", {"context": {}}), ("user", {"userId": ""})],
    ("GET /api/context", 400): [("user", {"userId": ""})],
    ("GET /api/context", 404): [("user", {})],
    ("POST /api/context/reset", 400): [("user", {"userId": ["x"]})],
    ("GET /api/billing", 400): [("user", {"userId": ""})],
    ("POST /api/billing/topup", 400): [
        ("admin", {"amount": None}),
        ("admin", {"amount": -1}),
        ("admin", {"amount": "много"}),
        ("admin", {"userId": 5}),
    ],
    ("POST /api/auth/register", 400): [
        ("nobody", {"username": None}),
        ("nobody", {"username": "fresh", "password": None}),
        ("nobody", {"username": "fresh", "password": "short"}),
    ],
    ("POST /api/auth/register", 409): [("nobody", {})],
    ("POST /api/auth/login", 400): [("nobody", {"username": None}), ("nobody", {"password": None})],
    ("POST /api/auth/login", 401): [
        ("nobody", {"password": "another one"}),
        ("nobody", {"username": "nobody-at-all"}),
    ],
    ("POST /api/admin/user/:userId/balance", 400): [
        ("admin", {"amount": None}),
        ("admin", {"amount": -1}),
        ("admin", {"amount": "x"}),
    ],
}
CODES = {400: {"VALIDATION_ERROR", "INVALID_MESSAGE"}, 401: {"UNAUTHORIZED", "BAD_CREDENTIALS"}, 403: {"FORBIDDEN"}}
DEFECTS: dict[str, tuple[type, str]] = {
    "POST /api/context": (ContextService, "save"),
    "GET /api/context": (ContextService, "get"),
    "POST /api/context/reset": (ContextService, "reset"),
    "GET /api/billing": (BillingService, "statement"),
    "POST /api/billing/topup": (BillingService, "top_up"),
    "POST /api/auth/register": (AccountService, "register"),
    "POST /api/auth/login": (AccountService, "log_in"),
    "GET /api/admin/users": (AdminService, "users"),
    "POST /api/admin/user/:userId/balance": (AdminService, "set_balance"),
    "GET /api/admin/user/:userId/dialogs": (AdminService, "dialogs"),
}
DOCUMENTED = [(route.name, status) for route in ROUTES for status in sorted(route.statuses)]
REFUSED = [
    (name, status, who, values)
    for name, status in DOCUMENTED
    for who, values in FAILURES.get((name, status), ANY_FAILURE.get(status, []))
]


def test_each_documented_status_is_tried() -> None:
    tried = {(name, status) for name, status, *_ in REFUSED} | {(name, 500) for name in DEFECTS}
    assert tried == set(DOCUMENTED)


@pytest.mark.parametrize(("name", "status", "who", "values"), REFUSED)
def test_a_refusal_has_the_documented_status(
    people: People, name: str, status: int, who: str, values: dict[str, Any]
) -> None:
    reply = send(people, BY_NAME[name], people.named(who), **values)
    assert reply.status_code == status, reply.text
    assert {"error", "code", "message", "requestId"} <= reply.json.keys()
    assert reply.json["code"] in CODES.get(status, {reply.json["code"]})
    assert people.user.get("/api/billing").json["currentBalance"] == 100_000


def test_an_empty_balance_is_told_in_words(people: People) -> None:
    reply = send(people, BY_NAME["POST /api/chat"], people.poor, userId=people.poor.id)
    assert (reply.json["error"], reply.json["code"]) == ("Недостаточно токенов", "INSUFFICIENT_TOKENS")


@pytest.mark.parametrize("name", DEFECTS)
def test_our_own_fault_is_a_500_without_its_details(people: People, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def break_down(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(*DEFECTS[name], break_down)
    reply = send(people, BY_NAME[name], caller_of(BY_NAME[name], people))
    assert (reply.status_code, reply.json["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in reply.text


# Of each line of the specification's dashboard, the series that draw it.
DASHBOARD = {
    "Запросы в секунду": ("http_requests_total",),
    "Среднее время отклика": ("http_request_duration_seconds_sum", "http_request_duration_seconds_count"),
    "Ошибки по типам": tuple(f'http_requests_total{{status="{status}"}}' for status in (400, 401, 402, 403, 404, 500)),
    "Загрузка процессора": ("web_cpu_seconds",),
    "Использование памяти": ("web_resident_memory_bytes",),
    "Число активных пользователей": ("active_users",),
    "Средний размер ответа": ("http_response_size_bytes_sum", "http_response_size_bytes_count"),
    "Использование токенов": ('llm_tokens_total{type="prompt"}', 'llm_tokens_total{type="completion"}'),
    "Баланс пользователей": ('user_balance_tokens{stat="mean"}', 'user_balance_tokens{stat="median"}'),
}


def test_the_dashboard_can_be_drawn(people: People) -> None:
    named = re.findall(r"- \*\*(.+?)\*\*:", section(read("gateway"), "### Параметры для мониторинга в Grafana"))
    assert named == list(DASHBOARD)
    one("POST /api/chat", people)
    one("GET /api/billing", people)
    for name, status, who, values in (
        ("GET /api/billing", 400, "user", {"userId": ""}),
        ("GET /api/billing", 401, "nobody", {}),
        ("POST /api/chat", 402, "poor", {"userId": None}),
        ("GET /api/admin/users", 403, "user", {}),
        ("GET /api/context", 404, "poor", {"userId": None}),
        ("POST /api/chat", 500, "user", {"message": "сломайся"}),
    ):
        assert send(people, BY_NAME[name], people.named(who), **values).status_code == status
    series = people.client.get("/metrics").text.splitlines()
    for names in DASHBOARD.values():
        for wanted in names:
            name, _, label = wanted.partition("{")
            drawn = [line for line in series if line.startswith(name) and label.rstrip("}") in line]
            assert any(float(line.rsplit(" ", 1)[1]) > 0 for line in drawn), wanted
