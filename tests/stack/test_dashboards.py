"""Every panel of every dashboard shows something: its expressions, asked of a real Prometheus that scraped a real stack
on which everything has happened that panels tell of."""

import json
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests

from devstack.binaries import MissingBinaryError
from devstack.parts import REPOSITORY, Exporter, Web
from devstack.prometheus import PrometheusServer, find_prometheus
from service.adapters.celery_app import publisher_app
from tests.core.receivers import receiving
from tests.stack.stack import Person, StackUnderTest, eventually
from tests.stack.ws import Page, rest

pytestmark = pytest.mark.e2e

MOST_CONNECTIONS = 2
# What Grafana would put in; wide enough for both rounds of traffic.
WINDOW = "60s"
PANELS = [
    (path.stem, panel["title"], target["expr"].replace("$__rate_interval", WINDOW).replace("$__range", WINDOW))
    for path in sorted((REPOSITORY / "deploy" / "grafana" / "dashboards").glob("*.json"))
    for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
    for target in panel["targets"]
]


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        return find_prometheus()
    except MissingBinaryError as missing:
        pytest.skip(f"DASHBOARDS WERE NOT TESTED: {missing}")


@pytest.fixture(scope="module")
def strict_web(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """One more web process, where few connections are many. It counts together with the others."""
    settings = {**stack.environment, "max_connections_per_account": str(MOST_CONNECTIONS)}
    with Web(tmp_path_factory.mktemp("strict-web"), settings, "strict-web") as web:
        yield web


@pytest.fixture(scope="module")
def exporter(stack: StackUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    with Exporter(tmp_path_factory.mktemp("exporter"), stack.environment) as exporter:
        yield exporter


@pytest.fixture(scope="module")
def prometheus(
    program: Path, stack: StackUnderTest, exporter: Exporter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    directory: Path = tmp_path_factory.mktemp("prometheus")
    targets = {"web": f"127.0.0.1:{stack.web.port}", "exporter": f"127.0.0.1:{exporter.port}"}
    with PrometheusServer(directory, targets, [REPOSITORY / "deploy/prometheus/alerts.yml"]) as server:
        yield server


def use_everything(stack: StackUnderTest, strict_web: Web, person: Person, admin: Person) -> None:
    """One of each thing that a panel tells of."""
    stack.upstream.clear()
    stack.upstream.rule(contains="refuse this", status=400, error={"message": "no", "code": "bad"})
    with receiving() as receiver:
        person.final(person.submit("tell me", callbackUrl=receiver.url, stream=True))
        eventually(lambda: receiver.heard)
    assert person.final(person.submit("refuse this"))["status"] == "failed"
    person.final(person.submit("plan this", assistant="planner"))
    bot = person.new_key("bot")
    assert bot.call("POST", "/api/bot/ask", json={"wait": 20, "message": "hello"}).json()["text"]
    bot.call("POST", "/api/bot/link", json={"userId": 4242, "code": "AAAA-AAAA"})
    person.call("POST", "/api/ai/test-connection")
    person.call("POST", "/api/billing/topup", json={"amount": 1_000_000})
    person.call("POST", "/api/billing/redeem", json={"code": "AAAA-BBBB-CCCC-DDDD"})
    assert admin.call("DELETE", f"/api/admin/user/{stack.register().account_id}").ok
    refused(stack, person, admin)
    one_too_many(stack, strict_web, person)


def refused(stack: StackUnderTest, person: Person, admin: Person) -> None:
    """One request of each status that panels show."""
    assert person.call("POST", "/api/chat", json={"message": 7}).status_code == 400
    assert requests.get(f"{stack.web.url}/api/billing", timeout=10).status_code == 401
    assert person.call("GET", "/api/admin/users").status_code == 403
    assert person.call("GET", "/api/chat/jobs/nothing").status_code == 404
    poor = stack.register()
    emptied = admin.call("POST", f"/api/admin/user/{poor.account_id}/balance", json={"amount": 0, "reason": "test"})
    assert emptied.status_code == 200, emptied.text
    assert poor.call("POST", "/api/chat", json={"message": "for nothing"}).status_code == 402


def one_too_many(stack: StackUnderTest, web: Web, person: Person) -> None:
    with ExitStack() as pages:
        for _ in range(MOST_CONNECTIONS):
            rest(stack)
            pages.enter_context(Page(web.url, f"/?token={person.token}")).say("hello").has("done")
        refusal = Person(web.url, person.account_id, person.token)
        waiting = refusal.call("POST", "/api/chat", json={"message": "too many"}, headers={"Prefer": "wait=5"})
        assert waiting.status_code == 429, waiting.text


def administrator(stack: StackUnderTest) -> Person:
    person = stack.register()
    stack.db.accounts.update_one({"_id": person.account_id}, {"$set": {"role": "admin"}})
    return person


def final_jobs(stack: StackUnderTest) -> int:
    return int(stack.db.jobs.count_documents({"status": {"$in": ["succeeded", "failed", "cancelled"]}}))


def shown(samples: list[dict[str, Any]]) -> bool:
    """Whether a panel would draw something; 0 divided by 0 is nothing."""
    return any(not math.isnan(float(sample["value"][1])) for sample in samples)


def test_every_panel_shows_something_and_a_healthy_stack_fires_no_alert(
    stack: StackUnderTest, strict_web: Web, prometheus: PrometheusServer
) -> None:
    person, admin = stack.register(), administrator(stack)
    publisher_app(stack.redis.uri).send_task("workers.tasks.measure", queue="upkeep")
    eventually(lambda: total(prometheus, 'min(up{job="web"})') == 1)
    for _ in range(2):
        # What is counted for the first time has no rate yet: Prometheus has to see it, and see it grow. Workers that
        # were killed took some with them, so that only the growth is that of the database.
        told, final = total(prometheus, "sum(chat_jobs_total)"), final_jobs(stack)
        closed = total(prometheus, "sum(socket_seconds_count)")
        use_everything(stack, strict_web, person, admin)
        wanted = told + final_jobs(stack) - final
        eventually(lambda n=wanted: total(prometheus, "sum(chat_jobs_total)") >= n)
        # Told last, when the web process has noticed that they are closed.
        eventually(lambda n=closed + MOST_CONNECTIONS: total(prometheus, "sum(socket_seconds_count)") >= n)
    empty = dict.fromkeys(PANELS)

    def all_show() -> bool:
        for panel in list(empty):
            if shown(prometheus.query(panel[2])):
                del empty[panel]
        return not empty

    try:
        eventually(all_show, 20)
    except AssertionError:
        pytest.fail("panels that show nothing:\n" + "\n".join(" | ".join(panel) for panel in empty))
    assert total(prometheus, "sum(ledger_wallets_wrong)") == 0
    assert set(prometheus.alerts()) <= {"ProviderErrors", "JobsFailing", "NoWorkers"}


def total(prometheus: PrometheusServer, expression: str) -> float:
    samples = prometheus.query(expression)
    return float(samples[0]["value"][1]) if samples else 0.0


def test_a_wallet_that_was_tampered_with_raises_the_alarm(stack: StackUnderTest, prometheus: PrometheusServer) -> None:
    victim = stack.register()
    stack.db.wallets.update_one({"_id": victim.account_id}, {"$inc": {"available": 5}})
    try:
        eventually(lambda: "LedgerDrift" in prometheus.alerts(), 40)
        assert total(prometheus, "max(ledger_drift)") == 5
    finally:
        stack.db.wallets.update_one({"_id": victim.account_id}, {"$inc": {"available": -5}})


def test_no_metric_names_a_person(stack: StackUnderTest, exporter: Exporter) -> None:
    person = stack.register()
    texts = [requests.get(f"{part.url}/metrics", timeout=10).text for part in (stack.web, exporter)]
    ids = {row["_id"] for row in stack.db.accounts.find({}, {"_id": 1})}
    assert person.account_id in ids
    assert not [name for name in ids for text in texts if name in text]
