"""Callbacks reach public servers and nothing else, however an address is spelt, looked up or redirected."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest

from service.adapters.webhook_http import WebhookHttp, dial, resolve
from service.domain.callback_urls import AllowedHosts, CallbackPolicy, is_public
from service.domain.errors import UnsafeCallbackUrl
from service.usecases.ports import SendFailed, WebhookReply, WebhookRequest

LENIENT = CallbackPolicy(allow_http=True)
# Every one of these means 127.0.0.2 (or another address of this machine or its network) to somebody.
ODD_HOSTS = [
    "127.0.0.2",
    "127.0.0.1",
    "127.1",
    "127.0.2",
    "0",
    "0.0.0.0",
    "2130706434",
    "0x7f000002",
    "0x7F.0.0.2",
    "0x7f.0x0.0x0.0x2",
    "017700000002",
    "0177.0.0.02",
    "127.0.0.002",
    "00127.0.0.2",
    "127.000.000.002",
    "127.0.0.2.",
    "127.0.0.2..",
    "①②⑦.0.0.2",
    "１２７.0.0.2",
    "127。0。0。2",
    "127．0．0．2",
    "127｡0｡0｡2",
    "١٢٧.0.0.2",
    "%31%32%37.0.0.2",
    "127.0.0.2%00.example.com",
    "127.0.0.2%2f.example.com",
    "[::1]",
    "[::]",
    "[::127.0.0.2]",
    "[::ffff:127.0.0.2]",
    "[::ffff:7f00:2]",
    "[0:0:0:0:0:ffff:127.0.0.2]",
    "[::ffff:0:127.0.0.2]",
    "[64:ff9b::127.0.0.2]",
    "[64:ff9b::7f00:2]",
    "[64:ff9b:1::7f00:2]",
    "[2002:7f00:2::]",
    "[2002:7f00:2::1]",
    "[2001:0:7f00:2::]",
    "[2001::1]",
    "[fe80::1]",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[fec0::1]",
    "[fc00::1]",
    "[fd12:3456::1]",
    "[ff02::1]",
    "[100::1]",
    "[2001:db8::1]",
    "[5f00::1]",
    "[::1",
    "::1",
    "[127.0.0.2]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain.",
    "canary.localhost",
    "printer.local",
    "vault.internal",
    "metadata.google.internal",
    "intranet",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "192.0.0.192",
    "192.88.99.1",
    "198.18.0.1",
    "203.0.113.7",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "-canary.example.com",
    "canary-.example.com",
    "_canary.example.com",
    "canary..example.com",
    "",
    ".",
    "*",
]
ODD_URLS = [
    "http://user@127.0.0.2:{port}/",
    "http://user:password@example.com:{port}/",
    "http://@example.com:{port}/",
    "http://example.com@127.0.0.2:{port}/",
    "http://example.com:80@127.0.0.2:{port}/",
    "http://127.0.0.2:{port}@example.com/",
    "http://127.0.0.2:{port}\\@example.com/",
    "http://example.com\\@127.0.0.2:{port}/",
    "http://127.0.0.2:{port}#@example.com/",
    "http://example.com#@127.0.0.2:{port}/",
    "http://127.0.0.2:{port}?@example.com/",
    "http:\\\\127.0.0.2:{port}\\",
    "http:127.0.0.2:{port}",
    "http:/127.0.0.2:{port}/",
    "http:///127.0.0.2:{port}/",
    "http:////127.0.0.2:{port}/",
    "//127.0.0.2:{port}/",
    "127.0.0.2:{port}/",
    " http://127.0.0.2:{port}/",
    "http://127.0.0.2:{port}/ ",
    "ht\ttp://127.0.0.2:{port}/",
    "http://127.0.\n0.2:{port}/",
    "http://127.0.0.2 :{port}/",
    "http://127.0.0.2\x00.example.com:{port}/",
    "http://exam\u2024ple.com:{port}/\u0000",
    "http://example.com/\r\nHost: 127.0.0.2",
    "http://example.com:{port}:{port}/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:-1/",
    "http://example.com:٨٠/",
    "http://example.com:/\ud800",
    "https://example.com/\u212a",
    "ftp://127.0.0.2:{port}/",
    "file:///etc/passwd",
    "gopher://127.0.0.2:{port}/_GET",
    "dict://127.0.0.2:{port}/",
    "unix:///var/run/docker.sock",
    "javascript:alert(1)",
    "data:text/plain,127.0.0.2",
    "http+unix://127.0.0.2/",
    "",
    "http://",
    "https://?",
    "https://example.com/" + "a" * 3000,
]


class Canary(ThreadingHTTPServer):
    """A server that remembers who talked to it, if only by connecting."""

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), Recorder)
        self.connections = 0
        self.heard: list[tuple[str, str, dict[str, str], bytes]] = []
        self.reply: tuple[int, dict[str, str]] = (204, {})

    @property
    def port(self) -> int:
        return self.server_port

    def verify_request(self, *_: object) -> bool:
        self.connections += 1
        return True


class Recorder(BaseHTTPRequestHandler):
    server: Canary

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.heard.append((self.command, self.path, dict(self.headers), body))
        status, headers = self.server.reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def canary_server() -> Iterator[Canary]:
    server = Canary("127.0.0.2")
    with serving(server):
        yield server


@pytest.fixture
def canary(canary_server: Canary) -> Canary:
    canary_server.connections = 0
    canary_server.heard.clear()
    return canary_server


@pytest.fixture(scope="module")
def canary_outside() -> Iterator[Canary | None]:
    """One on the machine's own address in its network, if it has one."""
    own = own_address()
    if own is None:
        yield None
        return
    server = Canary(own)
    with serving(server):
        yield server


@pytest.fixture
def receiver() -> Iterator[Canary]:
    server = Canary("127.0.0.1")
    with serving(server):
        yield server


@pytest.fixture
def silent_canaries(canary: Canary, canary_outside: Canary | None) -> Iterator[Canary]:
    """The canary on 127.0.0.2; neither it nor the other one may hear a thing."""
    yield canary
    assert canary.connections == 0
    assert canary_outside is None or canary_outside.connections == 0


def own_address() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if is_public(ip_address(address)) else address


def request(url: str) -> WebhookRequest:
    return WebhookRequest("POST", url, {"Content-Type": "application/json"}, b"{}")


def sender(policy: CallbackPolicy = LENIENT, **options: object) -> WebhookHttp:
    return WebhookHttp(policy, timeout_seconds=3, **options)  # type: ignore[arg-type]


def refusal(client: WebhookHttp, url: str) -> str:
    with pytest.raises(SendFailed) as failed:
        client.send(request(url))
    return failed.value.reason


def test_there_are_many_odd_forms() -> None:
    assert len(set(ODD_HOSTS + ODD_URLS)) >= 60


@pytest.mark.parametrize("host", ODD_HOSTS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_odd_host_is_refused_by_its_form(silent_canaries: Canary, scheme: str, host: str) -> None:
    for url in (f"{scheme}://{host}:{silent_canaries.port}/hook", f"{scheme}://{host}/hook"):
        with pytest.raises(UnsafeCallbackUrl) as refused:
            LENIENT.check(url, "callbackUrl")
        assert refused.value.details.keys() == {"callbackUrl"}
        assert refusal(sender(), url) == "unsafe_address"


@pytest.mark.parametrize("form", ODD_URLS)
def test_an_odd_url_is_refused_by_its_form(silent_canaries: Canary, form: str) -> None:
    url = form.replace("{port}", str(silent_canaries.port))
    with pytest.raises(UnsafeCallbackUrl):
        LENIENT.check(url)
    assert refusal(sender(), url) == "unsafe_address"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://EXAMPLE.com/Hook?key=1&b=%20",
        "https://xn--80ak6aa92e.com/",
        "https://api.botboom.ru/wapp/message/send/0123abcd",
        "https://a.b.c.example.co.uk:8443/~x/(1)",
        "https://8.8.8.8/hook",
        "https://[2606:4700:4700::1111]:8443/hook",
    ],
)
def test_ordinary_addresses_are_accepted(url: str) -> None:
    parsed = CallbackPolicy().check(url)
    assert parsed.scheme == "https"
    assert parsed.host == parsed.host.lower()
    assert parsed.target.startswith("/")


def test_plain_http_is_for_development() -> None:
    with pytest.raises(UnsafeCallbackUrl):
        CallbackPolicy().check("http://example.com/")
    assert LENIENT.check("http://example.com/").port == 80


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.2"],
        ["93.184.216.34", "127.0.0.2"],
        ["127.0.0.2", "93.184.216.34"],
        ["::1"],
        ["::ffff:127.0.0.2"],
        ["64:ff9b::7f00:2"],
        ["2002:7f00:2::"],
        ["2001:0:7f00:2::"],
        ["169.254.169.254"],
        ["100.64.0.1"],
        ["224.0.0.1"],
        ["fe80::1%lo"],
        ["0.0.0.0"],
    ],
)
def test_a_name_with_any_private_address_is_refused(silent_canaries: Canary, addresses: list[str]) -> None:
    dialled: list[str] = []

    def never(address: str, port: int, timeout: float) -> socket.socket:
        dialled.append(address)
        return dial(address, port, timeout)

    client = sender(resolve=lambda *_: addresses, dial=never)
    assert refusal(client, f"http://example.com:{silent_canaries.port}/") == "unsafe_address"
    assert dialled == []


def test_a_name_that_changes_its_answer_is_asked_once(silent_canaries: Canary) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.2"], ["127.0.0.2"]])
    dialled: list[str] = []

    def record(address: str, port: int, timeout: float) -> socket.socket:
        dialled.append(address)
        raise ConnectionRefusedError

    client = sender(resolve=lambda *_: next(answers), dial=record)
    assert refusal(client, f"http://rebinder.example.com:{silent_canaries.port}/") == "connection"
    assert dialled == ["93.184.216.34"], "the address that was checked, and no name"
    assert refusal(client, f"http://rebinder.example.com:{silent_canaries.port}/") == "unsafe_address"


def test_who_is_at_the_other_end_is_checked_too(canary: Canary) -> None:
    """As if the network sent the connection elsewhere: nothing is said to whoever answers."""
    client = sender(
        resolve=lambda *_: ["93.184.216.34"], dial=lambda _address, port, timeout: dial("127.0.0.2", port, timeout)
    )
    assert refusal(client, f"http://example.com:{canary.port}/") == "unsafe_address"
    assert canary.heard == []


def test_names_of_this_machine_are_refused_when_they_are_looked_up(silent_canaries: Canary) -> None:
    assert "127.0.0.1" in resolve("localhost", 80) or "::1" in resolve("localhost", 80)
    client = sender(resolve=lambda _host, port: resolve("localhost", port))
    assert refusal(client, f"http://example.com:{silent_canaries.port}/") == "unsafe_address"


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
        cwd=Path(__file__).parents[2],
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
