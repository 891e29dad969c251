"""Who follows an answer for a client stops when somebody says that the client is gone."""

import threading
import time

import pytest
from pymongo.database import Database

from service.adapters.metrics import STREAMS_OPEN
from service.bootstrap import Container
from service.usecases.follow import HEARTBEAT_SECONDS, Departure
from tests.core.support import NewActor, submit


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_following_ends_at_once(
    container: Container, db: Database, new_actor: NewActor, stream: bool, delay: float
) -> None:
    job, departure, open_before = submit(container, new_actor(), stream=stream), Departure(), STREAMS_OPEN._value.get()
    began = time.monotonic()
    if delay:
        threading.Timer(delay, departure.announce).start()
    else:
        departure.announce()
    assert list(container.follow(job, departure=departure)) == []
    assert delay <= time.monotonic() - began < HEARTBEAT_SECONDS / 3
    assert STREAMS_OPEN._value.get() == open_before
    assert departure._tells == []


def test_one_departure_ends_several(container: Container, db: Database, new_actor: NewActor) -> None:
    actor, departure = new_actor(), Departure()
    jobs = [submit(container, actor, stream=True) for _ in range(3)]
    followers = [
        threading.Thread(target=list, args=[container.follow(job, departure=departure)], daemon=True) for job in jobs
    ]
    for follower in followers:
        follower.start()
    departure.announce()
    for follower in followers:
        follower.join(HEARTBEAT_SECONDS / 3)
    assert not any(follower.is_alive() for follower in followers)
