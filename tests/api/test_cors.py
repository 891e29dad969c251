"""Pages of other origins: those that are allowed may call, and read what they need; all others may not."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from service.api.app import create_app
from service.bootstrap import Container
from service.settings import Settings

PAGE, OTHER = "https://app.example.com", "https://evil.example.com"
ALLOW = "Access-Control-Allow-Origin"


@pytest.fixture
def client_with(container: Container, settings: Settings) -> Callable[[str], FlaskClient]:
    """A client of the application with these origins allowed."""

    def make(origins: str) -> FlaskClient:
        changed = settings.model_copy(update={"allowed_origins": origins})
        return create_app(_with(container, changed)).test_client()

    return make


def _with(container: Container, settings: Settings) -> Container:
    return type(container)(**{**vars(container), "settings": settings})


def test_an_allowed_page_may_ask_and_read(client_with: Callable[[str], FlaskClient]) -> None:
    client = client_with(PAGE)
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization, content-type"}
    preflight = client.options("/api/chat", headers={"Origin": PAGE, **asked})
    assert (preflight.status_code, preflight.headers[ALLOW]) == (200, PAGE)
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    refused = client.post("/api/chat", json={"message": "x"}, headers={"Origin": PAGE})
    assert (refused.status_code, refused.headers[ALLOW]) == (401, PAGE), "errors are to be read too"
    assert "X-Request-Id" in refused.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in refused.headers


@pytest.mark.parametrize("origin", [OTHER, "null", f"{PAGE}.evil.com", "https://app.example.com:8443"])
def test_another_page_may_not(client_with: Callable[[str], FlaskClient], origin: str) -> None:
    reply = client_with(PAGE).get("/api/billing", headers={"Origin": origin})
    assert ALLOW not in reply.headers


def test_nobody_may_unless_somebody_is_named(client_with: Callable[[str], FlaskClient]) -> None:
    assert ALLOW not in client_with("").get("/api/billing", headers={"Origin": PAGE}).headers


def test_everybody_may_with_an_asterisk(client_with: Callable[[str], FlaskClient]) -> None:
    reply = client_with("*").get("/api/billing", headers={"Origin": OTHER})
    assert reply.headers[ALLOW] == "*"
