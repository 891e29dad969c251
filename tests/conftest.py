"""Real MongoDB, Redis and a model stand-in for every test that needs them, started once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from redis import Redis
from xdist.scheduler import LoadScopeScheduling

from devstack.quick_settings import quick_settings
from devstack.servers import MongoServer, RedisServer, UpstreamServer
from devstack.upstream_control import UpstreamControl
from service import bootstrap
from service.adapters.mongo.catalog import seed
from service.adapters.mongo.documents import create_indexes
from service.domain.accounts import Actor, Role
from service.settings import Settings
from service.usecases.accounts import Registration

# Files whose tests share processes that take long to start: one of the two that `make test` runs gets all of a file.
WHOLE = {f"tests/stack/test_{name}.py" for name in ("dashboards", "failover", "logs", "proxy", "secrets", "stalls")}


class OneByOne(LoadScopeScheduling):
    """Hands out single tests in their order, but those files whole. `--dist loadgroup`, which is for this, does nothing
    with the pytest that we have (pytest-xdist, issue 1386)."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return path if path in WHOLE else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneByOne:
    return OneByOne(config, log)


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with MongoServer(tmp_path_factory.mktemp("mongo")) as server:
        yield server


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def upstream_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpstreamServer]:
    directory: Path = tmp_path_factory.mktemp("upstream")
    with UpstreamServer(directory) as server:
        yield server


@pytest.fixture
def upstream(upstream_server: UpstreamServer) -> Iterator[UpstreamControl]:
    """The stand-in's controls, without rules at the start and the end."""
    control = upstream_server.control
    control.clear()
    yield control
    control.clear()


@pytest.fixture(scope="session")
def settings(mongo: MongoServer, redis: RedisServer, upstream_server: UpstreamServer) -> Settings:
    return Settings(_env_file=None, **quick_settings(mongo, redis, upstream_server))


@pytest.fixture(scope="session")
def shared_container(settings: Settings) -> bootstrap.Container:
    container = bootstrap.build(settings)
    create_indexes()
    seed()
    return container


@pytest.fixture
def container(shared_container: bootstrap.Container, redis: RedisServer) -> bootstrap.Container:
    """The object graph as web and workers have it, on an empty Redis."""
    with Redis.from_url(redis.uri) as client:
        client.flushall()
    return shared_container


@pytest.fixture
def db(mongo: MongoServer, container: bootstrap.Container) -> Iterator[Database]:
    """The database itself, to look at what is stored; emptied of all but the catalog."""
    with MongoClient(mongo.uri, tz_aware=True) as client:
        database = client.get_default_database()
        for name in database.list_collection_names():
            if name not in ("models", "assistants"):
                database[name].delete_many({})
        yield database


@pytest.fixture
def new_actor(container: bootstrap.Container) -> Callable[..., Actor]:
    """Makes an account with so many tokens and says who it is."""

    def make(tokens: int = 100_000, role: Role = Role.USER) -> Actor:
        name = f"user-{uuid4().hex[:12]}"
        logged_in = container.accounts.register(Registration(password="long enough", username=name), address="test")
        root = Actor(account_id="test", role=Role.ADMIN, request_id="test-request")
        container.admin.set_balance(root, logged_in.account.id, tokens, "test", None)
        return Actor(account_id=logged_in.account.id, role=role, request_id="test-request", login_id=logged_in.login.id)

    return make
