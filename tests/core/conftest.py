"""More of the engine than the one container that all tests share."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from pydantic import SecretStr
from pymongo import MongoClient, monitoring
from pymongo.database import Database

from devstack.servers import MongoServer
from devstack.yookassa import SECRET_KEY, SHOP_ID
from devstack.yookassa_control import YooKassaControl, YooKassaServer
from service import bootstrap
from service.bootstrap import Container
from service.settings import Settings
from tests.core.queries import RECORDER

# Clients made from now on are heard: this file is loaded before any test connects.
monitoring.register(RECORDER)
# The console's own way to show an error takes a second.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
)

Build = Callable[..., Container]


@pytest.fixture(scope="session")
def client(mongo: MongoServer) -> Iterator[MongoClient]:
    """A connection of the tests' own, which waits for no disk."""
    with MongoClient(mongo.uri, tz_aware=True, w=1, journal=False) as client:
        yield client


@pytest.fixture
def db(client: MongoClient, container: Container) -> Database:
    """The database itself, to look at what is stored; emptied of all but the catalog."""
    database = client.get_default_database()
    for name in database.list_collection_names():
        if name not in ("models", "assistants"):
            database[name].delete_many({})
    return database


@pytest.fixture(scope="session")
def other_processes(settings: Settings, shared_container: Container) -> list[Container]:
    return [bootstrap.build(settings) for _ in range(3)]


@pytest.fixture
def processes(container: Container, other_processes: list[Container]) -> list[Container]:
    """The container and others like it: what one process does in order, several do at the same time."""
    return [container, *other_processes]


@pytest.fixture
def build(settings: Settings, container: Container) -> Build:
    """Makes a container with other settings (not of MongoDB: there is one connection in a process)."""

    def make(**changes: Any) -> Container:
        secret = {name: SecretStr(value) for name, value in changes.items() if name in ("openai_api_key", "redis_url")}
        return bootstrap.build(settings.model_copy(update={**changes, **secret}))

    return make


@pytest.fixture
def question() -> str:
    """A question that nobody asked before, by which the calls of one test are found in the stand-in's journal."""
    return f"question {uuid4().hex}"


@pytest.fixture(scope="session")
def yookassa_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[YooKassaServer]:
    with YooKassaServer(tmp_path_factory.mktemp("yookassa")) as server:
        yield server


@pytest.fixture
def yookassa(yookassa_server: YooKassaServer) -> YooKassaControl:
    """YooKassa without payments, and with its controls."""
    control = yookassa_server.control
    control.clear()
    return control


@pytest.fixture
def build_shop(build: Build, yookassa_server: YooKassaServer, yookassa: YooKassaControl) -> Build:
    """Makes a container in which people pay by YooKassa, which has a second to answer."""
    connected = {
        "payment_provider": "yookassa",
        "yookassa_shop_id": SHOP_ID,
        "yookassa_secret_key": SecretStr(SECRET_KEY),
        "yookassa_api_url": yookassa_server.api_url,
        "yookassa_timeout_seconds": 1.0,
    }
    return lambda **changes: build(**{**connected, **changes})


@pytest.fixture
def shop(build_shop: Build) -> Container:
    return build_shop()


@pytest.fixture
def catalog(db: Database, processes: list[Container]) -> Iterator[Database]:
    """The database, whose models and assistants are as before when the test is over; every process has to read them."""
    names = ("models", "assistants", "provider_models")
    before = {name: list(db[name].find({})) for name in names}

    def forget() -> None:
        for process in processes:
            process.catalog.desk._desk._catalog.memory.forget()

    forget()
    yield db
    for name, rows in before.items():
        db[name].delete_many({})
        if rows:
            db[name].insert_many(rows)
    forget()
