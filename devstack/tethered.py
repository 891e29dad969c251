"""Run a command that dies with the process that started it: `python tethered.py command …`.

The kernel is asked to kill this process as soon as its parent is gone, even by `kill -9`; the
request outlives the exec, so nothing stays between parent and command. Linux only: elsewhere the
command runs untethered, and `devstack.leftovers` finds it later. Imports nothing of this package,
so that starting it costs a few milliseconds.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tether(sent_at_death: signal.Signals) -> None:
    """Ask for a signal at the parent's death; exit at once if it died before we could ask."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, sent_at_death, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main(command: list[str]) -> None:
    tether(signal.SIGKILL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
