"""Somebody with the free plan, and a clock that moves the month."""

from collections.abc import Iterator

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from tests.core.support import NewActor, SettableClock


@pytest.fixture
def clock(container: Container, processes: list[Container]) -> Iterator[SettableClock]:
    """A clock that a test moves, by which all these processes tell the month."""
    settable = SettableClock()
    wallets = [process.jobs._money._credits for process in processes]
    usual = [each._clock for each in wallets]
    for each in wallets:
        each._clock = settable
    yield settable
    for each, before in zip(wallets, usual, strict=True):
        each._clock = before


@pytest.fixture
def anna(db: Database, new_actor: NewActor, upstream: UpstreamControl) -> Actor:
    """Somebody with the free plan and no tokens."""
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    return new_actor(0)
