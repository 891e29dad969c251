"""How soon the first piece of a streamed answer comes, and its end: through the service and straight from upstream."""

import json
import time
from collections.abc import Iterable

import requests

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer sk-of-the-stand-in"}


def through(http: requests.Session, url: str) -> tuple[float, float]:
    """Milliseconds to the first piece and to the end, of an answer asked for as an event stream."""
    headers = {"Accept": "text/event-stream"}
    body = {"message": "ping", "context": []}
    return _timed(http.post(f"{url}/api/chat", json=body, headers=headers, stream=True, timeout=30), b"event: chunk")


def direct(http: requests.Session, uri: str) -> tuple[float, float]:
    """The same of the upstream's own stream."""
    body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "ping"}]}
    reply = http.post(f"{uri}/chat/completions", data=json.dumps(body), headers=HEADERS, stream=True, timeout=30)
    return _timed(reply, b'"content"')


def _timed(reply: requests.Response, first_mark: bytes) -> tuple[float, float]:
    reply.raise_for_status()
    started = time.perf_counter() - reply.elapsed.total_seconds()
    lines: Iterable[bytes] = reply.iter_lines(chunk_size=1)
    first = 0.0
    for line in lines:
        if not first and first_mark in line:
            first = time.perf_counter()
    return (first - started) * 1000, (time.perf_counter() - started) * 1000
