"""The files for Kubernetes and Swarm, checked strictly and offline."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.devstack.test_deploy import COMPOSE, tool

REPOSITORY = Path(__file__).resolve().parents[2]
KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
MANIFESTS = sorted(path for path in (KUBERNETES / "base").glob("*.yaml") if path.name != "kustomization.yaml")
OBJECTS: list[dict[str, Any]] = [each for path in MANIFESTS for each in yaml.safe_load_all(path.read_text())]
STACK: dict[str, Any] = yaml.safe_load((REPOSITORY / "deploy" / "swarm" / "stack.yml").read_text())


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] == kind}


def pods() -> dict[str, dict[str, Any]]:
    return {
        name: each["spec"]["template"]["spec"] for name, each in {**of_kind("Deployment"), **of_kind("Job")}.items()
    }


def test_every_manifest_is_right():
    tool("kubernetes-validate", "--strict", *(str(path) for path in MANIFESTS))


@pytest.mark.parametrize("overlay", ["production", "small"])
def test_an_overlay_renders_and_is_right(overlay: str, tmp_path: Path):
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("OVERLAYS WERE NOT RENDERED: kubectl was not found")
    command = [program, "kustomize", str(KUBERNETES / "overlays" / overlay)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    workloads = [each for each in yaml.safe_load_all(rendered) if each["kind"] in ("Deployment", "Job")]
    hosts = {each["spec"]["rules"][0]["host"] for each in yaml.safe_load_all(rendered) if each["kind"] == "Ingress"}
    assert len(hosts) == 1
    images = {each["spec"]["template"]["spec"]["containers"][0]["image"] for each in workloads}
    assert images == {"registry.example.com/talkmeter:1.0.0"}
    (tmp_path / "rendered.yaml").write_text(rendered)
    tool("kubernetes-validate", "--strict", str(tmp_path / "rendered.yaml"))


def test_every_file_of_the_base_is_part_of_it():
    listed = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [path.name for path in MANIFESTS]


def test_all_processes_run_as_nobody_on_a_disk_that_they_cannot_write():
    assert set(pods()) == {"prepare", "web", "worker-chat", "worker-upkeep", "scheduler", "exporter", "flower"}
    for name, pod in pods().items():
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["automountServiceAccountToken"] is False, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"], name
        assert "livenessProbe" in container or name == "prepare"


def test_what_scales_is_not_told_how_many_it_is_and_survives_a_drained_node():
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in of_kind("HorizontalPodAutoscaler").values()}
    assert scaled == {"web", "worker-chat"}
    assert not [name for name in scaled if "replicas" in of_kind("Deployment")[name]["spec"]]
    assert set(of_kind("PodDisruptionBudget")) == {"web", "worker-chat", "worker-upkeep"}


def test_nobody_outside_reads_metrics_and_no_ingress_writes_tokens_down():
    prefix = "nginx.ingress.kubernetes.io"
    ingresses = of_kind("Ingress")
    for ingress in ingresses.values():
        assert ingress["metadata"]["annotations"][f"{prefix}/enable-access-log"] == "false"
    metrics, everything = ingresses["metrics"], ingresses["talkmeter"]
    assert metrics["metadata"]["annotations"][f"{prefix}/whitelist-source-range"] == "127.0.0.1/32"
    assert [path["path"] for path in metrics["spec"]["rules"][0]["http"]["paths"]] == ["/metrics"]
    assert [rule["host"] for rule in metrics["spec"]["rules"]] == [rule["host"] for rule in everything["spec"]["rules"]]


def test_the_autoscaler_asks_for_what_the_adapter_gives():
    rules = yaml.safe_load((KUBERNETES / "prometheus-adapter.yaml").read_text())["rules"]["external"]
    asked = [
        metric["external"]["metric"]["name"]
        for metric in of_kind("HorizontalPodAutoscaler")["worker-chat"]["spec"]["metrics"]
        if metric["type"] == "External"
    ]
    assert asked == [rule["name"]["as"] for rule in rules]


def test_the_swarm_stack_is_right():
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "deploy/swarm/stack.yml")


def test_all_ways_to_deploy_run_the_same_commands():
    stack, compose, kubernetes = STACK["services"], COMPOSE["services"], pods()
    for name in ("prepare", "worker-upkeep", "scheduler", "exporter"):
        command = compose[name]["command"]
        assert stack[name]["command"] == command == kubernetes[name]["containers"][0]["command"], name
    flowers = [
        stack["flower"]["command"],
        compose["flower"]["command"],
        kubernetes["flower"]["containers"][0]["command"],
    ]
    assert len({command[-1].split("exec ")[1] for command in flowers}) == 1
