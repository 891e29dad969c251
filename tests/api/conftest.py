"""The application on real servers, and people who call it."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.api.app import create_app
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.jobs import JobStatus
from service.domain.keys import Scope
from service.usecases.ports import JobQuery

PASSWORD = "long enough"


@dataclass(frozen=True)
class Caller:
    """Somebody with a token. Each method is one request; `headers` come on top of the token."""

    client: FlaskClient
    id: str
    name: str
    token: str
    refresh_token: str

    def call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        bearer = {"Authorization": f"Bearer {self.token}"}
        return self.client.open(path, method=method, headers={**bearer, **(headers or {})}, **options)

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, json=body, **options) if body is not None else self.call("POST", path, **options)


@dataclass(frozen=True)
class Program:
    """A client with an API key, as its owner created it."""

    client: FlaskClient
    key: dict[str, Any]

    def call(self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> TestResponse:
        return self.client.open(
            path, method=method, headers={"X-API-Key": self.key["key"], **(headers or {})}, **options
        )

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> TestResponse:
        return self.call("POST", path, json=body, **options) if body is not None else self.call("POST", path, **options)


NewCaller = Callable[..., Caller]


@pytest.fixture(scope="session")
def app(shared_container: Container) -> Flask:
    return create_app(shared_container)


@pytest.fixture
def client(app: Flask, container: Container) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def register(client: FlaskClient, container: Container) -> NewCaller:
    """Registers somebody over HTTP and gives them a role and so many tokens."""

    def make(role: Role = Role.USER, tokens: int = 100_000, **fields: Any) -> Caller:
        name = f"user-{uuid4().hex[:12]}"
        reply = client.post("/api/auth/register", json={"username": name, "password": PASSWORD, **fields})
        assert reply.status_code == 201, reply.text
        user_id = reply.json["userId"]
        root = Actor(account_id="test", role=Role.ADMIN, request_id="test-request")
        container.admin.set_balance(root, user_id, tokens, "test", None)
        if role is not Role.USER:
            container.admin.set_role(root, user_id, role)
        return Caller(client, user_id, name, reply.json["token"], reply.json["refresh_token"])

    return make


@pytest.fixture
def user(register: NewCaller) -> Caller:
    return register()


@pytest.fixture
def admin(register: NewCaller) -> Caller:
    return register(Role.ADMIN)


@pytest.fixture
def support(register: NewCaller) -> Caller:
    return register(Role.SUPPORT)


@pytest.fixture
def program_for(client: FlaskClient, admin: Caller) -> Callable[..., Program]:
    """Creates a key of somebody's over HTTP; an admin grants it these scopes, or all there are."""

    def make(owner: Caller, scopes: list[str] | None = None, **fields: Any) -> Program:
        created = owner.post("/api/keys", {"name": "program", **fields})
        assert created.status_code == 201, created.text
        granted = {"scopes": list(Scope) if scopes is None else scopes}
        reply = admin.post(f"/api/admin/keys/{created.json['keyId']}/scopes", granted)
        assert reply.status_code == 200, reply.text
        return Program(client, created.json)

    return make


@pytest.fixture
def program(program_for: Callable[..., Program], user: Caller) -> Program:
    return program_for(user)


@pytest.fixture
def worker(container: Container) -> Iterator[Callable[[], None]]:
    """Starts somebody who runs what is queued until the test ends."""
    stop, threads = threading.Event(), []
    root = Actor(account_id="test", role=Role.ADMIN, request_id="test-request")

    def work() -> None:
        while not stop.wait(0.02):
            for job in container.admin.jobs(root, JobQuery(status=JobStatus.QUEUED, limit=100)).items:
                container.run(job.id)

    def start() -> None:
        threads.append(threading.Thread(target=work))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()
