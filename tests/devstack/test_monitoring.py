"""The files of `deploy/` that Prometheus and Grafana read: right by their own tools, and each alert has a runbook."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from devstack.binaries import MissingBinaryError
from devstack.prometheus import find_prometheus

REPOSITORY = Path(__file__).resolve().parents[2]
PROMETHEUS = REPOSITORY / "deploy" / "prometheus"
DASHBOARDS = sorted((REPOSITORY / "deploy" / "grafana" / "dashboards").glob("*.json"))
RUNBOOKS = REPOSITORY / "docs" / "runbooks.md"
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
# Of everything that Prometheus or the service may say about a person.
PERSONAL = re.compile(r"user_id|account_id|username|email|key_id|wallet_id", re.IGNORECASE)


def promtool(*arguments: str) -> None:
    try:
        program = find_prometheus("promtool")
    except MissingBinaryError as missing:
        pytest.skip(f"ALERT RULES WERE NOT TESTED: {missing}")
    done = subprocess.run([program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_the_rules_are_right():
    promtool("check", "config", "prometheus.yml")


def test_each_alert_fires_when_it_should_and_none_on_a_healthy_service():
    tested = yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    names = dict.fromkeys(test["name"].partition(":")[0] for test in tested)
    assert list(names) == [*(alert["alert"] for alert in ALERTS), "healthy"]
    promtool("test", "rules", "alerts_test.yml")


def test_each_alert_has_a_runbook_and_each_runbook_an_alert():
    headings = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(encoding="utf-8"), re.MULTILINE)
    assert headings == [alert["alert"] for alert in ALERTS]
    for alert in ALERTS:
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in ("critical", "warning")


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_can_be_provisioned(path: Path):
    dashboard = json.loads(path.read_text(encoding="utf-8"))
    source = yaml.safe_load(
        (REPOSITORY / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8")
    )["datasources"][0]
    assert dashboard["uid"] == f"talkmeter-{path.stem}"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) > 8
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": source["uid"]}
            assert not PERSONAL.search(target["expr"] + target["legendFormat"])


def test_there_is_a_dashboard_of_each_subject():
    assert [path.stem for path in DASHBOARDS] == ["clients", "money", "queue", "service"]


@pytest.mark.parametrize("field", ["status", "code"])
def test_fields_that_are_numbers_of_some_lines_and_words_of_others_lose_none(field: str):
    """Else Elasticsearch takes the type of what came first, and refuses whole lines of the other."""
    template = json.loads((REPOSITORY / "deploy/elk/index-template.json").read_text(encoding="utf-8"))["template"]
    assert template["mappings"]["properties"][field] == {"type": "keyword"}
