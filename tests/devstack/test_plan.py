"""What `make run` decides before it starts anything."""

import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import leftovers
from devstack.environment import ConfigurationError, Keepsakes, new_secret, value_of
from devstack.plan import STACK_MARKER, Plan, data_dir_of, make_plan
from devstack.readiness import require_reachable
from devstack.run import banner
from devstack.servers import free_port
from devstack.supervision import render

SERVICE = ["web", "worker-chat", "worker-upkeep", "scheduler", "flower", "exporter"]
MONGO = "mongodb://127.0.0.1:1/x?replicaSet=rs0"


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"DATA_DIR": str(tmp_path / "data"), "PORT": str(free_port()), "PATH": "/usr/bin"}


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def names(plan: Plan) -> list[str]:
    return [part.name for part in plan.parts()]


def test_without_settings_every_part_is_started(environment):
    plan = make_plan(environment)
    stores_and_stand_in = ["mongod", "redis", "upstream"]
    assert names(plan) == [
        *stores_and_stand_in,
        "web",
        "worker-chat",
        "worker-upkeep",
        "scheduler",
        "flower",
        "exporter",
    ]
    shared = plan.environment
    assert shared["APP_ENV"] == "development"
    assert shared["OPENAI_STANDIN"] == "true"
    assert shared["OPENAI_BASE_URL"] == f"http://127.0.0.1:{plan.upstream_port}/v1"
    assert f":{plan.mongo_port}/talkmeter" in shared["MONGODB_URI"]
    assert f":{plan.redis_port}/" in shared["REDIS_URL"]
    assert len(shared["JWT_SECRET_KEY"]) == 64
    assert shared["FLOWER_URL"] == f"http://localhost:{plan.flower_port}/"
    assert shared[STACK_MARKER] == str(data_dir_of(environment))


def test_what_the_user_has_is_not_started(environment):
    given = {"MONGODB_URI": MONGO, "REDIS_URL": "redis://127.0.0.1:1/0", "OPENAI_API_KEY": "sk-1"}
    plan = make_plan({**environment, **given, "APP_ENV": "production", "OPENAI_BASE_URL": "http://x/v1"})
    assert names(plan) == SERVICE
    kept = ("MONGODB_URI", "REDIS_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "APP_ENV")
    assert [plan.environment[name] for name in kept] == [*given.values(), "http://x/v1", "production"]
    assert "OPENAI_STANDIN" not in plan.environment


def test_a_secret_may_come_from_a_file(environment, tmp_path):
    key = tmp_path / "key"
    key.write_text("sk-from-file\n")
    assert value_of({"OPENAI_API_KEY_FILE": str(key)}, "OPENAI_API_KEY") == "sk-from-file"
    assert make_plan({**environment, "OPENAI_API_KEY_FILE": str(key)}).upstream_port is None
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY_FILE"):
        make_plan({**environment, "OPENAI_API_KEY_FILE": str(tmp_path / "none")})


def test_secrets_are_made_once_and_are_nobody_elses(environment):
    first = make_plan(environment)
    again = make_plan(environment)
    assert first.environment["JWT_SECRET_KEY"] == again.environment["JWT_SECRET_KEY"]
    assert (first.admin.is_new, again.admin.is_new) == (True, False)
    assert first.admin.password in banner(first)
    assert again.admin.password not in banner(again)
    for path in first.secrets_dir.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().strip() not in render(first, Path("/x.sock"))


def test_where_the_stores_are_is_said_of_our_own_only(environment):
    plan = make_plan(environment)
    assert plan.environment["MONGODB_URI"] in banner(plan)
    assert plan.environment["REDIS_URL"] in banner(plan)
    theirs = {"MONGODB_URI": "mongodb://me:secret@db/x", "REDIS_URL": "redis://:secret@cache/0"}
    assert "secret@" not in banner(make_plan({**environment, **theirs}))


def test_a_given_password_is_neither_printed_nor_stored(environment):
    plan = make_plan({**environment, "ADMIN_PASSWORD": "my own one"})
    assert plan.admin.password == "my own one"
    assert "my own one" not in banner(plan)
    assert not (plan.secrets_dir / "admin_password").exists()


def test_half_a_secret_is_made_anew(tmp_path):
    (tmp_path / "jwt.new").write_text("half")
    value, is_new = Keepsakes(tmp_path).get("jwt", new_secret)
    assert is_new
    assert len(value) == 64


@pytest.mark.parametrize("name", ["PORT", "FLOWER_PORT", "EXPORTER_PORT"])
def test_a_taken_port_is_named(environment, taken_port, name):
    with pytest.raises(ConfigurationError, match=f"Port {taken_port} on 127.0.0.1 is taken.*{name}="):
        make_plan({**environment, name: str(taken_port)})


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_an_impossible_port_is_named(environment, port):
    with pytest.raises(ConfigurationError, match="PORT must be a port"):
        make_plan({**environment, "PORT": port})


def test_stores_of_the_user_that_do_not_answer_are_named(environment):
    with pytest.raises(ConfigurationError, match=r"REDIS_URL: .*refused"):
        require_reachable(make_plan({**environment, "REDIS_URL": "redis://127.0.0.1:1/0"}), 0.3)
    with pytest.raises(ConfigurationError, match=r"MONGODB_URI: .*refused"):
        require_reachable(make_plan({**environment, "MONGODB_URI": MONGO}), 0.3)


def test_a_base_url_without_a_key_is_noticed(environment):
    assert "OPENAI_BASE_URL is not used" in banner(make_plan({**environment, "OPENAI_BASE_URL": "http://x/v1"}))


def test_paths_with_spaces_and_percent_signs_reach_the_supervisor(environment, tmp_path):
    plan = make_plan({**environment, "DATA_DIR": str(tmp_path / "50% of my data")})
    assert "/50%% of my data/mongod'" in render(plan, Path("/x.sock"))


def test_leftovers_of_this_stack_only_are_ended(tmp_path):
    def sleeper(data_dir: Path) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"], env={STACK_MARKER: str(data_dir)}
        )

    mine, other = sleeper(tmp_path / "mine"), sleeper(tmp_path / "other")
    try:
        while len(leftovers.find(tmp_path / "mine")) + len(leftovers.find(tmp_path / "other")) < 2:
            assert mine.poll() is None
        assert leftovers.end(tmp_path / "mine") == 1
        assert mine.wait(5) == -9
        assert other.poll() is None
    finally:
        mine.kill()
        other.kill()
        mine.wait()
        other.wait()
