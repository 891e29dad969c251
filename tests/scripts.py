"""The scripts of `deploy/`, run as operators run them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from devstack.parts import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


def make_secrets(directory: Path, **variables: str) -> str:
    """Make the secrets that are not there yet; what the script says."""
    command = ["sh", str(DEPLOY / "make-secrets.sh"), str(directory)]
    environment = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def run_script(name: str, environment: dict[str, Any], argument: Path) -> str:
    """A script that calls the service's commands, here instead of in a container; the last line that it says."""
    variables = {key.upper(): str(value) for key, value in environment.items()}
    done = subprocess.run(
        [str(DEPLOY / name), str(argument)],
        env={**os.environ, **variables, "CLI": f"{sys.executable} -m service.cli"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]
