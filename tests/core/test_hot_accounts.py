"""Many questions of one account at once, as a program with many users asks them: all are accepted, one by one."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from pymongo.database import Database

from service.adapters.mongo.queues import Queues
from service.bootstrap import Container
from service.domain.accounts import Actor
from tests.core.checker import check_money
from tests.core.queries import RECORDER
from tests.core.support import NewActor, at_once, kinds, submit
from tests.core.test_round_trips import RESERVE

AT_ONCE = 50


def test_many_questions_of_one_account_are_all_accepted_without_repeats(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(10_000_000)
    submit(container, actor)

    def ask(actor: Actor) -> list[str]:
        with RECORDER.sent() as commands:
            submit(container, actor)
            return list(commands)

    results = at_once([partial(ask, actor)] * AT_ONCE)

    assert kinds(results) == {"list": AT_ONCE}
    assert all(commands == ["find chats", *RESERVE] for commands in results), "somebody lost a write conflict"
    check_money(db)


def test_one_has_the_turn_at_a_time() -> None:
    queues, here, most = Queues(timeout_seconds=10), [], []

    def work() -> None:
        with queues.turn("a"):
            here.append(threading.get_ident())
            most.append(len(here))
            here.pop()

    at_once([work] * 20)
    assert most == [1] * 20
    assert queues._queues == {}, "nothing is left of a queue that ended"


def test_others_do_not_wait() -> None:
    queues = Queues(timeout_seconds=10)
    with queues.turn("a"), queues.turn("b"), ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: queues.turn("c").__enter__()).result(1)


def test_whoever_waits_too_long_is_told_as_in_an_outage(container: Container) -> None:
    queues = Queues(timeout_seconds=0.05)
    with queues.turn("a"):
        (late,) = at_once([lambda: queues.turn("a").__enter__()])
        assert isinstance(late, container.outages)
    with queues.turn("a"):
        pass
    assert queues._queues == {}


def test_a_failure_gives_the_turn_away() -> None:
    queues = Queues(timeout_seconds=1)
    with pytest.raises(ValueError, match="oops"), queues.turn("a"):
        raise ValueError("oops")
    with queues.turn("a"):
        pass
