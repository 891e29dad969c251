"""How a web process does while thousands of sockets and streams are open on it on which nothing happens."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import requests

# After this the clients end by themselves, whatever becomes of us.
MAX_SECONDS = 120
SOCKET_HEAD = (
    "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Protocol: bearer, {token}\r\n\r\n"
)
STREAM_HEAD = "GET /api/chat/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"


class Idlers:
    """Connections that are open; `left` is how many still were at the end."""

    def __init__(self) -> None:
        self.left = 0


@contextmanager
def idling(port: int, heads: list[str]) -> Iterator[Idlers]:
    """Hold a connection that begins with each of these heads, all of them accepted when it yields."""
    command = [sys.executable, "-m", "bench.idle_clients"]
    idlers = Idlers()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as clients:
        if clients.stdin is None or clients.stdout is None:
            raise RuntimeError("no pipes")
        try:
            order = {"port": port, "seconds": MAX_SECONDS, "heads": heads}
            print(json.dumps(order), file=clients.stdin, flush=True)
            if clients.stdout.readline() != "open\n":
                raise RuntimeError("the clients could not connect")
            yield idlers
            print("enough", file=clients.stdin, flush=True)
            idlers.left = int(clients.stdout.readline())
        finally:
            clients.kill()


def resident_bytes(url: str) -> int:
    """Of the one web process."""
    reply = requests.get(f"{url}/metrics", params={"format": "json"}, timeout=10)
    return int(reply.json()["memory"]["rss"])
