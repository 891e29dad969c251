"""A bot with an end user, and a person who uses it and has an account."""

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.accounts import Actor
from tests.core.links.support import CHAT_ID
from tests.core.support import NewActor, new_key, program_of


@pytest.fixture
def owner(db: Database, new_actor: NewActor) -> Actor:
    """Whose bot it is."""
    return new_actor(5_000)


@pytest.fixture
def vera(db: Database, new_actor: NewActor) -> Actor:
    """Who uses the bot and has an account."""
    return new_actor(20_000)


@pytest.fixture
def bot(container: Container, owner: Actor, upstream: UpstreamControl) -> Actor:
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    program = program_of(new_key(container, owner))
    container.billing.top_up(program, CHAT_ID, 1_500, None)
    return program
