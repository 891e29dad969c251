"""A web process takes as many open files as it may, and says so when its clients won't fit."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
from service.adapters import logs
from service.api import file_limit
logs.configure("INFO", "test")
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 1000))
print(file_limit.allow({connections}), resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("connections", "fits"), [(488, True), (489, False)])
def test_the_hard_limit_is_taken_and_judged(connections: int, fits: bool) -> None:
    command = [sys.executable, "-c", SCRIPT.format(connections=connections)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert f"{fits} (1000, 1000)" in said
    assert ("too few open files allowed" in said) is not fits
