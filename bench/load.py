"""Bounded load from wrk, on this machine only."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Each thread walks through the accounts, so that no single wallet is hot.
_SCRIPT = """
local tokens = {}
for line in io.lines("%(tokens)s") do tokens[#tokens + 1] = line end
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
function request()
  n = n + 1
  wrk.headers["Authorization"] = "Bearer " .. tokens[n %% #tokens + 1]
  %(prefer)s
  return wrk.format(nil, nil, nil, %(body)s)
end
local refused = 0
function response(status) if status >= 300 then refused = refused + 1 end end
function done(summary, latency)
  io.write(string.format("RESULT %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


class MissingWrkError(Exception):
    """There is no wrk to make the load with."""


@dataclass(frozen=True)
class Load:
    """What wrk saw; latencies in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds


def run(url: str, tokens: list[str], directory: Path, *, seconds: int, connections: int, wait: bool = False) -> Load:
    """POST a question for so many seconds over so many connections; `wait` asks for the answer itself."""
    if shutil.which("wrk") is None:
        raise MissingWrkError("wrk is not installed (Debian: apt-get install wrk)")
    token_file, script = directory / "tokens", directory / "load.lua"
    token_file.write_text("\n".join(tokens))
    prefer = 'wrk.headers["Prefer"] = "wait=20"' if wait else ""
    body = json.dumps(json.dumps({"message": "How long is a piece of string?", "context": []}))
    script.write_text(_SCRIPT % {"tokens": token_file, "prefer": prefer, "body": body})
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "25s", "-s", str(script), url]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    found = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+)", output)
    if found is None:
        raise RuntimeError(f"wrk said nothing that we understand:\n{output}")
    requests, micros, p50, p99, errors = (int(number) for number in found.groups())
    return Load(requests, micros / 1e6, p50 / 1e3, p99 / 1e3, errors)
