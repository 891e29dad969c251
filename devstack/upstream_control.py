"""Drive the model stand-in from a test: lay down rules, hold and release calls, read its journal.

    control = UpstreamControl("http://127.0.0.1:4010")
    control.rule(contains="slow", hold="gate")
    ...
    control.wait_for_calls(1, contains="slow")
    control.release("gate")

The keys of a rule are those of `devstack.upstream_rules.Rule`.
"""

import time
from typing import Any

import requests

POLL_SECONDS = 0.02
CALL_TIMEOUT_SECONDS = 10.0

Call = dict[str, Any]


class UpstreamControl:
    """A client of the stand-in's `/_control` routes; `base_url` may end in `/v1`."""

    def __init__(self, base_url: str) -> None:
        self._root = base_url.rstrip("/").removesuffix("/v1") + "/_control"
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the machine must not come between

    def rule(self, **keys: Any) -> None:
        """Add a rule after those that are there; the first that matches a call decides."""
        self.rules(keys)

    def rules(self, *rules: dict[str, Any]) -> None:
        """Add several rules in their order."""
        self._send("POST", "/rules", json=list(rules))

    def clear(self) -> None:
        """Remove every rule and let go every call that is held or stalled."""
        self._send("DELETE", "/rules")

    def release(self, hold: str) -> int:
        """Let go the calls held under this name, and those still to come; says how many waited."""
        return int(self._send("POST", "/release", json={"hold": hold})["released"])

    def journal(self, since: int = 0, contains: str | None = None) -> list[Call]:
        """The calls numbered above `since`, oldest first, as far as they have got."""
        query = {"since": since, **({"contains": contains} if contains is not None else {})}
        calls: list[Call] = self._send("GET", "/journal", params=query)["calls"]
        return calls

    def process_id(self) -> int:
        """Which process answers here."""
        return int(self._send("GET", "/health")["pid"])

    def wait_for_calls(
        self,
        n: int,
        contains: str | None = None,
        timeout: float = 10.0,
        *,
        finished: bool = False,
        since: int = 0,
    ) -> list[Call]:
        """Wait until at least n calls have arrived (or, with `finished`, have ended); return them."""
        deadline = time.monotonic() + timeout
        while True:
            calls = self.journal(since, contains)
            if finished:
                calls = [call for call in calls if call["finished"] is not None]
            if len(calls) >= n:
                return calls
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(calls)} of {n} calls after {timeout} s: {calls}")
            time.sleep(POLL_SECONDS)

    def _send(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = self._http.request(method, self._root + path, timeout=CALL_TIMEOUT_SECONDS, **options)
        if not answer.ok:
            raise ValueError(f"{method} {path}: {answer.status_code} {answer.text}")
        body: dict[str, Any] = answer.json()
        return body
