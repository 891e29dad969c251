"""The proxy of docker-compose.yml in front of the real stack: TLS, streams, sockets, and what it keeps out."""

import contextlib
import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import urllib3
from simple_websocket import Client

from devstack.parts import REPOSITORY, Flower
from devstack.servers import ServerProcess, free_port
from tests.stack.stack import StackUnderTest, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")]

FLOWER_PAGES = ["", "/", "/workers", "/tasks", "/metrics", "/healthcheck", "/api/workers", "/static/css/flower.css"]
OPERATOR = ("operator", "a password of the test")


class Caddy(ServerProcess):
    """The Caddyfile with ports of ours and a certificate of nobody's."""

    name = "caddy"

    def __init__(self, directory: Path, web_port: int, flower_port: int) -> None:
        super().__init__(directory)
        self.plain_port = free_port()
        ports = f"http_port {self.plain_port}\nhttps_port {self.port}"
        self._variables = {
            "CADDY_GLOBAL": f"{ports}\nlocal_certs\nskip_install_trust\nadmin off",
            "WEB_HOST": "127.0.0.1",
            "WEB_PORT": str(web_port),
            "FLOWER_UPSTREAM": f"127.0.0.1:{flower_port}",
            "XDG_DATA_HOME": str(directory),
            "XDG_CONFIG_HOME": str(directory),
        }

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def command(self) -> list[str]:
        program = shutil.which("caddy")
        assert program is not None
        variables = [f"{name}={value}" for name, value in self._variables.items()]
        config = REPOSITORY / "deploy" / "caddy" / "Caddyfile"
        return ["env", *variables, program, "run", "--config", str(config), "--adapter", "caddyfile"]

    def is_ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/health/live", timeout=2, verify=False).ok
        return False


@pytest.fixture(scope="module")
def proxy(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caddy]:
    if shutil.which("caddy") is None:
        pytest.skip("THE PROXY WAS NOT TESTED: caddy was not found. On Debian: apt-get install caddy")
    urllib3.disable_warnings()
    login = {"flower_basic_auth": ":".join(OPERATOR)}
    with (
        Flower(tmp_path_factory.mktemp("flower"), {**stack.environment, **login}) as flower,
        Caddy(tmp_path_factory.mktemp("caddy"), stack.web.port, flower.port) as caddy,
    ):
        yield caddy


def get(proxy: Caddy, path: str, **options: object) -> requests.Response:
    return requests.get(f"{proxy.url}{path}", verify=False, timeout=10, **options)


def test_plain_http_is_sent_to_https(proxy: Caddy) -> None:
    reply = requests.get(f"http://localhost:{proxy.plain_port}/docs", timeout=5, allow_redirects=False)
    assert reply.status_code == 308
    assert reply.headers["Location"].startswith("https://localhost")


def test_browsers_are_told_to_stay_with_https(proxy: Caddy) -> None:
    headers = get(proxy, "/health").headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    assert "Server" not in headers


def test_metrics_are_for_prometheus(proxy: Caddy) -> None:
    for path in ("/metrics", "/metrics?format=text"):
        assert set(get(proxy, path).json()) >= {"activeConnections", "uptime"}


@pytest.mark.parametrize(
    "page", ["", "/", "/workers", "/tasks", "/metrics", "/healthcheck", "/api/workers", "/static/css/flower.css"]
)
def test_no_page_of_flower_is_shown_without_its_password(proxy: Caddy, page: str) -> None:
    for login in (None, ("operator", "wrong")):
        reply = get(proxy, f"/flower{page}", auth=login)
        assert reply.status_code == 401
        assert "Flower" not in reply.text or "Access denied" in reply.text
    assert get(proxy, "/flower/metrics", auth=OPERATOR).status_code == 200
    assert get(proxy, "/flower/healthcheck", auth=OPERATOR).text == "OK"


def test_a_body_that_is_too_large_is_refused(proxy: Caddy) -> None:
    for kib in (300, 2000):
        body = json.dumps({"message": "x" * kib * 1024})
        reply = requests.post(
            f"{proxy.url}/api/auth/login",
            data=body,
            headers={"Content-Type": "application/json"},
            verify=False,
            timeout=20,
        )
        assert reply.status_code == 413


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
def test_headers_that_come_byte_by_byte_are_given_up(proxy: Caddy, start: bytes) -> None:
    """After ten seconds in all, however regularly they come."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    began = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", proxy.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as client,
        contextlib.suppress(ConnectionError, ssl.SSLError),
    ):
        client.sendall(start)
        client.settimeout(0.5)
        while time.monotonic() - began < 30:
            if start:
                client.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                client.recv(4096)
                break
    assert 5 < time.monotonic() - began < 25


def test_headers_that_are_too_large_are_refused(proxy: Caddy) -> None:
    assert get(proxy, "/health", headers={"X-Large": "x" * 40_000}).status_code == 431


def test_what_the_service_says_about_pages_goes_through(proxy: Caddy) -> None:
    headers = get(proxy, "/").headers
    assert "default-src" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_answer_is_seen_while_it_is_written(proxy: Caddy, stack: StackUnderTest) -> None:
    person = stack.register()
    question = "shown through the proxy"
    stack.upstream.rule(contains=question, answer="one two three four five", hold=question, hold_after_chunks=3)
    job_id = person.submit(question, stream=True)
    seen: list[str] = []

    def follow() -> None:
        headers = {"Authorization": f"Bearer {person.token}"}
        path = f"{proxy.url}/api/chat/jobs/{job_id}/events"
        with requests.get(path, headers=headers, stream=True, verify=False, timeout=30) as reply:
            seen.extend(reply.iter_lines(chunk_size=1, decode_unicode=True))

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    try:
        eventually(lambda: "one" in "".join(seen))
        assert "five" not in "".join(seen), "the gate is still closed"
    finally:
        stack.upstream.release(question)
    eventually(lambda: "five" in "".join(seen))
    reader.join(20)


def test_a_socket_talks_through_it(proxy: Caddy, stack: StackUnderTest) -> None:
    person = stack.register()
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    page = Client.connect(f"wss://localhost:{proxy.port}/?token={person.token}", ssl_context=context, receive_bytes=1)
    try:
        page.send(json.dumps({"type": "message", "content": "hello"}))
        frames = []
        while not frames or frames[-1]["type"] != "done":
            frames.append(json.loads(page.receive(timeout=20) or "{}"))
        assert "chunk" in {frame["type"] for frame in frames}
    finally:
        page.close()
