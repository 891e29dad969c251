"""The OpenAPI document is valid, complete and true to the routes; the pages around it work from local files."""

import json
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from service.api import ui
from service.api.errors import STATUSES
from service.settings import Settings
from tests.api.conftest import Caller

METHODS = ("get", "post", "put", "patch", "delete")
ACCESS = {"public", "self", "private", "owner", "support", "admin"}
# Whose bodies need what a form can't carry.
NESTED = {
    "/api/context",
    "/api/admin/keys/{keyId}/scopes",
    "/api/payments/yookassa/notifications",
    "/v1/chat/completions",
}
# Pages and files, not part of the API.
UNDOCUMENTED = {
    "/",
    "/ws",
    "/ws/chat/<session_id>",
    "/ws/chat/<session_id>/switch",
    "/openapi.json",
    "/docs",
    "/redoc",
    "/docs/static/<path:filename>",
    "/pay/test/<provider_id>",
    "/favicon.svg",
    "/assets/<path:filename>",
    *(f"/{first}{rest}" for first in ui.PAGES for rest in ("", "/<path:rest>")),
}
Operations = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    reply = client.get("/openapi.json")
    assert reply.content_type == "application/json; charset=utf-8"
    return dict(reply.json)


@pytest.fixture
def operations(document: dict[str, Any]) -> Operations:
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def resolve(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def complain(document: dict[str, Any], schema: dict[str, Any], value: object) -> list[str]:
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return [error.message for error in validator.iter_errors(value)]


def contents(document: dict[str, Any], operations: Operations) -> list[tuple[str, dict[str, Any]]]:
    """Every documented body, with where it is."""
    found = []
    for (method, path), operation in operations.items():
        bodies = [("request", operation.get("requestBody", {}))]
        bodies += [(status, resolve(document, reply)) for status, reply in operation["responses"].items()]
        for where, body in bodies:
            for media_type, content in body.get("content", {}).items():
                found.append((f"{method} {path} {where} {media_type}", content))
    return found


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def camel(name: re.Match[str]) -> str:
    """A parameter of a path as the document writes it."""
    return "{" + re.sub(r"_(\w)", lambda m: m[1].upper(), name[1]) + "}"


def test_every_route_is_documented(app: Flask, operations: Operations) -> None:
    for rule in app.url_map.iter_rules():
        if rule.rule in UNDOCUMENTED:
            continue
        path = re.sub(r"<(?:path:)?(\w+)>", camel, rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            assert (method.lower(), path) in operations


def test_every_route_is_classified(app: Flask, operations: Operations) -> None:
    for endpoint, view in app.view_functions.items():
        assert getattr(view, "access", None) in ACCESS, endpoint
    for key, operation in operations.items():
        assert operation["x-access"] in ACCESS, key
        secured = [scheme for scheme in operation["security"] if scheme]
        assert bool(secured) is (operation["x-access"] != "public") or {} in operation["security"], key


def test_operations_for_programs_name_the_scope_that_a_key_needs(
    document: dict[str, Any], operations: Operations
) -> None:
    assert document["components"]["securitySchemes"]["apiKey"]["name"] == "X-API-Key"
    scopes = {
        operation["operationId"]: scheme["apiKey"]
        for operation in operations.values()
        for scheme in operation["security"]
        if "apiKey" in scheme
    }
    assert scopes["chatAsk"] == scopes["chatFollowJob"] == ["chat"]
    assert scopes["contextSave"] == ["context"]
    assert scopes["billingStatement"] == ["billing:read"]
    assert scopes["billingTopUp"] == ["billing:topup"]
    assert scopes["botAsk"] == scopes["linkConfirm"] == ["bot"]
    assert not [name for name in scopes if name.startswith(("admin", "auth", "keys"))]


def test_only_the_bot_profile_is_always_200(operations: Operations) -> None:
    always = {path for (_, path), operation in operations.items() if operation.get("x-always-ok")}
    assert always == {path for _, path in operations if path.startswith("/api/bot/")}
    assert {"/api/bot/ask", "/api/bot/{apiKey}/ask", "/api/bot/result", "/api/bot/{apiKey}/result"} <= always
    # With the key in the path no header is needed.
    assert operations["post", "/api/bot/{apiKey}/ask"]["security"] == [{}]


def test_every_operation_says_what_it_does(document: dict[str, Any], operations: Operations) -> None:
    tags = {tag["name"]: tag.get("description") for tag in document["tags"]}
    assert all(tags.values())
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(ids) == len(set(ids))
    for key, operation in operations.items():
        assert operation["summary"], key
        assert "\n" not in operation["summary"], key
        assert set(operation["tags"]) <= tags.keys(), key
        assert operation["operationId"].isidentifier(), key


def test_operation_ids_are_stable(operations: Operations) -> None:
    assert {
        key: operations[key]["operationId"] for key in [("post", "/api/chat"), ("get", "/api/chat/jobs/{jobId}")]
    } == {
        ("post", "/api/chat"): "chatAsk",
        ("get", "/api/chat/jobs/{jobId}"): "chatGetJob",
    }


def test_every_operation_lists_the_statuses_of_its_kind(document: dict[str, Any], operations: Operations) -> None:
    for key, operation in operations.items():
        if operation.get("x-always-ok"):
            assert operation["responses"].keys() == {"200"}, key
            continue
        expected = {"500", "503"}
        expected |= {"401", "403"} if operation["x-access"] != "public" else set()
        expected |= {"404"} if operation["x-access"] == "owner" else set()
        expected |= {"400", "413", "415"} if "requestBody" in operation else set()
        parameters = [resolve(document, parameter) for parameter in operation["parameters"]]
        expected |= {"400"} if any(parameter["in"] == "query" for parameter in parameters) else set()
        assert expected <= operation["responses"].keys(), key
        assert any(status.startswith("2") for status in operation["responses"]), key
        assert "422" not in operation["responses"], key


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("post", "/api/chat", {"200", "202", "402", "409", "429"}),
        ("get", "/api/chat/jobs/{jobId}", {"404"}),
        ("get", "/api/context", {"404"}),
        ("post", "/api/auth/register", {"201", "409", "429"}),
        ("post", "/api/auth/login", {"401", "403", "429"}),
        ("post", "/api/billing/topup", {"200", "202", "409", "429"}),
        ("post", "/api/admin/payments/{paymentId}/refund", {"404", "409"}),
        ("post", "/api/admin/user/{userId}/balance", {"404", "409"}),
    ],
)
def test_the_statuses_of_single_routes(operations: Operations, method: str, path: str, statuses: set[str]) -> None:
    assert statuses <= operations[method, path]["responses"].keys()


def test_errors_are_shared_components_with_every_code(document: dict[str, Any]) -> None:
    shown: set[str] = set()
    for name, response in document["components"]["responses"].items():
        if name.startswith("Error"):
            examples = response["content"]["application/json"]["examples"]
            assert {STATUSES[code] for code in examples} == {int(name.removeprefix("Error"))}
            shown |= examples.keys()
    assert shown == set(STATUSES)
    assert set(document["components"]["schemas"]["Error"]["properties"]["code"]["enum"]) == set(STATUSES)


def test_every_body_has_an_example_that_fits_its_schema(document: dict[str, Any], operations: Operations) -> None:
    found = contents(document, operations)
    assert len(found) > 200
    for where, content in found:
        examples = [content["example"]] if "example" in content else [e["value"] for e in content["examples"].values()]
        assert examples, where
        for example in examples:
            assert not complain(document, content["schema"], example), where


def test_the_documented_headers_are_there(document: dict[str, Any], operations: Operations) -> None:
    def headers(method: str, path: str) -> set[str]:
        parameters = [resolve(document, parameter) for parameter in operations[method, path]["parameters"]]
        return {parameter["name"] for parameter in parameters if parameter["in"] == "header"}

    for key in operations:
        assert {"X-Request-Id", "Accept-Language"} <= headers(*key)
    assert {"Prefer", "Idempotency-Key"} <= headers("post", "/api/chat")
    assert "Idempotency-Key" in headers("post", "/api/billing/topup")
    assert "Idempotency-Key" in headers("post", "/api/admin/user/{userId}/adjust")
    assert "Last-Event-ID" in headers("get", "/api/chat/jobs/{jobId}/events")


def test_flat_bodies_may_be_forms(operations: Operations) -> None:
    form = "application/x-www-form-urlencoded"
    for (_method, path), operation in operations.items():
        content = operation.get("requestBody", {}).get("content", {})
        assert not content or (form in content) is (path not in NESTED), path


def test_the_documented_events_are_a_stream(operations: Operations) -> None:
    assert "text/event-stream" in operations["get", "/api/chat/jobs/{jobId}/events"]["responses"]["200"]["content"]
    assert "text/csv" in operations["get", "/api/billing/ledger"]["responses"]["200"]["content"]


def test_nothing_secret_is_in_the_document(client: FlaskClient, settings: Settings) -> None:
    text = client.get("/openapi.json").text
    assert settings.jwt_secret_key.get_secret_value() not in text
    assert "mongodb://" not in text


def test_real_answers_fit_their_schemas(document: dict[str, Any], operations: Operations, user: Caller) -> None:
    user.post("/api/context", {"context": []})
    job_id = user.post("/api/chat", {"message": "hello"}).json["jobId"]
    for path in (
        "/api/auth/me",
        "/api/billing",
        "/api/billing/ledger",
        "/api/billing/usage",
        "/api/context",
        "/api/chat/jobs",
        "/health",
        "/health/live",
    ):
        schema = operations["get", path]["responses"]["200"]["content"]["application/json"]["schema"]
        assert not complain(document, schema, user.get(path).json), path
    schema = operations["get", "/api/chat/jobs/{jobId}"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert not complain(document, schema, user.get(f"/api/chat/jobs/{job_id}").json)
    refused = operations["get", "/api/chat/jobs/{jobId}"]["responses"]["404"]
    schema = resolve(document, refused)["content"]["application/json"]["schema"]
    assert not complain(document, schema, user.get("/api/chat/jobs/unknown").json)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_pages_use_local_files_and_no_inline_script(client: FlaskClient, path: str) -> None:
    page = client.get(path)
    assert (page.status_code, page.content_type) == (200, "text/html; charset=utf-8")
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "http" not in re.sub(r"<!doctype.*?>", "", page.text)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page.text, re.DOTALL)
    assert scripts
    assert all("src=" in attributes and not body.strip() for attributes, body in scripts)
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith("/docs/static/")


@pytest.mark.parametrize("name", ["swagger.js", "redoc.js"])
def test_the_pages_own_scripts_load_the_document(client: FlaskClient, name: str) -> None:
    script = client.get(f"/docs/static/pages/{name}")
    assert script.status_code == 200
    assert '"/openapi.json"' in script.text


@pytest.mark.parametrize("path", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "/etc/passwd", "pages/%00"])
def test_no_other_file_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(f"/docs/static/{path}").status_code == 404


def test_health_names_each_dependency(client: FlaskClient) -> None:
    report = client.get("/health").json
    assert report["status"] == "ok"
    assert report["dependencies"].keys() == {"mongodb", "redis", "upstream"}
    assert client.get("/health/live").json == {"status": "ok"}


def test_the_document_is_plain_json(client: FlaskClient) -> None:
    raw = client.get("/openapi.json").data
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert json.loads(raw)
