"""169.254.169.254 never hears of a callback. The address is only taken in a network namespace of the test's own."""

import json
import shutil
import subprocess
import sys

import pytest

from devstack.parts import REPOSITORY

ISOLATED = ["unshare", "--map-root-user", "--net"]


def may_isolate() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*ISOLATED, "true"], check=False).returncode == 0


@pytest.mark.skipif(not may_isolate(), reason="no network namespaces here")
def test_the_address_of_cloud_credentials_hears_nothing() -> None:
    command = [*ISOLATED, sys.executable, "-m", "tests.core.metadata_canary"]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.splitlines()[-1])
    assert set(told["guarded"].values()) == {"unsafe_address"}, told
    assert told["heard"] == 0
    assert (told["unguarded"], told["reached"]) == ("204", 1), "the canary can be reached at all"
