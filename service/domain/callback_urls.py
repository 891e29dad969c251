"""Which addresses of other people's servers we may call: the form of a callback URL, and what a public address is.

Only one spelling of an address is accepted, the canonical one. `2130706433`, `0x7f.1`, `①②⑦.0.0.1` and their like are
addresses to some library or other, so they are refused by form; names are looked up when we connect, and every address
behind one is checked then (`service/adapters/webhook_http.py`).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NoReturn
from urllib.parse import urlsplit

from service.domain.errors import UnsafeCallbackUrl

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

URL_MAX_CHARACTERS = 2048
_PORTS = {"https": 443, "http": 80}
# Visible ASCII but what no URL has unescaped; a backslash is a slash to some readers and not to others.
_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]+")
_AUTHORITY = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
# Names that never leave the machine or its network.
_PRIVATE_NAMES = (
    "localhost",
    "local",
    "internal",
    "lan",
    "home",
    "corp",
    "intranet",
    "arpa",
    "onion",
    "test",
    "invalid",
)
# Routed, or carrying another address inside, though Python's `is_global` finds nothing wrong with some of them.
_NOT_PUBLIC: Sequence[Network] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class CallbackUrl:
    """`host` is a lower-case name or an address without brackets; `target` is the path with its query."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def address(self) -> Address | None:
        """The address that the URL names itself, if it names one."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def authority(self) -> str:
        """As in a `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """All of it that is no secret."""
        return f"{self.scheme}://{self.authority}"


class AllowedHosts:
    """The operator's exceptions: hosts, hosts with a port, and networks in CIDR that may be called, public or not."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Raises ValueError for an entry that is none of them."""
        self._names: set[str] = set()
        self._networks: list[Network] = []
        for entry in filter(None, (entry.strip().lower() for entry in entries)):
            if "/" in entry:
                self._networks.append(ip_network(entry))
            elif _AUTHORITY.fullmatch(entry):
                self._names.add(entry.replace("[", "").replace("]", "") if entry.endswith("]") else entry)
            else:
                raise ValueError(f"not a host, host:port or network: {entry}")

    def names(self, url: CallbackUrl) -> bool:
        """Whether the URL's host is named, or its own address is in a network."""
        host = f"[{url.host}]" if ":" in url.host else url.host
        own = url.address
        return bool(self._names & {url.host, f"{host}:{url.port}"}) or (own is not None and self.covers(own))

    def covers(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class CallbackPolicy:
    """What this installation calls: plain HTTP only if `allow_http`, others than public addresses only if `allowed`."""

    allow_http: bool = False
    allowed: AllowedHosts = field(default_factory=AllowedHosts)

    def check(self, url: str, name: str = "url") -> CallbackUrl:
        """The parts of a URL that may be called as far as its form tells. Raises UnsafeCallbackUrl about `name`."""
        parsed = _parse(url, name)
        if self.allowed.names(parsed):
            return parsed
        if parsed.scheme != "https" and not self.allow_http:
            _refuse(name, "url_https")
        own = parsed.address
        if own is None and ("." not in parsed.host or parsed.host.rpartition(".")[2] in _PRIVATE_NAMES):
            _refuse(name, "url_not_public")
        if own is not None and not is_public(own):
            _refuse(name, "url_not_public")
        return parsed

    def permits(self, url: CallbackUrl, address: Address) -> bool:
        """Whether we may connect to this address, which the URL's host was looked up to."""
        return is_public(address) or self.allowed.names(url) or self.allowed.covers(address)


def is_public(address: Address) -> bool:
    """Whether it is an address of somebody's server on the internet, and nothing but that."""
    if any(address in network for network in _NOT_PUBLIC):
        return False
    if isinstance(address, IPv6Address) and (address.scope_id or address not in _GLOBAL_UNICAST):
        return False
    return address.is_global and not address.is_multicast


def _parse(url: str, name: str) -> CallbackUrl:
    if len(url) > URL_MAX_CHARACTERS or not _CHARACTERS.fullmatch(url):
        _refuse(name, "url_form")
    try:
        parts = urlsplit(url)
    except ValueError:
        _refuse(name, "url_form")
    if parts.scheme not in _PORTS or "#" in url:
        _refuse(name, "url_form")
    if "@" in parts.netloc:
        _refuse(name, "url_userinfo")
    authority = _AUTHORITY.fullmatch(parts.netloc)
    if authority is None:
        _refuse(name, "url_form")
    port = int(authority["port"]) if authority["port"] else _PORTS[parts.scheme]
    if not 1 <= port <= 65535:
        _refuse(name, "url_form")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return CallbackUrl(parts.scheme, _host(authority["host"], name), port, target)


def _host(text: str, name: str) -> str:
    host = text.lower()
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            _refuse(name, "url_form")
    try:
        return str(IPv4Address(host))
    except ValueError:
        if _NAME.fullmatch(host):
            return host
        _refuse(name, "url_form")


def _refuse(name: str, complaint: str) -> NoReturn:
    raise UnsafeCallbackUrl(details={name: [complaint]})
