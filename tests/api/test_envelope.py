"""What every answer carries: a request id, security headers; and what is logged and counted of it."""

import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog
from flask.testing import FlaskClient
from gevent.hub import Hub
from structlog.testing import LogCapture

from service.api.app import create_app
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.settings import Settings
from service.usecases.figures import FiguresService
from tests.api.conftest import Caller

PATHS = ("/health/live", "/api/nothing", "/api/chat", "/openapi.json", "/docs", "/metrics")


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture], cache_logger_on_first_use=False)
    yield capture.entries
    structlog.configure(**before)


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_the_security_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"]
    assert headers["X-Request-Id"]


@pytest.mark.parametrize("given", ["abcd1234", "A-b_c.d-12345678", "x" * 128])
def test_a_sane_request_id_comes_back(client: FlaskClient, given: str) -> None:
    reply = client.get("/api/nothing", headers={"X-Request-Id": given})
    assert reply.headers["X-Request-Id"] == given
    assert reply.json["requestId"] == given


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 129, "has space1", "semi;colon", "кириллица!", "a\x7fbcdefgh", '"quoted1"']
)
def test_another_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    reply = client.get("/api/nothing", headers={"X-Request-Id": given.encode("utf-8").decode("latin-1")})
    assert len(reply.headers["X-Request-Id"]) == 32
    assert reply.headers["X-Request-Id"] != given


def test_request_ids_differ(client: FlaskClient) -> None:
    assert client.get("/health/live").headers["X-Request-Id"] != client.get("/health/live").headers["X-Request-Id"]


def test_the_request_id_goes_with_the_job(user: Caller, container: Container) -> None:
    reply = user.post("/api/chat", {"message": "hello"}, headers={"X-Request-Id": "from-the-client"})
    asker = Actor(account_id=user.id, role=Role.USER, request_id="another")
    assert container.jobs.get(asker, reply.json["jobId"]).request_id == "from-the-client"


def test_transport_security_is_said_on_https_only(client: FlaskClient) -> None:
    assert "Strict-Transport-Security" not in client.get("/health/live").headers
    assert "Strict-Transport-Security" in client.get("/health/live", base_url="https://localhost").headers


def test_forwarded_addresses_are_not_believed_without_proxies(client: FlaskClient) -> None:
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    assert "Strict-Transport-Security" not in client.get("/health/live", headers=headers).headers


def test_so_many_proxies_are_believed_as_are_configured(settings: Settings, container: Container) -> None:
    from dataclasses import replace

    behind = replace(container, settings=settings.model_copy(update={"trusted_proxies": 1}))
    client = create_app(behind).test_client()
    headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    assert "Strict-Transport-Security" in client.get("/health/live", headers=headers).headers


def test_one_log_line_tells_of_a_request_without_its_secrets(user: Caller, logged: list[dict[str, object]]) -> None:
    user.post("/api/chat?secret=query", {"message": "my private question"}, headers={"X-Request-Id": "log-me-please"})
    lines = [entry for entry in logged if entry["event"] == "request"]
    assert len(lines) == 1
    line = lines[0]
    assert line["http.request.method"] == "POST"
    assert line["http.route"] == "/api/chat"
    assert line["http.response.status_code"] == 202
    assert line["account_id"] == user.id
    assert line["request_id"] == "log-me-please"
    assert isinstance(line["event.duration"], int)
    everything = json.dumps(logged, default=str, ensure_ascii=False)
    for secret in ("my private question", "secret", user.token, "long enough"):
        assert secret not in everything


def test_a_refused_login_leaves_no_trace_of_what_was_tried(
    client: FlaskClient, logged: list[dict[str, object]]
) -> None:
    client.post("/api/auth/login", json={"username": "somebody-real", "password": "hunter2-hunter2"})
    everything = json.dumps(logged, default=str)
    assert "hunter2" not in everything
    assert "somebody-real" not in everything


def test_log_lines_of_one_request_do_not_leak_into_the_next(
    user: Caller, client: FlaskClient, logged: list[dict[str, object]]
) -> None:
    user.get("/api/billing")
    client.get("/api/nothing")
    last = [entry for entry in logged if entry["event"] == "request"][-1]
    assert "account_id" not in last


def test_requests_are_counted_by_route_template(client: FlaskClient, user: Caller) -> None:
    user.get("/api/chat/jobs/some-unknown-job")
    client.get("/no/such/path/at-all")
    exposition = client.get("/metrics").text
    assert 'http_requests_total{method="GET",route="/api/chat/jobs/<job_id>",status="404"}' in exposition
    assert 'route="unmatched"' in exposition
    assert "some-unknown-job" not in exposition
    assert "at-all" not in exposition


def test_an_invented_method_makes_no_label(client: FlaskClient) -> None:
    client.open("/no/such/path", method="BREW")
    assert "BREW" not in client.get("/metrics").text


def test_the_log_is_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    from service.adapters import logs

    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook, Hub.print_exception
    before = structlog.get_config()
    try:
        logs.configure("INFO", "web")
        structlog.get_logger("test").info("request", **{"http.response.status_code": 200})
        line = json.loads(capsys.readouterr().out.splitlines()[-1])
    finally:
        root.handlers[:], root.level = handlers, level
        sys.excepthook, threading.excepthook, Hub.print_exception = hooks
        structlog.configure(**before)
    assert line["message"] == "request"
    assert line["http"]["response"]["status_code"] == 200


@pytest.mark.parametrize(
    ("accept", "query", "is_json"),
    [
        ("", "", False),
        ("*/*", "", False),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "", False),
        ("application/json", "", True),
        ("", "?format=json", True),
        ("application/json", "?format=text", False),
    ],
)
def test_metrics_are_text_unless_json_is_asked_for(client: FlaskClient, accept: str, query: str, is_json: bool) -> None:
    reply = client.get(f"/metrics{query}", headers={"Accept": accept} if accept else {})
    assert reply.status_code == 200
    assert reply.is_json is is_json
    if is_json:
        assert reply.json.keys() == {"activeConnections", "sockets", "streams", "memory", "uptime"}
        assert reply.json["memory"]["rss"] > 10**7
    else:
        assert reply.text.startswith("# HELP")


def test_metrics_need_no_database(client: FlaskClient, container: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: object) -> None:
        raise container.outages[0]("away")

    monkeypatch.setattr(FiguresService, "latest", away)
    reply = client.get("/metrics")
    assert reply.status_code == 200
    assert "http_requests_total" in reply.text


def test_metrics_in_another_format_are_refused(client: FlaskClient) -> None:
    reply = client.get("/metrics?format=xml")
    assert (reply.status_code, reply.json["details"].keys()) == (400, {"format"})
