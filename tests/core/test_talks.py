"""Talking message by message: the pause between two messages, shared by all processes, and whose talk it is."""

from dataclasses import replace

import pytest
from pymongo.database import Database

from devstack.servers import RedisServer
from service.bootstrap import Container
from service.domain.accounts import Role
from service.domain.errors import Forbidden, InsufficientTokens, InvalidMessage, RateLimited
from tests.core.checker import check_money
from tests.core.conftest import Build
from tests.core.support import NewActor, at_once, kinds, new_key, program_of, spread, submit


def test_of_many_messages_at_once_one_is_accepted(build: Build, db: Database, new_actor: NewActor) -> None:
    processes, anna = [build(rate_limit_ms=60_000) for _ in range(2)], new_actor()
    results = at_once(spread(lambda container: container.talks.say(anna, "now"), processes, 8))
    assert kinds(results) == {"Job": 1, "RateLimited": 7}
    check_money(db)


def test_a_pause_is_over_to_the_millisecond(build: Build, db: Database, new_actor: NewActor) -> None:
    pauses = build().talks._pauses
    assert pauses.begin("test", "anna", 60_000) is None
    left = pauses.begin("test", "anna", 60_000)
    assert left is not None
    assert 59_000 < left <= 60_000
    assert pauses.begin("test", "boris", 60_000) is None
    assert pauses.begin("other", "anna", 60_000) is None


def test_without_redis_each_process_counts(build: Build, db: Database, new_actor: NewActor, redis: RedisServer) -> None:
    talks, anna = build(rate_limit_ms=60_000).talks, new_actor()
    redis.kill()
    try:
        talks.say(anna, "the first")
        with pytest.raises(RateLimited) as refused:
            talks.say(anna, "the second")
        assert 59 <= refused.value.retry_after_seconds <= 60
    finally:
        redis.start()


@pytest.mark.parametrize("message", ["", " \n", "x" * 10_001])
def test_a_refused_message_begins_no_pause(build: Build, db: Database, new_actor: NewActor, message: str) -> None:
    talks, anna = build(rate_limit_ms=60_000).talks, new_actor()
    with pytest.raises(InvalidMessage):
        talks.say(anna, message)
    talks.say(anna, "a good one")


def test_guests_talk_for_nothing_and_others_for_tokens(build: Build, db: Database, new_actor: NewActor) -> None:
    container = build(rate_limit_ms=1)
    guest, anna = new_actor(0, role=Role.GUEST), new_actor()
    free, paid = container.talks.say(guest, "hello"), container.talks.say(anna, "hello")
    assert (free.assistant, free.meter, free.hold) == ("stream", "free", 0)
    assert (paid.assistant, paid.meter, paid.hold > 0) == ("stream", "tokens", True)
    with pytest.raises(InsufficientTokens):
        submit(container, guest, "elsewhere they have what guests are given")
    with pytest.raises(InsufficientTokens):
        container.talks.say(new_actor(0), "whoever is registered pays")
    container.run(free.id)
    done = container.jobs.get(guest, free.id)
    assert (done.status, done.charged, done.balance_after) == ("succeeded", 0, 0)
    assert [row["amount"] for row in db.ledger.find({"job_id": free.id})] == [0, 0]
    check_money(db)


def test_a_key_of_a_guests_program_is_no_guest(build: Build, db: Database, new_actor: NewActor) -> None:
    """Whoever asks through a key pays, whoever the key is for."""
    container, guest = build(), new_actor(0, role=Role.GUEST)
    program = replace(program_of(new_key(container, new_actor())), account_id=guest.account_id, role=Role.GUEST)
    for assistant in ("stream", "bizlevel"):
        with pytest.raises(InsufficientTokens):
            submit(container, program, assistant=assistant)
        with pytest.raises(InsufficientTokens):
            submit(container, program, user_id="4242", assistant=assistant)


def test_guests_talk_so_much_a_day(build: Build, db: Database, new_actor: NewActor) -> None:
    container = build(guest_messages_per_day=2, guest_messages_per_day_and_address=3)
    anna, boris = new_actor(0, role=Role.GUEST), new_actor(0, role=Role.GUEST)
    for _ in range(2):
        submit(container, anna, assistant="bizlevel")
    with pytest.raises(RateLimited) as refused:
        submit(container, anna, assistant="stream")
    assert 60 < (refused.value.retry_after_seconds or 0) <= 86_400
    submit(container, boris, assistant="bizlevel")
    with pytest.raises(RateLimited):
        submit(container, boris, assistant="bizlevel")
    submit(container, replace(boris, address="elsewhere"), assistant="bizlevel")
    submit(container, new_actor(), assistant="bizlevel")
    check_money(db)


def test_guests_share_the_pause_of_their_address(build: Build, db: Database, new_actor: NewActor) -> None:
    talks = build(rate_limit_ms=60_000).talks
    talks.say(new_actor(role=Role.GUEST), "the first")
    with pytest.raises(RateLimited):
        talks.say(new_actor(role=Role.GUEST), "the second")
    talks.say(new_actor(), "of somebody registered")


def test_the_last_question_is_the_last_of_the_talk(container: Container, db: Database, new_actor: NewActor) -> None:
    anna, boris = new_actor(), new_actor()
    assert container.talks.last(anna) is None
    job = container.talks.say(anna, "by socket")
    submit(container, anna, "by HTTP")
    found = container.talks.last(anna)
    assert found is not None
    assert (found.id, found.stream, found.channel) == (job.id, True, "socket")
    assert container.talks.last(boris) is None


def test_a_session_is_its_accounts(container: Container, db: Database, new_actor: NewActor) -> None:
    anna, boris = new_actor(), new_actor()
    session_id = container.talks.say(anna, "mine").session_id
    assert session_id is not None
    container.talks.check_session(anna, session_id)
    container.talks.say(boris, "mine")
    for somebody, wrong in ((boris, session_id), (anna, ""), (anna, "unknown"), (new_actor(), session_id)):
        with pytest.raises(Forbidden):
            container.talks.check_session(somebody, wrong)
