"""The provider is asked once a day which models it has and when they end."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.adapters.model_metrics import ModelLivesCollector
from service.adapters.mongo.catalog import MongoCatalog
from service.adapters.mongo.catalog_desk import MongoCatalogDesk, MongoProviderNews
from service.bootstrap import Container
from service.bootstrap.outside import SystemClock
from tests.core.support import ROOT, SettableClock, transactions

MODELS = "/v1/models"


@pytest.fixture
def watch(container: Container, catalog: Database) -> Container:
    return container


def state(container: Container, alias: str) -> Any:
    return {each.entry.model.alias: each for each in container.catalog.desk.models(ROOT)}[alias]


def listed(upstream: UpstreamControl, *models: dict[str, Any]) -> None:
    data = [{"object": "model", "created": 0, "owned_by": "openai", **model} for model in models]
    upstream.rule(path=MODELS, raw_body=json.dumps({"object": "list", "data": data}))


def test_what_the_provider_says_is_kept_and_shown(watch: Container) -> None:
    desk = watch.catalog.desk
    assert (desk.provider_read_at(ROOT), state(watch, "gpt-4o-mini").provider_shutdown_on) == (None, None)
    assert watch.catalog.watch()
    assert state(watch, "gpt-4o-mini").provider_shutdown_on == "2027-01-14"
    assert state(watch, "gpt-6-luna").warning is None
    assert desk.provider_read_at(ROOT) is not None


def test_it_is_asked_once_a_day(watch: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    assert watch.catalog.watch()
    assert not watch.catalog.watch()
    clock = SettableClock()
    clock.time = watch.catalog.watch._clock.now() + timedelta(days=1, seconds=1)
    monkeypatch.setattr(watch.catalog.watch, "_clock", clock)
    assert watch.catalog.watch()
    assert watch.catalog.desk.provider_read_at(ROOT) >= clock.time - timedelta(seconds=1)


def test_while_it_is_away_what_was_known_stays_and_it_is_asked_again_soon(
    watch: Container, catalog: Database, upstream: UpstreamControl
) -> None:
    assert watch.catalog.watch()
    old = watch.catalog.watch._clock.now() - timedelta(days=2)
    catalog.provider_models.update_one({}, {"$set": {"read_at": old}})
    upstream.rule(path=MODELS, status=503)
    assert not watch.catalog.watch()
    assert state(watch, "gpt-4o-mini").provider_shutdown_on == "2027-01-14"
    upstream.clear()
    assert watch.catalog.watch()


def test_a_model_that_is_gone_or_ends_is_told_to_operators(watch: Container, upstream: UpstreamControl) -> None:
    soon = (datetime.now(UTC).date() + timedelta(days=10)).isoformat()
    listed(upstream, {"id": "gpt-6-luna", "shutdown_date": soon}, {"id": "gpt-5.4-mini"})
    with structlog.testing.capture_logs() as logs:
        assert watch.catalog.watch()
    (warned,) = [line for line in logs if line["event"] == "model needs a look"]
    assert (warned["model"], warned["warning"], warned["log_level"]) == ("gpt-6-luna", "no_successor", "warning")
    assert warned["days_left"] in (9, 10)
    assert "coach" in warned["assistants"]
    assert state(watch, "gpt-6-sol").warning == "missing"
    assert state(watch, "gpt-5.4-mini").warning is None


@pytest.mark.parametrize("value", [1800000000, "soon", "", [], {}, True, "2027-02-30"])
def test_a_date_that_is_none_is_no_date(watch: Container, upstream: UpstreamControl, value: Any) -> None:
    listed(upstream, {"id": "gpt-6-luna", "shutdown_date": value})
    assert watch.catalog.watch()
    assert state(watch, "gpt-6-luna").warning is None


def test_the_days_that_are_left_are_a_metric(watch: Container) -> None:
    watch.catalog.watch()
    registry = CollectorRegistry()
    desk, news = MongoCatalogDesk(MongoCatalog("gpt-6-luna"), transactions()), MongoProviderNews()
    registry.register(ModelLivesCollector(desk=desk, news=news, clock=SystemClock()))
    text = generate_latest(registry).decode()
    assert 'llm_model_days_left{model="gpt-6-luna"} +Inf' in text
    left = state(watch, "gpt-4o-mini").days_left
    assert f'llm_model_days_left{{model="gpt-4o-mini"}} {float(left)}' in text
