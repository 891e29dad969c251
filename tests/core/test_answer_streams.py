"""The streams in Redis by themselves: every follower gets every character once, whatever Redis forgets meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from devstack.servers import RedisServer
from service.adapters.mongo.jobs import MongoJobs
from service.adapters.outages import OUTAGES
from service.adapters.redis.client import BestEffort, connect
from service.adapters.redis.events import RedisJobEvents
from service.adapters.redis.followers import BLOCK_SECONDS, RedisAnswerFollowers
from service.adapters.redis.streams import RedisAnswerWriter, assembled, stream_key
from service.bootstrap import Container
from service.usecases.ports import Followed

LONG = 10.0
FLUSH = "\N{WASTEBASKET}"


def new_followers(url: str) -> RedisAnswerFollowers:
    """As a web process has them."""
    redis, best_effort = connect(url), BestEffort()
    return RedisAnswerFollowers(url, redis, best_effort, RedisJobEvents(redis, best_effort, MongoJobs(), OUTAGES))


@pytest.fixture(scope="module")
def writer(redis: RedisServer) -> RedisAnswerWriter:
    return RedisAnswerWriter(connect(redis.uri), BestEffort())


@pytest.fixture(scope="module")
def followers(redis: RedisServer) -> RedisAnswerFollowers:
    return new_followers(redis.uri)


@pytest.fixture
def inspector(container: Container, redis: RedisServer) -> Iterator[Redis]:
    """A connection of the tests' own."""
    with Redis.from_url(redis.uri) as client:
        yield client


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.005)


def grown(follower: Followed, text: str) -> bool:
    until(lambda: len(follower.text) >= len(text))
    return follower.text == text


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.text(min_size=1, max_size=8), st.just(FLUSH)), min_size=1, max_size=8))
def test_what_is_shown_is_what_is_seen(
    writer: RedisAnswerWriter, followers: RedisAnswerFollowers, inspector: Redis, steps: list[str]
) -> None:
    """The first follower is there from the start, another joins after each step; Redis is emptied now and then."""
    job_id, text = uuid4().hex, ""
    with ExitStack() as stack:
        joined = [stack.enter_context(followers.follow(job_id, live=True))]
        for step in steps:
            if step == FLUSH:
                inspector.flushall()
                continue
            text += step
            writer.show(job_id, text)
            assert grown(joined[0], text)
            joined.append(stack.enter_context(followers.follow(job_id, live=True)))
        assert all(follower.text == text for follower in joined)
        writer.end(job_id)
        # A process that looks now gets all of it, unless Redis was emptied since the last piece.
        kept = steps[-1] != FLUSH
        assert (assembled("", inspector.xrange(stream_key(job_id))) == text) is (kept or text == "")


def test_entries_of_a_stream_overlap_or_leave_gaps() -> None:
    def entry(start: int, text: str) -> tuple[bytes, dict[bytes, bytes]]:
        return f"{start + len(text)}-0".encode(), {b"t": text.encode(), b"s": str(start).encode()}

    assert assembled("", [entry(0, "один"), entry(4, " два")]) == "один два"
    assert assembled("один", [entry(0, "один два")]) == "один два"
    assert assembled("один", [entry(2, "ин два")]) == "один два"
    assert assembled("один два", [entry(0, "один")]) == "один два"
    assert assembled("один", [entry(5, "два")]) == "один", "a gap is not jumped over"
    assert assembled("один", [entry(5, "два"), entry(0, "один два")]) == "один два"
    assert assembled("", [entry(0, "один"), (b"18446744073709551615-0", {b"end": b""})]) == "один"


def test_a_sealed_stream_takes_no_more(
    writer: RedisAnswerWriter, followers: RedisAnswerFollowers, inspector: Redis
) -> None:
    job_id = uuid4().hex
    with followers.follow(job_id, live=True) as follower:
        writer.show(job_id, "one")
        assert grown(follower, "one")
        assert writer.seal(job_id) == "one"
        assert writer.seal(job_id) == "one"
        writer.show(job_id, "one two")
        writer.end(job_id)
        assert assembled("", inspector.xrange(stream_key(job_id))) == "one"
        assert not writer._answers.get(job_id)


def test_a_seal_of_nothing_keeps_a_late_beginning_out(writer: RedisAnswerWriter, inspector: Redis) -> None:
    job_id = uuid4().hex
    assert writer.seal(job_id) == ""
    writer.show(job_id, "late")
    writer.end(job_id)
    assert assembled("", inspector.xrange(stream_key(job_id))) == ""


def test_what_redis_was_away_for_is_shown_afterwards(tmp_path_factory: pytest.TempPathFactory) -> None:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        writer, followers = RedisAnswerWriter(connect(server.uri), BestEffort()), new_followers(server.uri)
        with followers.follow("a job", live=True) as follower:
            writer.show("a job", "one ")
            assert grown(follower, "one ")
            server.kill()
            writer.show("a job", "one two ")
            server.start()
            writer.show("a job", "one two three")
            assert grown(follower, "one two three")


def test_many_followers_cost_one_connection(redis: RedisServer, writer: RedisAnswerWriter, inspector: Redis) -> None:
    followers, job_ids = new_followers(redis.uri), [uuid4().hex for _ in range(40)]
    with ExitStack() as stack:
        first = stack.enter_context(followers.follow(job_ids[0], live=True))
        writer.show(job_ids[0], "one")
        assert grown(first, "one")
        before = len(inspector.client_list())
        views = {
            job_id: [stack.enter_context(followers.follow(job_id, live=True)) for _ in range(5)] for job_id in job_ids
        }
        for job_id in job_ids:
            writer.show(job_id, f"of {job_id}" if job_id != job_ids[0] else "one two")
        for job_id in job_ids:
            assert all(grown(view, f"of {job_id}" if job_id != job_ids[0] else "one two") for view in views[job_id])
        assert len(inspector.client_list()) <= before + 1, "one more is the pool's, to wake the reader"
    assert followers._answers == {}


def test_who_joins_while_others_wait_is_not_kept_waiting(
    redis: RedisServer, writer: RedisAnswerWriter, inspector: Redis
) -> None:
    """The reader blocks for longer than this takes."""
    followers = new_followers(redis.uri)
    with followers.follow("somebody else's", live=True):
        for _ in range(5):
            job_id = uuid4().hex
            writer.show(job_id, "one")
            until(lambda job_id=job_id: inspector.exists(stream_key(job_id)))
            started = time.monotonic()
            with followers.follow(job_id, live=True) as follower:
                assert grown(follower, "one")
            assert time.monotonic() - started < BLOCK_SECONDS / 2


def test_a_follower_waits_until_there_is_more(writer: RedisAnswerWriter, followers: RedisAnswerFollowers) -> None:
    job_id = uuid4().hex
    with followers.follow(job_id, live=True) as follower:
        assert not follower.wait(0.05)
        threading.Timer(0.05, writer.show, (job_id, "one")).start()
        assert follower.wait(LONG)
        assert follower.text == "one"
        assert not follower.ended()
