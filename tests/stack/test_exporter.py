"""The exporter when what it watches hangs: exactly then it must be heard."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from devstack.parts import REPOSITORY, Exporter
from devstack.servers import MongoServer, RedisServer

pytestmark = pytest.mark.e2e

# For the way and for a machine that has more to do.
ROOM_SECONDS = 1.0


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[MongoServer, RedisServer]]:
    with MongoServer(tmp_path / "mongo") as mongo, RedisServer(tmp_path / "redis") as redis:
        yield mongo, redis


@pytest.fixture
def exporter(servers: tuple[MongoServer, RedisServer], tmp_path: Path) -> Iterator[Exporter]:
    mongo, redis = servers
    directory = tmp_path / "exporter"
    directory.mkdir()
    settings = {
        "mongodb_uri": mongo.uri,
        "redis_url": redis.uri,
        "openai_api_key": "none",
        "jwt_secret_key": "only for the tests of the exporter",
    }
    with Exporter(directory, settings) as exporter:
        yield exporter


def up(exporter: Exporter, timeout_seconds: float) -> dict[str, float]:
    text = requests.get(f"{exporter.url}/metrics", timeout=timeout_seconds).text
    found = (line.partition('source="')[2].partition('"} ') for line in text.splitlines() if "source_up{" in line)
    return {source: float(value) for source, _, value in found}


def test_sources_that_hang_are_told_before_prometheus_gives_up(
    servers: tuple[MongoServer, RedisServer], exporter: Exporter
) -> None:
    scrape = yaml.safe_load((REPOSITORY / "deploy/prometheus/prometheus.yml").read_text())["global"]["scrape_timeout"]
    patience = float(scrape.removesuffix("s"))
    assert up(exporter, patience) == {"mongodb": 1, "redis": 1}
    for server in servers:
        server.pause()
    try:
        # With connections from before, and without any that are good.
        for _ in range(2):
            began = time.monotonic()
            assert up(exporter, 3 * patience) == {"mongodb": 0, "redis": 0}
            assert time.monotonic() - began < patience - ROOM_SECONDS
    finally:
        for server in servers:
            server.resume()
    assert up(exporter, patience) == {"mongodb": 1, "redis": 1}
