"""Find and end what a stack left behind that was killed with `kill -9`.

Every part carries the data directory of its stack in its environment; nothing else is touched.
"""

import contextlib
import os
import time
from pathlib import Path

import psutil

from devstack.plan import STACK_MARKER

GIVE_UP_SECONDS = 10.0
POLL_SECONDS = 0.05


def find(data_dir: Path) -> list[psutil.Process]:
    """The living parts of a stack on this data directory, except our own ancestors and ourselves."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [p for p in psutil.process_iter() if p.pid not in own and _belongs_to(p, data_dir)]


def end(data_dir: Path) -> int:
    """Kill them until none is left, for a supervisor among them may start more; say how many died.

    Not asked politely: their stack is broken already, and both stores recover from a kill.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while found := find(data_dir):
        for process in found:
            _kill(process)
            ended.add(process.pid)
        if time.monotonic() > deadline:
            raise TimeoutError(f"Parts of an earlier run do not end: {sorted(p.pid for p in found)}")
        time.sleep(POLL_SECONDS)
    return len(ended)


def _belongs_to(process: psutil.Process, data_dir: Path) -> bool:
    try:
        marked = process.environ().get(STACK_MARKER) == str(data_dir)
        return marked and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:  # somebody else's, or gone
        return False


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
