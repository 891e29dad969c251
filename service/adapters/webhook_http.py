"""One HTTP request to somebody else's server, to an address that was checked on the way.

The name is looked up once; every address behind it must be one that we may call; the connection goes to one of exactly
these, and is asked who is at its other end before a byte is sent. TLS and the `Host` header still use the name. No
redirect is followed, no proxy of the environment is used, nothing of the answer's body is read. The whole takes at most
`timeout_seconds` (look-up and a server that answers a byte a second included, where gevent runs the sockets).
"""

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import NoReturn

import gevent

from service.domain.callback_urls import Address, CallbackPolicy, CallbackUrl
from service.domain.errors import UnsafeCallbackUrl
from service.usecases.ports import SendFailed, WebhookReply, WebhookRequest

Resolve = Callable[[str, int], Sequence[str]]
Dial = Callable[[str, int, float], socket.socket]

USER_AGENT = "Talkmeter-Webhooks/1"
# How many addresses of one name are tried.
MAX_ADDRESSES = 3


class TooSlow(Exception):
    """The time of the whole request is over."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def dial(address: str, port: int, timeout_seconds: float) -> socket.socket:
    """A connection to an address, never to a name. Raises OSError."""
    return socket.create_connection((address, port), timeout=timeout_seconds)


class WebhookHttp:
    """`resolve` and `dial` stand for the network in tests, `tls` for its certificates."""

    def __init__(
        self,
        policy: CallbackPolicy,
        *,
        timeout_seconds: float,
        resolve: Resolve = resolve,
        dial: Dial = dial,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._timeout_seconds = timeout_seconds
        self._resolve = resolve
        self._dial = dial
        self._tls = tls or ssl.create_default_context()

    def send(self, request: WebhookRequest) -> WebhookReply:
        """See `ports.WebhookSender.send`."""
        deadline = time.monotonic() + self._timeout_seconds
        try:
            with gevent.Timeout(self._timeout_seconds, TooSlow):
                url = self._policy.check(request.url)
                return self._exchange(request, url, self._connect(url, deadline), deadline)
        except UnsafeCallbackUrl:
            _fail("unsafe_address")
        except (TooSlow, TimeoutError):
            _fail("timeout")
        except ssl.SSLError:
            _fail("tls")
        except (OSError, UnicodeError):
            _fail("connection")
        except (http.client.HTTPException, ValueError):
            _fail("protocol")

    def _connect(self, url: CallbackUrl, deadline: float) -> socket.socket:
        addresses = self._addresses(url)
        error: OSError = ConnectionError("no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                connection = self._dial(str(address), url.port, _left(deadline))
            except OSError as refused:
                error = refused
                continue
            try:
                self._check_peer(url, connection)
            except BaseException:
                connection.close()
                raise
            return connection
        raise error

    def _addresses(self, url: CallbackUrl) -> Sequence[Address]:
        """What the URL's host is, each of them checked: one that we may not call spoils the name."""
        own = url.address
        try:
            addresses = [own] if own is not None else [ip_address(text) for text in self._resolve(url.host, url.port)]
        except OSError:
            _fail("name")
        if not addresses:
            _fail("name")
        if not all(self._policy.permits(url, address) for address in addresses):
            raise UnsafeCallbackUrl()
        return addresses

    def _check_peer(self, url: CallbackUrl, connection: socket.socket) -> None:
        if not self._policy.permits(url, ip_address(connection.getpeername()[0])):
            raise UnsafeCallbackUrl()

    def _exchange(
        self, request: WebhookRequest, url: CallbackUrl, connection: socket.socket, deadline: float
    ) -> WebhookReply:
        try:
            connection.settimeout(_left(deadline))
            if url.scheme == "https":
                connection = self._tls.wrap_socket(connection, server_hostname=url.host)
            client = http.client.HTTPConnection(url.host, url.port)
            client.sock = connection
            headers = {"Host": url.authority, "User-Agent": USER_AGENT, "Connection": "close", **request.headers}
            client.request(request.method, url.target, body=request.body, headers=headers)
            connection.settimeout(_left(deadline))
            response = client.getresponse()
            return WebhookReply(response.status, _retry_after(response.headers.get("Retry-After", "")))
        finally:
            connection.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TooSlow()
    return left


def _retry_after(header: str) -> int | None:
    """Seconds, from a number or a date; None if it is neither."""
    if header.isascii() and header.isdecimal():
        return int(header[:9])
    try:
        return max(0, int(parsedate_to_datetime(header).timestamp() - time.time()))
    except (ValueError, TypeError, OverflowError):
        return None


def _fail(reason: str) -> NoReturn:
    raise SendFailed(reason) from None
