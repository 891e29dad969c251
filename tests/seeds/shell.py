"""The printed `curl` commands, run by a real shell and a real curl."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest


def curl(command: str, url: str, *arguments: str, **instead: str) -> tuple[int, str, Any]:
    """Run a printed command at our own address: status, content type, and the body, parsed if it is JSON.

    `arguments` are added (a credential); `instead` maps printed ids to real ones, as any client would.
    """
    if shutil.which("curl") is None:
        pytest.skip("NO CURL ON THIS MACHINE: the printed commands were not run")
    for shown, real in instead.items():
        assert shown in command
        command = command.replace(shown, real)
    command, addresses = re.subn(r"http://localhost:\d+", url, command)
    assert addresses == 1
    name, _, rest = command.strip().partition(" ")
    assert name == "curl"
    wrapped = f"""curl "$@" -sS --noproxy '*' --max-time 60 -w '\\n%{{http_code}} %{{content_type}}' {rest}"""
    done = subprocess.run(["bash", "-c", wrapped, "bash", *arguments], capture_output=True, text=True, check=True)
    body, _, told = done.stdout.rpartition("\n")
    status, _, content_type = told.partition(" ")
    return int(status), content_type, json.loads(body) if "json" in content_type else body
