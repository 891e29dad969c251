"""Dockerfile, docker-compose.yml and the script of secrets, as far as they can be tried without a container engine."""

import os
import re
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings
from tests.scripts import make_secrets

REPOSITORY = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ["prepare", "web", "worker-chat", "worker-upkeep", "scheduler", "exporter", "flower"]
# Databases of other people's images, whose start as root gives that up by itself, and the optional logs.
NOT_HARDENED = {"mongo", "elasticsearch", "elk-setup", "kibana", "filebeat"}


def tool(name: str, *arguments: str) -> None:
    """Run a checker of requirements-dev.txt."""
    program = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if program is None:
        pytest.skip(f"NOT CHECKED, because {name} is not installed: make setup")
    done = subprocess.run([program, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dockerfile_is_right():
    tool("hadolint", "Dockerfile")


def test_the_compose_file_is_right():
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


def test_one_image_runs_every_part_of_the_service_without_rights():
    for name in OURS:
        service = SERVICES[name]
        assert service["image"] == "talkmeter:${TAG:-latest}"
        assert "JWT_SECRET_KEY_FILE" in service["environment"]
    for name, service in SERVICES.items():
        if name not in NOT_HARDENED:
            assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
            assert "no-new-privileges:true" in service["security_opt"], name
        assert service["restart"] in ("unless-stopped", "on-failure")
        assert ":" in service["image"], "a version"


def test_only_the_proxy_is_reached_from_outside():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"proxy", "alertmanager", "kibana"}
    assert all(port.startswith("127.0.0.1:") for port in published["kibana"] + published["alertmanager"])
    for network in ("data", "watch", "logs"):
        assert COMPOSE["networks"][network] == {"internal": True}
    for store in ("mongo", "redis"):
        assert SERVICES[store]["networks"] == ["data"]
    assert "data" not in SERVICES["proxy"]["networks"]


def test_each_part_has_a_health_check():
    without = {name for name, service in SERVICES.items() if "healthcheck" not in service}
    assert without == {
        "prepare",
        "mongodb-exporter",
        "redis-exporter",
        "node-exporter",
        "kibana",
        "filebeat",
        "elk-setup",
    }


def test_every_file_that_is_mounted_is_here():
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (REPOSITORY / source).exists(), f"{name}: {source}"


def test_the_script_makes_every_secret_that_the_compose_file_wants(tmp_path: Path):
    make_secrets(tmp_path, OPENAI_API_KEY="sk-of-the-test")
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} | {"mongodb_exporter.env"}
    assert {path.name for path in tmp_path.iterdir()} == wanted
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700, "nobody else looks into the directory"
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name


def test_secrets_are_made_once_and_told_once(tmp_path: Path):
    said = make_secrets(tmp_path, OPENAI_API_KEY="sk-of-the-test")
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    told = {name for name, value in made.items() if value in said}
    assert told == {"admin_password", "flower_basic_auth", "grafana_admin_password"}
    again = make_secrets(tmp_path, OPENAI_API_KEY="sk-another")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == made
    assert not [name for name, value in made.items() if value in again]
    assert not list(tmp_path.glob("*.new"))


def test_alerts_go_where_the_operator_says(tmp_path: Path):
    url = "https://chat.example.com/hooks/a&b?c=$1&d=%2F#e"
    make_secrets(tmp_path / "named", OPENAI_API_KEY="sk", ALERT_WEBHOOK_URL=url)
    make_secrets(tmp_path / "unnamed", OPENAI_API_KEY="sk")
    for made, wanted in (("named", url), ("unnamed", "http://127.0.0.1:9/nobody-was-named")):
        config = yaml.safe_load((tmp_path / made / "alertmanager.yml").read_text())
        assert [hook["url"] for hook in config["receivers"][0]["webhook_configs"]] == [wanted]
        told = {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])}
        assert told == {receiver["name"] for receiver in config["receivers"]}
    tool("amtool", "check-config", str(tmp_path / "named" / "alertmanager.yml"))


@pytest.mark.parametrize("broken", ["backup", "check-backup"])
def test_only_a_backup_that_was_read_again_gets_its_name(tmp_path: Path, broken: str):
    backups, cli = tmp_path / "backups", tmp_path / "cli"
    cli.write_text(f'#!/bin/sh\necho of "$1"\n[ "$1" != "{broken}" ]\n')
    cli.chmod(0o755)
    command = [str(REPOSITORY / "deploy" / "backup.sh"), str(backups)]
    environment = {"PATH": "/usr/bin:/bin", "CLI": str(cli)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode != 0
    assert list(backups.iterdir()) == []


def test_old_backups_are_forgotten(tmp_path: Path):
    for days, name in ((40, "talkmeter-old.bson.gz"), (40, "not-ours.gz"), (3, "talkmeter-young.bson.gz")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - days * 86400,) * 2)
    command = [str(REPOSITORY / "deploy" / "backup.sh"), str(tmp_path)]
    subprocess.run(command, env={"PATH": "/usr/bin:/bin", "CLI": "echo"}, capture_output=True, check=True)
    left = {path.name for path in tmp_path.iterdir()}
    assert left >= {"not-ours.gz", "talkmeter-young.bson.gz"}
    assert len(left) == 3, "and the new one"


def test_what_parts_wait_for_is_there_and_can_become_ready():
    for name, service in SERVICES.items():
        for other, wait in service.get("depends_on", {}).items():
            assert other in SERVICES, f"{name} waits for {other}"
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}"
            else:
                assert SERVICES[other]["restart"] == "on-failure", f"{name} waits for {other}, which never ends"
            assert set(SERVICES[other].get("profiles", [])) <= set(service.get("profiles", [])), f"{name}: {other}"
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name


def test_secrets_that_are_read_are_mounted_and_volumes_are_declared():
    for name, service in SERVICES.items():
        text = str([service.get("command"), service.get("entrypoint"), service.get("environment")])
        text += str(service.get("healthcheck", {}).get("test"))
        wanted = set(re.findall(r"/run/secrets/([\w.]+\w)", text))
        assert wanted <= set(service.get("secrets", [])), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith((".", "/")) or source in COMPOSE["volumes"], f"{name}: {source}"


def test_redis_and_mongo_are_guarded_and_lose_nothing(tmp_path: Path):
    make_secrets(tmp_path, OPENAI_API_KEY="sk")
    settings = dict(line.split(" ", 1) for line in (tmp_path / "redis.conf").read_text().splitlines())
    assert settings["requirepass"] == (tmp_path / "redis_password").read_text()
    assert (settings["appendonly"], settings["maxmemory-policy"]) == ("yes", "noeviction")
    assert 6 <= len((tmp_path / "mongo_keyfile").read_text()) <= 1024, "what mongod takes as a key"
    start = (REPOSITORY / "deploy" / "mongo" / "start.sh").read_text()
    for option in ("--keyFile", "--replSet rs0", "transactionLifetimeLimitSeconds=3"):
        assert option in start


def test_the_service_starts_with_the_settings_that_containers_get(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_secrets(tmp_path, OPENAI_API_KEY="sk-of-the-test")
    for name, value in SERVICES["prepare"]["environment"].items():
        text = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(value))
        monkeypatch.setenv(name, text.replace("/run/secrets", str(tmp_path)))
    settings = Settings(_env_file=None)
    password = (tmp_path / "redis_password").read_text()
    assert settings.redis_url.get_secret_value() == f"redis://:{password}@redis:6379/0"
    assert settings.mongodb_uri.get_secret_value().endswith("@mongo:27017/talkmeter?replicaSet=rs0&authSource=admin")
    assert settings.admin_password.get_secret_value() == (tmp_path / "admin_password").read_text()
    assert (settings.openai_keys, settings.public_root) == (["sk-of-the-test"], "https://localhost")


def test_secrets_stay_out_of_the_repository_and_the_image():
    ignored = subprocess.run(
        ["git", "check-ignore", "-q", "deploy/secrets/jwt_secret_key"], cwd=REPOSITORY, check=False
    )
    assert ignored.returncode == 0
    assert "deploy" not in re.sub(r"#.*", "", (REPOSITORY / ".dockerignore").read_text())
