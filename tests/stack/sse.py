"""A client of Server-Sent Events that reads in the background, as an application would."""

import json
import threading
from dataclasses import dataclass, field
from typing import Any, Self

import requests

from tests.stack.stack import Person, eventually


@dataclass
class Listener:
    """Follows one stream over HTTP until it ends or breaks. `last_id` is what a reconnect would name."""

    url: str
    token: str
    last_id: int = 0
    text: str = ""
    names: list[str] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    comments: int = 0
    broken: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None
    ids: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, person: Person, job_id: str, url: str, after: int = 0) -> Self:
        """Begin to follow a job on the web process at this address."""
        return cls(f"{url}/api/chat/jobs/{job_id}/events", person.token, after).start()

    def start(self) -> Self:
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def has_seen(self, characters: int) -> Self:
        eventually(lambda: len(self.text) >= characters)
        return self

    def ended(self, timeout_seconds: float = 30.0) -> Self:
        self._thread.join(timeout_seconds)
        assert not self._thread.is_alive(), f"still listening after {self.text!r}"
        return self

    def _listen(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "text/event-stream", **self.headers}
        if self.last_id:
            headers["Last-Event-ID"] = str(self.last_id)
        method = "GET" if self.body is None else "POST"
        try:
            reply = requests.request(method, self.url, headers=headers, json=self.body, stream=True, timeout=40)
            if reply.status_code >= 500:
                self.broken = True
                return
            assert reply.status_code == 200, reply.text
            self.headers = dict(reply.headers)
            rest = b""
            for piece in reply.iter_content(chunk_size=None):
                *blocks, rest = (rest + piece).split(b"\n\n")
                for block in blocks:
                    self._take(block.decode().split("\n"))
        except (requests.RequestException, OSError):
            self.broken = True

    def _take(self, lines: list[str]) -> None:
        fields = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(":"))
        self.comments += any(line.startswith(":") for line in lines)
        if "event" not in fields:
            return
        data = json.loads(fields["data"])
        self.names.append(fields["event"])
        if fields["event"] == "chunk":
            self.text += data["content"]
        else:
            self.last = data
        self.last_id = int(fields["id"])
        self.ids.append(self.last_id)
