"""How many connections one account, address or key may hold in one process."""

from dataclasses import replace

import pytest

from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.errors import RateLimited
from service.usecases.connections import Connections, names_of, names_of_nobody
from tests.core.support import NewActor, at_once, kinds, new_key, program_of

ANNA = Actor(account_id="anna", role=Role.USER, request_id="test-request", address="192.0.2.1")
BORIS = replace(ANNA, account_id="boris")
GUEST = replace(ANNA, account_id="guest", role=Role.GUEST)


@pytest.fixture
def connections(container: Container) -> Connections:
    return Connections(per_account=2, per_key=3, telemetry=container.metrics)


def test_a_place_that_is_left_is_free_again(connections: Connections) -> None:
    first, _ = connections.enter(ANNA), connections.enter(ANNA)
    with pytest.raises(RateLimited) as refused:
        connections.enter(ANNA)
    assert refused.value.details == {"connections": ["too_many_connections:2"]}
    connections.enter(BORIS)
    first.leave()
    first.leave()
    connections.enter(ANNA)
    with pytest.raises(RateLimited):
        connections.enter(ANNA)


def test_guests_share_their_address_with_those_without_a_name(connections: Connections) -> None:
    connections.enter(GUEST)
    nobody = connections.nowhere()
    nobody.move(names_of_nobody(GUEST.address))
    with pytest.raises(RateLimited):
        connections.enter(replace(GUEST, account_id="another guest"))
    connections.enter(ANNA)
    nobody.move(names_of(BORIS))
    connections.enter(replace(GUEST, account_id="another guest"))


def test_who_may_not_move_stays_counted_where_it_was(connections: Connections) -> None:
    moving = connections.enter(ANNA)
    for _ in range(2):
        connections.enter(BORIS)
    with pytest.raises(RateLimited):
        moving.move(names_of(BORIS))
    connections.enter(ANNA)
    with pytest.raises(RateLimited):
        connections.enter(ANNA)
    moving.leave()
    connections.enter(ANNA)


def test_staying_the_same_takes_no_second_place(connections: Connections) -> None:
    place = connections.enter(GUEST)
    for _ in range(5):
        place.move(names_of(GUEST))
    connections.enter(GUEST)


def test_a_program_has_a_limit_of_its_own(container: Container, connections: Connections, new_actor: NewActor) -> None:
    owner = new_actor()
    program = program_of(new_key(container, owner))
    for _ in range(3):
        connections.enter(program)
    with pytest.raises(RateLimited):
        connections.enter(program)
    connections.enter(owner)


def test_zero_is_no_limit(container: Container) -> None:
    unlimited = Connections(per_account=0, per_key=0, telemetry=container.metrics)
    for _ in range(1000):
        unlimited.enter(GUEST)


def test_of_many_at_once_as_many_enter_as_may(container: Container) -> None:
    connections = Connections(per_account=5, per_key=0, telemetry=container.metrics)
    assert kinds(at_once([lambda: connections.enter(ANNA)] * 16)) == {"Place": 5, "RateLimited": 11}


def test_nothing_is_remembered_of_who_left(connections: Connections) -> None:
    for actor in (ANNA, BORIS, GUEST):
        with connections.enter(actor):
            assert connections._open
    assert not connections._open
