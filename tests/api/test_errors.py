"""Every failure has one shape, the status of its code and the reader's language."""

from types import SimpleNamespace

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from service.adapters.metrics import Metrics
from service.api.app import create_app
from service.api.errors import STATUSES, JobFailed
from service.domain import texts
from service.domain.errors import (
    BalanceChanged,
    BalanceTooLow,
    ContextTooLong,
    InsufficientTokens,
    ModelNotFound,
    NoCredits,
    PaymentSpent,
    PaymentState,
    RateLimited,
    ServiceError,
    Unavailable,
    ValidationFailed,
    VersionChanged,
)
from service.settings import Settings
from tests.api.conftest import Caller


class AwayError(Exception):
    """A dependency's own word for being away."""


def errors_by_code() -> dict[str, ServiceError]:
    special: list[ServiceError] = [
        InsufficientTokens(required=600, available=120, held=7),
        NoCredits(required=1, available=0, held=1),
        BalanceChanged(available=5, held=7),
        BalanceTooLow(available=5, held=7),
        VersionChanged(version=4),
        PaymentState(status="canceled"),
        PaymentSpent(required=600, available=5, held=7),
        RateLimited(retry_after_seconds=12, params={"seconds": 12}),
        ModelNotFound("gpt-0"),
        ContextTooLong(tokens=900, limit=800),
    ]
    found = {error.code: error for error in special}
    waiting = list(ServiceError.__subclasses__())
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind.code not in found:
            found[kind.code] = kind()
    return found


ERRORS = errors_by_code()


@pytest.fixture(scope="module")
def failing() -> FlaskClient:
    """The application with routes that fail as they are told; it needs no server for that."""
    settings = Settings(
        _env_file=None, app_env="development", openai_api_key="x", jwt_secret_key="0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    )
    paying = SimpleNamespace(test_payments=None)
    parts = SimpleNamespace(settings=settings, outages=(AwayError,), metrics=Metrics(), paying=paying)
    app: Flask = create_app(parts)

    @app.get("/fail/<code>")
    def fail(code: str) -> None:
        raise ERRORS[code]

    @app.get("/abort/<int:status>")
    def refuse(status: int) -> None:
        abort(status)

    @app.get("/break/<how>")
    def break_down(how: str) -> None:
        raise {
            "away": AwayError("mongodb://user:secret@host"),
            "bug": ZeroDivisionError("secret"),
            "job": JobFailed(SimpleNamespace(id="the-job", error_code="INTERRUPTED", error_reason=None)),
            "odd-job": JobFailed(SimpleNamespace(id="the-job", error_code="SOMETHING_NEW", error_reason=None)),
        }[how]

    @app.get("/complain")
    def complain() -> None:
        raise ValidationFailed(details={"a": ["required", "max_length:64"], "b": ["0.role@not_string"]})

    @app.get("/wait")
    def wait() -> None:
        raise Unavailable()

    return app.test_client()


@pytest.mark.parametrize("locale", texts.LOCALES)
@pytest.mark.parametrize("code", ERRORS)
def test_each_code_has_its_status_and_its_words(failing: FlaskClient, code: str, locale: str) -> None:
    reply = failing.get(f"/fail/{code}", headers={"Accept-Language": locale, "X-Request-Id": "my-request-1"})
    assert reply.status_code == STATUSES[code]
    assert reply.content_type == "application/json; charset=utf-8"
    body = reply.json
    assert {"error", "code", "message", "requestId"} <= body.keys()
    assert (body["code"], body["requestId"]) == (code, "my-request-1")
    params = {"seconds": int(reply.headers.get("Retry-After", 0)), "limit": 256, **ERRORS[code].params}
    assert body["error"] == texts.text(locale, f"{code}.error", **params)
    assert body["message"] == texts.text(locale, f"{code}.message", **params)


def test_402_says_what_is_missing_and_where_to_pay(failing: FlaskClient) -> None:
    body = failing.get("/fail/INSUFFICIENT_TOKENS").json
    assert body["error"] == "Недостаточно токенов"
    assert {key: body[key] for key in ("required", "available", "held")} == {
        "required": 600,
        "available": 120,
        "held": 7,
    }
    assert body["topUpUrl"] == "http://localhost:8000/balance"


def test_a_changed_balance_says_what_it_is(failing: FlaskClient) -> None:
    body = failing.get("/fail/BALANCE_CHANGED").json
    assert (body["currentBalance"], body["held"]) == (5, 7)


def test_a_wait_is_said_in_the_header_and_in_words(failing: FlaskClient) -> None:
    reply = failing.get("/fail/RATE_LIMITED")
    assert reply.headers["Retry-After"] == "12"
    assert reply.json["message"] == "Повторите через 12 секунд."


def test_a_refusal_that_will_pass_always_says_when(failing: FlaskClient) -> None:
    assert failing.get("/wait").headers["Retry-After"] == "1"


def test_401_names_the_scheme(failing: FlaskClient) -> None:
    assert failing.get("/fail/UNAUTHORIZED").headers["WWW-Authenticate"] == "Bearer"
    assert failing.get("/fail/TOKEN_EXPIRED").headers["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in failing.get("/fail/BAD_CREDENTIALS").headers


def test_complaints_are_put_into_words(failing: FlaskClient) -> None:
    assert failing.get("/complain", headers={"Accept-Language": "en"}).json["details"] == {
        "a": ["This field is required.", "At most 64 characters."],
        "b": ["item 0.role: Must be a string."],
    }


def test_an_outage_is_503_and_leaks_nothing(failing: FlaskClient) -> None:
    reply = failing.get("/break/away")
    assert (reply.status_code, reply.json["code"], reply.headers["Retry-After"]) == (503, "UNAVAILABLE", "1")
    assert "secret" not in reply.text


def test_a_defect_is_500_and_leaks_nothing(failing: FlaskClient) -> None:
    reply = failing.get("/break/bug")
    assert (reply.status_code, reply.json["code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in reply.text
    assert "ZeroDivision" not in reply.text


def test_a_failed_job_answers_its_own_error(failing: FlaskClient) -> None:
    reply = failing.get("/break/job")
    assert (reply.status_code, reply.json["code"], reply.json["jobId"]) == (500, "INTERRUPTED", "the-job")
    assert failing.get("/break/odd-job").json["code"] == "INTERNAL_ERROR"


@pytest.mark.parametrize(
    ("status", "answered", "code"),
    [
        (400, 400, "VALIDATION_ERROR"),
        (404, 404, "NOT_FOUND"),
        (405, 405, "METHOD_NOT_ALLOWED"),
        (406, 406, "NOT_ACCEPTABLE"),
        (408, 408, "VALIDATION_ERROR"),
        (413, 413, "PAYLOAD_TOO_LARGE"),
        (414, 414, "VALIDATION_ERROR"),
        (415, 415, "UNSUPPORTED_MEDIA_TYPE"),
        (422, 422, "VALIDATION_ERROR"),
        (500, 500, "INTERNAL_ERROR"),
        (501, 500, "INTERNAL_ERROR"),
    ],
)
def test_what_the_framework_refuses_has_our_shape(failing: FlaskClient, status: int, answered: int, code: str) -> None:
    reply = failing.get(f"/abort/{status}")
    assert (reply.status_code, reply.json["code"]) == (answered, code)


def test_unknown_paths_and_methods_have_our_shape(failing: FlaskClient) -> None:
    assert failing.get("/api/nothing").json["code"] == "NOT_FOUND"
    reply = failing.delete("/api/chat")
    assert (reply.status_code, reply.json["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert "POST" in reply.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/api//chat", "/api/chat%00", "/api/chat/%ff", "/%2e%2e/etc/passwd", "//evil.example/api"]
)
def test_odd_paths_are_not_found_and_never_redirected(failing: FlaskClient, path: str) -> None:
    assert failing.get(path).status_code == 404


def test_a_trailing_slash_makes_no_difference(client: FlaskClient, user: Caller) -> None:
    assert user.get("/api/billing/").status_code == 200


@pytest.mark.parametrize(
    ("accepted", "locale"),
    [
        ("", "ru"),
        ("*", "ru"),
        ("de", "ru"),
        ("en", "en"),
        ("en-US,en;q=0.9", "en"),
        ("fr-CA", "fr"),
        ("de, fr;q=0.8, en;q=0.9", "en"),
        ("ru;q=0, en", "en"),
        ("complete nonsense;;;q=x", "ru"),
        ("en" * 4000, "ru"),
    ],
)
def test_the_language_is_what_the_client_accepts(failing: FlaskClient, accepted: str, locale: str) -> None:
    reply = failing.get("/fail/NOT_FOUND", headers={"Accept-Language": accepted})
    assert reply.json["error"] == texts.text(locale, "NOT_FOUND.error")


def test_the_accounts_own_language_comes_first(register: object) -> None:
    french = register(locale="fr")
    reply = french.get("/api/chat/jobs/unknown", headers={"Accept-Language": "en"})
    assert reply.json["error"] == "Introuvable"


def test_an_account_chooses_another_language(register: object, client: FlaskClient) -> None:
    french = register(locale="fr")
    changed = french.call("PATCH", "/api/auth/me", json={"locale": "en"})
    assert (changed.status_code, changed.json["locale"], changed.json["userId"]) == (200, "en", french.id)
    missing = french.get("/api/chat/jobs/unknown", headers={"Accept-Language": "fr"})
    assert missing.json["error"] == texts.text("en", "NOT_FOUND.error")
    for bad in ({}, {"locale": "de"}, {"locale": None}, {"locale": ["en"]}):
        refused = french.call("PATCH", "/api/auth/me", json=bad)
        assert (refused.status_code, list(refused.json["details"])) == (400, ["locale"])
    assert french.get("/api/auth/me").json["locale"] == "en"
    assert client.patch("/api/auth/me", json={"locale": "en"}).status_code == 401


def test_complaints_of_marshmallow_are_in_the_readers_language(client: FlaskClient) -> None:
    seen = {
        locale: client.post("/api/auth/login", json={"username": 5}, headers={"Accept-Language": locale}).json[
            "details"
        ]
        for locale in texts.LOCALES
    }
    assert seen == {
        "ru": {"username": ["Должно быть строкой."], "password": ["Обязательное поле."]},
        "en": {"username": ["Must be a string."], "password": ["This field is required."]},
        "fr": {"username": ["Doit être une chaîne."], "password": ["Champ obligatoire."]},
    }


def test_a_thousand_bad_items_are_not_complained_of_one_by_one(user: Caller) -> None:
    reply = user.post("/api/context", {"context": [{"role": "system", "content": "x"}] * 1000})
    assert reply.status_code == 400
    assert len(reply.json["details"]["context"]) == 10
