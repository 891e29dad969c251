"""The web UI as the service serves it, and its types, which are generated from our own document."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from devstack.parts import REPOSITORY
from service.api import observe, state, ui
from service.api.errors import install as install_errors
from service.bootstrap import Container
from service.usecases.webhook_messages import PLACEHOLDERS

INDEX = b"<!doctype html><title>UI</title>"
SCRIPT = b"export const answer = 42"
GZIPPED = {"Accept-Encoding": "gzip"}
# What a browser sends when somebody goes to an address.
VISIT = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(INDEX)
    (tmp_path / "index.html.gz").write_bytes(gzip.compress(INDEX))
    (tmp_path / "assets" / "index-abc123.js").write_bytes(SCRIPT)
    (tmp_path / "secret.txt").write_bytes(b"not an asset")
    return tmp_path


def client_of(container: Container, built: Path) -> FlaskClient:
    app = Flask("service.api", static_folder=None)
    state.install(app, container)
    observe.install(app)
    ui.install(app, built)
    install_errors(app, container.outages)
    return app.test_client()


@pytest.mark.parametrize("path", ["/", "/login", "/chat", "/chat/5b0e7d9c", "/balance", "/admin", "/admin/users/1"])
def test_a_page_of_the_ui_is_its_index(container: Container, built: Path, path: str) -> None:
    reply = client_of(container, built).get(path)
    assert (reply.status_code, reply.data, reply.content_type) == (200, INDEX, "text/html; charset=utf-8")
    assert reply.headers["Cache-Control"] == "no-cache"
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/api/nothing", "/chatter", "/loginx", "/docs2", "/wsx", "/index.html"])
def test_any_other_path_is_an_error_of_the_api(container: Container, built: Path, path: str) -> None:
    reply = client_of(container, built).get(path)
    assert (reply.status_code, reply.json["code"]) == (404, "NOT_FOUND")


def test_a_person_at_an_address_that_is_none_gets_a_page(container: Container, built: Path, tmp_path: Path) -> None:
    reply = client_of(container, built).get("/chatter", headers=VISIT)
    assert (reply.status_code, reply.data, reply.mimetype) == (404, INDEX, "text/html")
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    unbuilt = client_of(container, tmp_path / "nothing").get("/chatter", headers=VISIT)
    assert (unbuilt.status_code, unbuilt.json["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/api/nothing", VISIT),
        ("POST", "/chatter", VISIT),
        # As Java's own client says of itself.
        ("GET", "/chatter", {"Accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}),
    ],
)
def test_a_program_is_told_what_the_api_tells(
    container: Container, built: Path, method: str, path: str, headers: dict[str, str]
) -> None:
    reply = client_of(container, built).open(path, method=method, headers=headers)
    assert (reply.status_code, reply.json["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/v1/nothing", "/api/bot/key/askk", "/api/telegram"])
def test_each_profile_keeps_its_own_shape(client: FlaskClient, path: str) -> None:
    plain, visited = client.post(path), client.get(path, headers=VISIT)
    assert plain.mimetype == visited.mimetype == "application/json"


def test_assets_never_change(container: Container, built: Path) -> None:
    reply = client_of(container, built).get("/assets/index-abc123.js")
    assert (reply.status_code, reply.data, reply.mimetype) == (200, SCRIPT, "text/javascript")
    assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["missing.js", "../secret.txt", "..%2fsecret.txt", "%2e%2e/secret.txt"])
def test_nothing_but_assets_is_served_as_one(container: Container, built: Path, name: str) -> None:
    reply = client_of(container, built).get(f"/assets/{name}")
    assert (reply.status_code, reply.json["code"]) == (404, "NOT_FOUND")


def test_what_was_compressed_is_sent_to_who_takes_it(container: Container, built: Path) -> None:
    client = client_of(container, built)
    packed = client.get("/", headers=GZIPPED)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == INDEX
    assert packed.mimetype == "text/html"
    assert "Content-Encoding" not in client.get("/assets/index-abc123.js", headers=GZIPPED).headers
    for reply in (packed, client.get("/")):
        assert reply.headers["Vary"] == "Accept-Encoding"


def test_where_no_ui_is_built_the_root_leads_to_the_documentation(container: Container, tmp_path: Path) -> None:
    client = client_of(container, tmp_path / "nothing")
    assert (client.get("/").status_code, client.get("/").headers["Location"]) == (302, "/docs")
    reply = client.get("/chat")
    assert (reply.status_code, reply.json["code"]) == (404, "NOT_FOUND")


def test_the_service_answers_the_paths_of_the_uis_router() -> None:
    source = REPOSITORY / "web" / "src"
    routers = [(source / name).read_text(encoding="utf-8") for name in ("router.ts", "adminRoutes.ts")]
    paths = set(re.findall(r"path: '/([a-z]+)", "".join(routers)))
    assert paths <= set(ui.PAGES)
    assert {"chat", "login", "admin"} <= paths


def test_the_ui_offers_the_placeholders_of_webhooks() -> None:
    source = (REPOSITORY / "web" / "src" / "lib" / "webhookTemplate.ts").read_text(encoding="utf-8")
    listed = source.split("PLACEHOLDERS = [")[1].split("]")[0]
    assert sorted(re.findall(r"'(\w+)'", listed)) == sorted(PLACEHOLDERS)


def test_the_types_of_the_ui_are_those_of_the_document(client: FlaskClient, tmp_path: Path) -> None:
    """`make types` writes them anew."""
    source, fresh = tmp_path / "openapi.json", tmp_path / "schema.ts"
    source.write_text(client.get("/openapi.json").text, encoding="utf-8")
    node = [sys.executable, "-m", "devstack.node", "npm", "exec", "--prefix", "web", "--offline", "--"]
    command = [*node, "openapi-typescript", str(source), "-o", str(fresh), "--alphabetize", "--root-types"]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    known = (REPOSITORY / "web" / "src" / "api" / "schema.ts").read_text(encoding="utf-8")
    assert fresh.read_text(encoding="utf-8") == known, "the API has changed: run `make types`"


def test_the_ui_passes_its_own_tests() -> None:
    """Stores and components, by vitest; its figures are shown when it fails."""
    command = [sys.executable, "-m", "devstack.node", "npm", "test", "--prefix", "web", "--silent"]
    done = subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
