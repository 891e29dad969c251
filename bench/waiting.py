"""How a web process does while hundreds of requests wait in it."""

import socket
import statistics
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import requests


def hold(url: str, token: str, job_ids: list[str], seconds: int) -> list[socket.socket]:
    """Open a long poll per job id, without a thread for each."""
    address = urlsplit(url)
    held = []
    for job_id in job_ids:
        connection = socket.create_connection((str(address.hostname), address.port or 80), timeout=seconds + 30)
        head = f"GET /api/chat/jobs/{job_id}?wait={seconds} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        connection.sendall(f"{head}Authorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode())
        held.append(connection)
    return held


def finish(held: list[socket.socket]) -> int:
    """Read the waiting replies to their ends; how many were a final job."""
    final = 0
    for connection in held:
        with connection, connection.makefile("rb") as stream:
            reply = stream.read()
        final += b'"status":"succeeded"' in reply.replace(b": ", b":")
    return final


def short_request_milliseconds(url: str, token: str, count: int) -> list[float]:
    """The times of `count` authenticated requests, one after the other."""
    with requests.Session() as http:
        http.headers["Authorization"] = f"Bearer {token}"
        return [
            _milliseconds(lambda: http.get(f"{url}/api/auth/me", timeout=10).raise_for_status()) for _ in range(count)
        ]


def percentiles(values: list[float]) -> tuple[float, float]:
    """p50 and p99."""
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


def _milliseconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000
