"""Crash points: make a process kill itself at a named place, to prove that nothing depends on its surviving.

Development only. `CRASH_FILE` names a file; while it exists and holds, say, `money.settle:after`, the first process
that comes to that place (a port's method and a moment) removes it and dies as from a power cut. With the setting empty,
`bootstrap` gets its ports back untouched.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

T = TypeVar("T")


class CrashPoints:
    def __init__(self, crash_file: str) -> None:
        self._file = Path(crash_file) if crash_file else None

    def armed(self, port: T, name: str) -> T:
        """The port itself, or a stand-in that may crash before and after each of its methods."""
        return port if self._file is None else cast(T, _Armed(port, name, self))

    def at(self, point: str) -> Callable[[], None]:
        """A function for one place: dies there if the file says so."""
        return (lambda: None) if self._file is None else lambda: self.reach(point)

    def reach(self, point: str) -> None:
        """Die if this is the place that the file names, and nobody died for it yet."""
        if self._file is None:
            return
        try:
            if self._file.read_text(encoding="utf-8") != point:
                return
            self._file.unlink()
        except FileNotFoundError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class _Armed:
    def __init__(self, port: object, name: str, points: CrashPoints) -> None:
        self._port, self._name, self._points = port, name, points

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._port, method)

        def crashing(*positional: Any, **named: Any) -> Any:
            self._points.reach(f"{self._name}.{method}:before")
            result = call(*positional, **named)
            self._points.reach(f"{self._name}.{method}:after")
            return result

        return crashing
