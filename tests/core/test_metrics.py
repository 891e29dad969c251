"""Metrics of several processes count together, as `PROMETHEUS_MULTIPROC_DIR` has them."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
from service.adapters.metrics import Metrics
metrics = Metrics()
metrics.http_request("GET", "/", 200, 0.1, 10)
print(metrics.memory())
if "read" in sys.argv:
    sys.stdout.write(metrics.render()[0].decode())
else:
    sys.stdin.read()
"""


def test_processor_and_memory_are_those_of_all_web_processes(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        memory_of_other = int(other.stdout.readline())
        told = subprocess.run([*command, "read"], env=environment, capture_output=True, text=True, check=True).stdout
        other.communicate("")
    own, *lines = told.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    together = memory_of_other + int(own)
    assert abs(float(values["web_resident_memory_bytes"]) - together) < together / 10
    assert float(values["web_cpu_seconds"]) > 0
