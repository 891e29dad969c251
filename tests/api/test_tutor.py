"""`/api/ai/user-config`, `/default-config` and `/test-connection` over HTTP."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from devstack.upstream_control import UpstreamControl
from tests.api.conftest import Caller, NewCaller, Program

CONFIG = "/api/ai/user-config"
DEFAULT = {"model": "default", "temperature": 0.7, "max_tokens": 2000, "language": None}
TEST = "/api/ai/test-connection"


def test_settings_are_read_and_changed(user: Caller) -> None:
    assert user.get("/api/ai/default-config").json == user.get(CONFIG).json == DEFAULT
    changed = user.call("PUT", CONFIG, json={"temperature": 0, "maxTokens": 500, "language": "fr"})
    assert changed.status_code == 200, changed.text
    assert changed.json == {"model": "default", "temperature": 0, "max_tokens": 500, "language": "fr"}
    assert user.call("PUT", CONFIG, json={"model": "gpt-6-sol", "language": None}).json["language"] is None
    assert user.get(CONFIG).json == {"model": "gpt-6-sol", "temperature": 0, "max_tokens": 500, "language": None}
    assert user.get("/api/ai/default-config").json == DEFAULT
    assert user.call("PUT", CONFIG, data={"temperature": "1.5"}).json["temperature"] == 1.5


BAD: list[tuple[str, Any]] = [
    ("model", "gpt-0"),
    ("model", 5),
    ("model", "x" * 129),
    ("temperature", -0.1),
    ("temperature", 2.1),
    ("temperature", "hot"),
    ("temperature", True),
    ("max_tokens", 63),
    ("max_tokens", 16_385),
    ("max_tokens", 10**12),
    ("max_tokens", 1.5),
    ("language", "de"),
    ("language", ["ru"]),
    ("user_id", ""),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_value_is_named(user: Caller, field: str, value: Any) -> None:
    refused = user.call("PUT", CONFIG, json={"language": "en", field: value} if field != "language" else {field: value})
    assert (refused.status_code, list(refused.json["details"])) == (400, [field])
    assert user.get(CONFIG).json == DEFAULT


def test_settings_are_their_owners(user: Caller, register: NewCaller, program: Program, client: FlaskClient) -> None:
    stranger = register()
    assert stranger.get(f"{CONFIG}?user_id={user.id}").status_code == 403
    assert stranger.call("PUT", CONFIG, json={"user_id": user.id, "language": "en"}).status_code == 403
    assert program.call("PUT", CONFIG, json={"user_id": "4242", "language": "en"}).json["language"] == "en"
    assert program.get(f"{CONFIG}?userId=4242").json["language"] == "en"
    assert user.get(CONFIG).json == DEFAULT
    assert client.get(CONFIG).status_code == client.get("/api/ai/default-config").status_code == 401


def test_a_test_says_what_the_provider_said(user: Caller, upstream: UpstreamControl) -> None:
    upstream.rule(path="/v1/models", times=1, delay_seconds=0.1)
    found = user.post(TEST)
    assert found.status_code == 200, found.text
    assert 100 <= found.json.pop("latency_ms") < 5000
    assert found.json.items() >= {"success": True, "model": "default", "model_available": True}.items()
    upstream.rule(path="/v1/models", raw_body='{"object": "list", "data": []}', content_type="application/json")
    assert user.post(TEST).json["success"] is False


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("ru", "Поставщик модели не принимает ключ этой установки."),
        ("en", "The model provider refuses this installation's key."),
        ("fr", "Le fournisseur du modèle refuse la clé de cette installation."),
    ],
)
def test_a_failure_is_told_with_its_reason(user: Caller, upstream: UpstreamControl, language: str, words: str) -> None:
    upstream.rule(path="/v1/models", status=401, error={"message": "Incorrect API key provided: sk-secret"})
    failed = user.post(TEST, headers={"Accept-Language": language})
    assert (failed.status_code, failed.json["code"], failed.json["reason"]) == (500, "UPSTREAM_ERROR", "key_refused")
    assert failed.json["details"] == {"reason": [words]}
    assert "sk-" not in failed.text


def test_tests_are_limited(user: Caller) -> None:
    replies = [user.post(TEST) for _ in range(11)]
    assert [reply.status_code for reply in replies] == [200] * 10 + [429]
    assert int(replies[-1].headers["Retry-After"]) > 0
