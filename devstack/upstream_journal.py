"""Every call the model stand-in ever got, in memory and, so that it survives a kill, in a file.

A call is written to the file when it arrives and each time its state changes; reading the file,
the last line of a call counts.
"""

import json
import time
from pathlib import Path
from typing import Any, TextIO

from devstack.upstream_wire import last_user_message

Call = dict[str, Any]

REQUEST_ID_HEADERS = ("X-Client-Request-Id", "X-Request-Id")
KEY_CHARACTERS_SHOWN = 4


class Journal:
    """The calls in their order; `n` counts from 1 and goes on after a restart with the same file."""

    def __init__(self, path: Path | None = None) -> None:
        self._calls: dict[int, Call] = _read(path) if path else {}
        self._file: TextIO | None = None
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")

    def begin(self, headers: dict[str, str], body: dict[str, Any], rule: int | None) -> Call:
        """Write down a call that arrived; the record is changed as the call goes on."""
        by_name = {name.lower(): value for name, value in headers.items()}
        ids = (by_name.get(name.lower()) for name in REQUEST_ID_HEADERS)
        call: Call = {
            "n": len(self._calls) + 1,
            "request_id": next((value for value in ids if value), None),
            "authorization": mask(by_name.get("authorization")),
            "message": last_user_message(body),
            "body": body,
            "rule": rule,
            "started": time.time(),
            "finished": None,
            "status": None,
            "outcome": None,
            "usage": None,
            "chunks": 0,
        }
        self._calls[call["n"]] = call
        self._write(call)
        return call

    def note(self, call: Call, **changes: Any) -> None:
        call.update(changes)
        self._write(call)

    def finish(self, call: Call, outcome: str, **changes: Any) -> None:
        """Outcomes: answered, error, disconnected (by the caller), reset (by us)."""
        self.note(call, outcome=outcome, finished=time.time(), **changes)

    def calls(self, since: int = 0, contains: str | None = None) -> list[Call]:
        numbers = range(since + 1, len(self._calls) + 1)
        found = (self._calls[n] for n in numbers)
        return [call for call in found if contains is None or contains in call["message"]]

    def _write(self, call: Call) -> None:
        if self._file:
            self._file.write(json.dumps(call, ensure_ascii=False) + "\n")
            self._file.flush()


def mask(authorization: str | None) -> str | None:
    """Enough of a key to tell two apart, and no more."""
    if not authorization:
        return None
    scheme, _, key = authorization.partition(" ")
    return f"{scheme} …{key[-KEY_CHARACTERS_SHOWN:]}"


def _read(path: Path) -> dict[int, Call]:
    calls: dict[int, Call] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                call = json.loads(line)
            except ValueError:  # the line that was being written when the process was killed
                continue
            calls[call["n"]] = call
    return calls
