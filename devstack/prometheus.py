"""A real Prometheus as a child process, for the tests of dashboards and alerts."""

import json
import shutil
from pathlib import Path
from typing import Any

import requests

from devstack.binaries import MissingBinaryError
from devstack.servers import LOOPBACK, ServerProcess

SCRAPE_SECONDS = 1


def find_prometheus(program: str = "prometheus") -> Path:
    """`prometheus` or `promtool` on PATH."""
    found = shutil.which(program)
    if found is None:
        raise MissingBinaryError(f"{program} was not found. On Debian: apt-get install prometheus")
    return Path(found)


class PrometheusServer(ServerProcess):
    """Scrapes `targets` (job and host:port) every second; evaluates the rules of `rule_files`."""

    name = "prometheus"

    def __init__(self, directory: Path, targets: dict[str, str], rule_files: list[Path]) -> None:
        super().__init__(directory)
        self._targets = targets
        self._rule_files = rule_files

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def command(self) -> list[str]:
        # JSON is YAML.
        config = self.directory / "prometheus.json"
        config.write_text(json.dumps(self._config()), encoding="utf-8")
        command = [str(find_prometheus()), f"--config.file={config}", f"--storage.tsdb.path={self.directory / 'tsdb'}"]
        return [*command, f"--web.listen-address={LOOPBACK}:{self.port}", "--log.level=warn"]

    def _config(self) -> dict[str, Any]:
        scrapes = [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in self._targets.items()
        ]
        return {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
            "rule_files": [str(path) for path in self._rule_files],
            "scrape_configs": scrapes,
        }

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples that an expression gives now. Raises for one that is wrong."""
        reply = requests.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=10)
        answer = reply.json()
        if answer["status"] != "success":
            raise ValueError(f"{expression}: {answer['error']}")
        samples: list[dict[str, Any]] = answer["data"]["result"]
        return samples

    def alerts(self) -> list[str]:
        """The names of those that fire."""
        found = requests.get(f"{self.url}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
        return [alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"]
