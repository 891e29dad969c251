"""Callbacks reach public servers and nothing else, however an address is spelt or looked up."""

import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from service.adapters.webhook_http import dial, resolve
from service.domain.callback_urls import CallbackPolicy, is_public
from service.domain.errors import UnsafeCallbackUrl
from tests.core.callback_urls.support import LENIENT, Canary, refusal, sender, serving

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
