"""A stack with the passwords, users and key file of production: each secret is rotated as docs/operations.md says."""

from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
import requests
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from devstack.parts import Exporter
from tests.core.checker import check_money
from tests.scripts import run_script
from tests.stack.secured import SecuredStack, users_of, write_secret
from tests.stack.stack import PASSWORD, Person, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredStack]:
    with SecuredStack(tmp_path_factory.mktemp("secured")) as stack:
        yield stack


@pytest.fixture
def secured(running: SecuredStack) -> Iterator[SecuredStack]:
    yield running
    assert running.register().submit("still at work")
    eventually(lambda: running.db.jobs.count_documents({"status": {"$in": ["queued", "running"]}}) == 0)
    check_money(running.db)


def answered(person: Person, question: str) -> None:
    assert person.final(person.submit(question))["status"] == "succeeded"


def told_by(exporter: Exporter) -> dict[str, float]:
    lines = requests.get(f"{exporter.url}/metrics", timeout=10).text.splitlines()
    samples = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


def refused(client: MongoClient, database: str) -> bool:
    """Whether somebody who may be logged in may not read this database."""
    with client, pytest.raises(OperationFailure) as failure:
        client[database]["accounts"].find_one()
    return failure.value.code in (13, 18)


def test_the_service_does_all_its_work_with_the_rights_that_it_has(secured: SecuredStack, tmp_path: Path) -> None:
    person = secured.register()
    answered(person, "with a password")
    with Exporter(tmp_path / "exporter", secured.environment) as exporter:
        eventually(lambda: told_by(exporter).get('ledger_wallets_checked_total{unit="tokens"}', 0) > 0)
        assert told_by(exporter)['ledger_drift{unit="tokens"}'] == 0
    kept_at = Path(run_script("backup.sh", secured.environment, tmp_path / "backups"))

    for part in (secured.scheduler, *secured.workers, secured.web):
        part.stop()
    with secured.mongo.root() as root:
        root.drop_database("talkmeter")
    secured.redis_client.flushall()
    run_script("restore.sh", secured.environment, kept_at)
    secured.restart()

    assert [job["charged"] > 0 for job in person.call("GET", "/api/chat/jobs").json()["jobs"]] == [True]
    answered(person, "and after a restore")


def test_everybody_in_the_database_sees_what_is_theirs_and_no_more(secured: SecuredStack) -> None:
    mongo, password = secured.mongo, secured.secret("mongo_monitor_password")
    with mongo.client("monitor", password) as monitor:
        assert monitor.admin.command("serverStatus")["ok"] == monitor.admin.command("replSetGetStatus")["ok"] == 1
    assert refused(mongo.client("monitor", password), "talkmeter")
    assert refused(MongoClient(secured.mongo.uri), "local")
    assert refused(MongoClient(secured.mongo.uri), "another")
    assert refused(MongoClient("127.0.0.1", mongo.port, directConnection=True), "talkmeter")
    assert refused(mongo.client("monitor", "a guess"), "talkmeter")


def test_the_databases_password_is_rotated(secured: SecuredStack) -> None:
    """A second user with the same role, its address, a restart; then the first one goes."""
    person, old = secured.register(), secured.mongo.uri
    first = next(user for user in users_of(secured.secrets) if user["user"] == "talkmeter")
    with secured.mongo.root() as root:
        root.admin.command("createUser", "talkmeter2", pwd="another", roles=first["roles"])
        new = old.replace(f"talkmeter:{secured.secret('mongo_password')}@", "talkmeter2:another@")
        write_secret(secured.secrets, "mongodb_uri", new)
        secured.restart()
        root.admin.command("dropUser", "talkmeter")
    assert refused(MongoClient(old), "talkmeter")
    answered(person, "under another name")


def test_the_password_of_redis_is_rotated_and_no_question_is_lost(secured: SecuredStack) -> None:
    person, old = secured.register(), secured.secret("redis_password")
    for worker in secured.workers:
        worker.stop()
    waiting = [person.submit(f"asked before {n}") for n in range(3)]
    for name in ("redis_password", "redis_url", "redis.conf", "redis_exporter.json"):
        assert old in secured.secret(name)
        write_secret(secured.secrets, name, secured.secret(name).replace(old, "another"))
    secured.redis.restart()
    secured.restart()

    assert (secured.opens_redis(old), secured.opens_redis("another")) == (False, True)
    assert {person.final(job_id)["status"] for job_id in waiting} == {"succeeded"}
    answered(person, "asked after")


def test_after_the_key_of_tokens_everybody_logs_in_again_and_programs_go_on(secured: SecuredStack) -> None:
    person = secured.register()
    program = person.new_key("chat")
    name = person.call("GET", "/api/auth/me").json()["username"]
    write_secret(secured.secrets, "jwt_secret_key", token_hex(32))
    secured.restart()

    assert person.call("GET", "/api/billing").status_code == 401
    answered(program, "from a program")
    login = {"username": name, "password": PASSWORD}
    reply = requests.post(f"{secured.web.url}/api/auth/login", json=login, timeout=10)
    answered(Person(secured.web.url, person.account_id, reply.json()["token"]), "from somebody who is back")


def test_a_new_key_of_the_provider_is_used_after_a_restart(secured: SecuredStack) -> None:
    person, old = secured.register(), secured.secret("openai_api_key")
    write_secret(secured.secrets, "openai_api_key", f"sk-another-one,{old}")
    for worker in secured.workers:
        worker.restart()
    answered(person, "with another key")
    (call,) = secured.upstream.journal(contains="with another key")
    assert call["authorization"].endswith("one")
