"""The local YooKassa as a child process, and the payer and the breakdowns that a test plays (`devstack.yookassa`)."""

import contextlib
import sys
from typing import Any

import requests

from devstack.servers import LOOPBACK, ServerProcess

CALL_TIMEOUT_SECONDS = 30.0

Json = dict[str, Any]


class YooKassaServer(ServerProcess):
    """Keeps what it knows in memory only: start it once and don't kill it."""

    name = "yookassa"

    @property
    def root(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def api_url(self) -> str:
        """What YOOKASSA_API_URL is set to."""
        return f"{self.root}/v3"

    @property
    def control(self) -> "YooKassaControl":
        return YooKassaControl(self.root)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "devstack.yookassa", "--host", LOOPBACK, "--port", str(self.port)]

    def is_ready(self) -> bool:
        with contextlib.suppress(requests.RequestException):
            return self.control.process_id() == self.pid
        return False


class YooKassaControl:
    """A client of the `/_control` routes."""

    def __init__(self, root: str) -> None:
        self._root = f"{root}/_control"
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the machine must not come between

    def clear(self) -> None:
        """Forget payments, refunds, calls and rules."""
        self._send("DELETE", "/state")

    def rule(self, on: str, fault: str, times: int | None = None) -> None:
        self._send("POST", "/rules", {"on": on, "fault": fault, "times": times})

    def clear_rules(self) -> None:
        """Let everything work again."""
        self._send("DELETE", "/rules")

    def notify_at(self, url: str) -> None:
        """Where notifications go from now on."""
        self._send("PUT", "/notify-url", {"url": url})

    def pay(self, payment_id: str, *, notify: int = 0, **change: Any) -> Json:
        """The payer has paid, and YooKassa says so this many times at once."""
        return self._send("POST", f"/payments/{payment_id}", {"status": "succeeded", "notify": notify, **change})

    def let_expire(self, payment_id: str, *, notify: int = 0) -> Json:
        return self._send("POST", f"/payments/{payment_id}", {"status": "canceled", "notify": notify})

    def give_back(self, payment_id: str, amount: str, *, notify: int = 0) -> Json:
        """The operator refunds in YooKassa's own cabinet."""
        return self._send("POST", f"/payments/{payment_id}", {"refunded": amount, "notify": notify})

    def end_refund(self, refund_id: str, status: str, *, notify: int = 0) -> Json:
        return self._send("POST", f"/refunds/{refund_id}", {"status": status, "notify": notify})

    def payments(self) -> list[Json]:
        return list(self._send("GET", "/state")["payments"])

    def refunds(self) -> list[Json]:
        return list(self._send("GET", "/state")["refunds"])

    def calls(self, name: str) -> list[Json]:
        """What it was asked, oldest first: create, read, refund or read_refund."""
        return [call for call in self._send("GET", "/state")["calls"] if call["call"] == name]

    def notices(self) -> list[int]:
        """How notifications were answered."""
        return list(self._send("GET", "/state")["notices"])

    def process_id(self) -> int:
        return int(self._send("GET", "/health")["pid"])

    def _send(self, method: str, path: str, body: Json | None = None) -> Json:
        reply = self._http.request(method, self._root + path, json=body, timeout=CALL_TIMEOUT_SECONDS)
        reply.raise_for_status()
        found: Json = reply.json()
        return found
