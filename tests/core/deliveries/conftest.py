"""Somebody who asks, somebody who is told, and a container that may tell them."""

from collections.abc import Iterator

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from tests.core.conftest import Build
from tests.core.receivers import Receiver, receiving
from tests.core.support import NewActor


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def calling(build: Build) -> Container:
    """A container that may call this machine, and waits two seconds for an answer."""
    return build(webhook_allowed_hosts="127.0.0.1", webhook_timeout_seconds=2.0)


@pytest.fixture
def actor(db: Database, new_actor: NewActor, upstream: UpstreamControl) -> Actor:
    upstream.rule(answer="pong")
    return new_actor(1_000_000)
