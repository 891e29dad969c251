"""The image, run as docker-compose.yml runs it: `make image-check IMAGE=…`, where Docker or Podman is."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from devstack.servers import MongoServer, RedisServer, UpstreamServer
from tests.scripts import make_secrets
from tests.stack.containers import Container, engine
from tests.stack.stack import Person, eventually

pytestmark = [pytest.mark.image, pytest.mark.timeout(300)]

PASSWORD = "a long password"
RUNNING = ["web", "worker-chat", "worker-upkeep", "scheduler", "exporter", "flower"]
Containers = dict[str, Container]


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory, mongo: MongoServer, redis: RedisServer) -> Path:
    """Those of the script, but with the addresses of this machine's servers, which know no password."""
    directory = tmp_path_factory.mktemp("secrets")
    make_secrets(directory, OPENAI_API_KEY="sk-of-the-stand-in")
    for name, value in {"mongodb_uri": mongo.uri, "redis_url": redis.uri}.items():
        (directory / name).chmod(0o644)
        (directory / name).write_text(value, encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def containers(secrets: Path, upstream_server: UpstreamServer) -> Iterator[Containers]:
    tool = engine()
    if tool is None:
        pytest.skip("THE IMAGE WAS NOT TRIED: neither Docker nor Podman is here")
    image = os.environ.get("IMAGE", "talkmeter:latest")
    settings = {"OPENAI_BASE_URL": upstream_server.uri, "SIGNUP_TOKENS": "100000", "METRICS_HOST": "127.0.0.1"}
    Container(tool, image, "prepare", secrets, settings).run_to_its_end()
    made = {name: Container(tool, image, name, secrets, settings) for name in RUNNING}
    try:
        for container in made.values():
            container.start()
        yield made
    finally:
        for container in made.values():
            container.remove()


@pytest.fixture
def url(containers: Containers) -> str:
    web = containers["web"]
    eventually(web.healthy, 60)
    return f"http://127.0.0.1:{web.port('8000')}"


@pytest.fixture
def person(url: str) -> Person:
    body = {"username": f"user-{time.monotonic_ns()}", "password": PASSWORD}
    reply = requests.post(f"{url}/api/auth/register", json=body, timeout=20)
    assert reply.status_code == 201, reply.text
    return Person(url, reply.json()["userId"], reply.json()["token"])


@pytest.mark.parametrize("name", RUNNING)
def test_each_part_becomes_healthy(containers: Containers, name: str) -> None:
    eventually(containers[name].healthy, 60)


@pytest.mark.parametrize("name", RUNNING)
def test_each_part_runs_without_rights(containers: Containers, name: str) -> None:
    container = containers[name]
    assert container.execute("id", "-u").stdout.strip() == "10001"
    for directory in ("/", "/app", "/opt/venv", "/etc", "/var/tmp"):
        assert container.execute("touch", f"{directory}/written").returncode != 0
    status = container.execute("cat", "/proc/1/status").stdout
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


@pytest.mark.parametrize(
    ("path", "content"),
    [("/health", "json"), ("/", "html"), ("/docs", "html"), ("/openapi.json", "json"), ("/metrics", "text")],
)
def test_web_shows_its_pages(url: str, path: str, content: str) -> None:
    reply = requests.get(url + path, timeout=20)
    assert reply.status_code == 200
    assert content in reply.headers["Content-Type"]


def test_the_web_ui_is_whole(url: str) -> None:
    page = requests.get(f"{url}/", timeout=20).text
    names = [part.split('"')[0] for part in page.replace('href="', 'src="').split('src="')[1:]]
    assert any(name.endswith(".js") for name in names)
    for name in names:
        assert requests.get(url + name, timeout=20).status_code == 200, name


def test_a_question_is_answered(person: Person) -> None:
    job = person.final(person.submit("out of a container"))
    assert (job["status"], job["charged"] > 0) == ("succeeded", True)


def test_the_exporter_sees_both_databases(containers: Containers) -> None:
    eventually(containers["exporter"].healthy, 60)
    text = requests.get(f"http://127.0.0.1:{containers['exporter'].port('9108')}/metrics", timeout=20).text
    assert {line for line in text.splitlines() if line.startswith("exporter_source_up")} == {
        'exporter_source_up{source="mongodb"} 1.0',
        'exporter_source_up{source="redis"} 1.0',
    }


def test_flower_asks_for_its_password(containers: Containers, secrets: Path) -> None:
    eventually(containers["flower"].healthy, 60)
    page = f"http://127.0.0.1:{containers['flower'].port('5555')}/flower/workers"
    operator = tuple((secrets / "flower_basic_auth").read_text().split(":"))
    assert requests.get(page, timeout=20).status_code == 401
    assert requests.get(page, auth=operator, timeout=20).status_code == 200


def test_a_backup_can_be_taken_in_a_container(containers: Containers) -> None:
    cli = "python -m service.cli"
    done = containers["exporter"].execute("sh", "-c", f"{cli} backup | {cli} check-backup")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "backup is whole" in done.stdout


def test_nothing_of_the_build_is_left_in_it(containers: Containers) -> None:
    """Nor anything that only development needs."""
    web = containers["web"]
    assert set(web.execute("ls", "-A", "/app").stdout.split()) == {
        "celeryconfig.py", "gunicorn.conf.py", "service", "workers", "wsgi.py",
    }  # fmt: skip
    found = web.execute(
        "sh", "-c", "find / -xdev \\( -name node_modules -o -name .git -o -name '.env*' \\) 2>/dev/null"
    )
    assert found.stdout == ""
    assert web.execute("python", "-c", "import pytest").returncode != 0


def test_who_is_told_to_end_finishes_first(
    containers: Containers, person: Person, upstream_server: UpstreamServer
) -> None:
    """Last: the worker ends its job, and every part ends by itself."""
    control = upstream_server.control
    control.clear()
    control.rule(contains="when it ends", delay_seconds=3)
    job_id = person.submit("when it ends")
    control.wait_for_calls(1, contains="when it ends")
    assert containers["worker-chat"].stop() == 0, containers["worker-chat"].log()
    assert person.job(job_id)["status"] == "succeeded"
    assert len(control.journal(contains="when it ends")) == 1, "nobody had to ask again"
    assert {name: containers[name].stop() for name in RUNNING if name != "worker-chat"} == {
        "web": 0, "worker-upkeep": 0, "scheduler": 0, "exporter": 0, "flower": 0,
    }  # fmt: skip
