"""Run by `test_metadata_canary.py` in a network of its own: a server on the address at which clouds hand out secrets.

Prints, as JSON, what became of deliveries to it and how many connections it got; and the same of one with the guard
off, to show that it can be reached.
"""

import fcntl
import json
import socket
import struct

from service.adapters.webhook_http import WebhookHttp
from service.domain.callback_urls import AllowedHosts, CallbackPolicy
from service.usecases.ports import SendFailed, WebhookRequest
from tests.core.callback_urls.support import Canary, serving

ADDRESS = "169.254.169.254"
HOSTS = (
    ADDRESS,
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "１６９.254.169.254",
    f"[::ffff:{ADDRESS}]",
    f"[64:ff9b::{ADDRESS}]",
    "[2002:a9fe:a9fe::1]",
    f"user@{ADDRESS}",
    f"hooks.example.com@{ADDRESS}",
    "rebound.example.com",
)
SIOCSIFFLAGS, SIOCSIFADDR = 0x8914, 0x8916
IFF_UP_AND_RUNNING = 0x41


def give_loopback_the_address() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP_AND_RUNNING))
        address = struct.pack("16sH2s4s16x", b"lo:1", socket.AF_INET, b"", socket.inet_aton(ADDRESS))
        fcntl.ioctl(control, SIOCSIFADDR, address)


def outcome(policy: CallbackPolicy, url: str) -> str:
    sender = WebhookHttp(policy, timeout_seconds=5, resolve=lambda _host, _port: [ADDRESS])
    try:
        return str(sender.send(WebhookRequest("POST", url, {}, b"secret")).status)
    except SendFailed as failed:
        return failed.reason


def main() -> None:
    give_loopback_the_address()
    canary = Canary(ADDRESS)
    with serving(canary):
        guarded = {host: outcome(CallbackPolicy(allow_http=True), f"http://{host}:{canary.port}/") for host in HOSTS}
        heard = canary.connections
        allowed = CallbackPolicy(allow_http=True, allowed=AllowedHosts([f"{ADDRESS}/32"]))
        unguarded = outcome(allowed, f"http://rebound.example.com:{canary.port}/")
    print(json.dumps({"guarded": guarded, "heard": heard, "unguarded": unguarded, "reached": canary.connections}))


if __name__ == "__main__":
    main()
