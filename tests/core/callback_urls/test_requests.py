"""Callbacks on their way: operators' exceptions, redirects, proxies, TLS, and receivers that speak badly or slowly."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.parts import REPOSITORY
from service.adapters.webhook_http import WebhookHttp
from service.domain.callback_urls import AllowedHosts, CallbackPolicy
from service.domain.errors import UnsafeCallbackUrl
from service.usecases.ports import WebhookReply
from tests.core.callback_urls.support import Canary, refusal, request, sender, serving


@pytest.fixture
def receiver() -> Iterator[Canary]:
    server = Canary("127.0.0.1")
    with serving(server):
        yield server


@pytest.fixture
def local(receiver: Canary) -> Callable[..., WebhookHttp]:
    """A sender that may call the receiver under the name `receiver.example.com`."""

    def make(*entries: str, **options: object) -> WebhookHttp:
        policy = CallbackPolicy(allow_http=True, allowed=AllowedHosts(entries or ["receiver.example.com"]))
        return sender(policy, **{"resolve": lambda *_: ["127.0.0.1"], **options})

    return make


@pytest.mark.parametrize("entry", ["receiver.example.com", "Receiver.Example.COM", "127.0.0.0/8", "127.0.0.1/32"])
def test_an_operators_exception_is_called(local: Callable[..., WebhookHttp], receiver: Canary, entry: str) -> None:
    url = f"http://receiver.example.com:{receiver.port}/hook?key=1"
    assert local(entry).send(request(url)) == WebhookReply(204)
    ((method, path, headers, body),) = receiver.heard
    assert (method, path, body) == ("POST", "/hook?key=1", b"{}")
    assert headers["Host"] == f"receiver.example.com:{receiver.port}"
    assert headers["Content-Length"] == "2"


@pytest.mark.parametrize("entry", ["receiver.example.com:1", "example.com", "127.0.0.2/32", "other.example.com"])
def test_other_exceptions_do_not_matter(local: Callable[..., WebhookHttp], receiver: Canary, entry: str) -> None:
    assert refusal(local(entry), f"http://receiver.example.com:{receiver.port}/") == "unsafe_address"
    assert receiver.connections == 0


def test_an_exception_may_name_a_port(local: Callable[..., WebhookHttp], receiver: Canary) -> None:
    url = f"http://receiver.example.com:{receiver.port}/"
    assert local(f"receiver.example.com:{receiver.port}").send(request(url)).status == 204
    own = CallbackPolicy(allowed=AllowedHosts([f"127.0.0.1:{receiver.port}"]))
    assert sender(own).send(request(f"http://127.0.0.1:{receiver.port}/")).status == 204
    with pytest.raises(UnsafeCallbackUrl):
        own.check(f"http://127.0.0.1:{receiver.port + 1}/")


@pytest.mark.parametrize("entry", ["http://a", "a b", "10.0.0.0/33", "a@b"])
def test_a_wrong_exception_is_noticed(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        AllowedHosts([entry])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_not_followed(
    local: Callable[..., WebhookHttp], receiver: Canary, canary: Canary, status: int
) -> None:
    receiver.reply = (status, {"Location": f"http://127.0.0.2:{canary.port}/stolen"})
    assert local().send(request(f"http://receiver.example.com:{receiver.port}/")).status == status
    assert canary.connections == 0


def test_a_proxy_of_the_environment_is_not_used(
    local: Callable[..., WebhookHttp], receiver: Canary, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.2:{canary.port}")
    assert local().send(request(f"http://receiver.example.com:{receiver.port}/")).status == 204
    assert canary.connections == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 0), ("soon", None), ("-5", None), ("1.5", None), ("٣", None), ("", None)],
)
def test_retry_after_is_read(
    local: Callable[..., WebhookHttp], receiver: Canary, header: str, seconds: int | None
) -> None:
    receiver.reply = (503, {"Retry-After": header.encode().decode("latin-1")})
    reply = local().send(request(f"http://receiver.example.com:{receiver.port}/"))
    assert reply == WebhookReply(503, seconds)


def test_retry_after_may_be_a_date(local: Callable[..., WebhookHttp], receiver: Canary) -> None:
    receiver.reply = (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    assert local().send(request(f"http://receiver.example.com:{receiver.port}/")).retry_after_seconds == 0


@pytest.mark.parametrize("said", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500])
def test_what_is_not_http_is_a_failure(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(said)
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        policy = CallbackPolicy(allow_http=True, allowed=AllowedHosts(["127.0.0.1"]))
        assert refusal(sender(policy), f"http://127.0.0.1:{server.getsockname()[1]}/") in ("protocol", "connection")
        thread.join()


def test_a_body_without_end_is_not_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while True:
                    connection.sendall(b"x" * 65536)
            except OSError:
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        policy = CallbackPolicy(allow_http=True, allowed=AllowedHosts(["127.0.0.1"]))
        assert sender(policy).send(request(f"http://127.0.0.1:{server.getsockname()[1]}/")).status == 200
        thread.join(5)
        assert not thread.is_alive()


# One process with gevent's sockets: a receiver that says a byte at a time, one that is silent, and a healthy one.
UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import gevent, socket, time
from service.adapters.webhook_http import WebhookHttp
from service.domain.callback_urls import AllowedHosts, CallbackPolicy
from service.usecases.ports import SendFailed, WebhookRequest

def serve(server, said, pause):
    while True:
        connection, _ = server.accept()
        gevent.spawn(drip, connection, said, pause)

def drip(connection, said, pause):
    connection.recv(65536)
    try:
        for byte in said:
            connection.sendall(bytes([byte]))
            gevent.sleep(pause)
    except OSError:
        pass

def look_up(host, port):
    gevent.sleep(60 if host.startswith("slow-name") else 0)
    return ["127.0.0.1"]

policy = CallbackPolicy(allow_http=True, allowed=AllowedHosts(["127.0.0.0/8"]))
client = WebhookHttp(policy, timeout_seconds=1, resolve=look_up)

def call(host, said, pause):
    server = socket.create_server(("127.0.0.1", 0))
    gevent.spawn(serve, server, said, pause)
    started = time.monotonic()
    try:
        url = f"http://{host}.example.com:{server.getsockname()[1]}/"
        outcome = client.send(WebhookRequest("POST", url, {}, b"{}"))
    except SendFailed as failed:
        outcome = failed.reason
    print(host, getattr(outcome, "status", outcome), time.monotonic() - started < 1.5, flush=True)

answer = b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n"
gevent.joinall([
    gevent.spawn(call, "dripping", answer * 5, 0.1),
    gevent.spawn(call, "silent", b"", 0),
    gevent.spawn(call, "slow-name", answer, 0),
    gevent.spawn(call, "healthy", answer, 0),
])
"""


def test_the_time_of_the_whole_request_is_limited_under_gevent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert dict(line.split(" ", 1) for line in done.stdout.splitlines()) == {
        "dripping": "timeout True",
        "silent": "timeout True",
        "slow-name": "timeout True",
        "healthy": "200 True",
    }


@pytest.fixture
def certified(tmp_path: Path, receiver: Canary) -> ssl.SSLContext:
    """The receiver with a certificate of `receiver.example.com`, and a context that trusts it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    names = ["-subj", "/CN=receiver", "-addext", "subjectAltName=DNS:receiver.example.com"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *files]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    return ssl.create_default_context(cafile=str(certificate))


def test_tls_is_checked_against_the_name(
    local: Callable[..., WebhookHttp], receiver: Canary, certified: ssl.SSLContext
) -> None:
    entries = ["receiver.example.com", "impostor.example.com"]
    client = local(*entries, tls=certified)
    assert client.send(request(f"https://receiver.example.com:{receiver.port}/")).status == 204
    assert refusal(client, f"https://impostor.example.com:{receiver.port}/") == "tls"
    assert refusal(local(*entries), f"https://receiver.example.com:{receiver.port}/") == "tls", "an unknown issuer"
    assert len(receiver.heard) == 1


def test_a_silent_receiver_costs_the_time_limit_and_no_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        policy = CallbackPolicy(allow_http=True, allowed=AllowedHosts(["127.0.0.1"]))
        started = time.monotonic()
        client = WebhookHttp(policy, timeout_seconds=0.5)
        assert refusal(client, f"http://127.0.0.1:{server.getsockname()[1]}/") == "timeout"
        assert time.monotonic() - started < 2
