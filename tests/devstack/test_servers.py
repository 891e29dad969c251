"""The embedded servers start, survive a kill, and come back on the same port with their data."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pymongo
import pytest
import redis

from devstack.servers import (
    PORTS,
    MongoServer,
    RedisServer,
    ServerNotReadyError,
    free_port,
    is_free,
    tethered,
)


@pytest.fixture(scope="module")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    with MongoServer(tmp_path_factory.mktemp("mongo"), database="kept") as server:
        yield server


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


def test_mongo_has_transactions_and_survives_a_kill(mongo: MongoServer):
    with pymongo.MongoClient(mongo.uri) as client, client.start_session() as session:
        with session.start_transaction():
            client.kept.things.insert_one({"_id": 1}, session=session)
        client.kept.things.insert_one({"_id": 2})
        mongo.kill()
        assert not mongo.running
        mongo.start()
        assert [thing["_id"] for thing in client.get_default_database().things.find()] == [1, 2]


def test_mongo_on_another_port_is_the_same_replica_set(mongo: MongoServer):
    with pymongo.MongoClient(mongo.uri) as client:
        client.kept.moved.insert_one({"_id": 1})
    mongo.stop()
    with MongoServer(mongo.directory, free_port(), "kept") as moved, pymongo.MongoClient(moved.uri) as client:
        assert moved.port != mongo.port
        assert client.kept.moved.find_one() == {"_id": 1}
    mongo.start()


def test_mongo_limits_the_life_of_transactions(mongo: MongoServer):
    with pymongo.MongoClient(mongo.uri) as client:
        answer = client.admin.command("getParameter", transactionLifetimeLimitSeconds=1)
    assert answer["transactionLifetimeLimitSeconds"] == 3


def test_redis_keeps_what_it_acknowledged(redis_server: RedisServer):
    client = redis.Redis.from_url(redis_server.uri)
    client.set("a", "1")
    redis_server.kill()
    redis_server.start()
    assert client.get("a") == b"1"
    assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def test_a_paused_server_is_silent_until_it_resumes(redis_server: RedisServer):
    client = redis.Redis.from_url(redis_server.uri, socket_timeout=0.1, retry=None)
    redis_server.pause()
    with pytest.raises(redis.TimeoutError):
        client.ping()
    redis_server.resume()
    assert client.ping()


def test_a_paused_server_can_be_stopped(redis_server: RedisServer):
    redis_server.pause()
    redis_server.stop()
    assert not redis_server.running
    redis_server.start()


def test_a_server_outlives_the_thread_that_started_it(tmp_path: Path):
    server = RedisServer(tmp_path)
    with ThreadPoolExecutor() as pool:
        pool.submit(server.start).result()
    with server:
        assert redis.Redis.from_url(server.uri).ping()


def test_a_server_that_cannot_start_says_why(tmp_path: Path, redis_server: RedisServer):
    with pytest.raises(ServerNotReadyError, match="bind: Address already in use"):
        RedisServer(tmp_path, redis_server.port).start()


def test_ports_are_below_those_of_outgoing_connections():
    port = free_port()
    assert port in PORTS
    assert is_free("127.0.0.1", port)


@pytest.mark.skipif(sys.platform != "linux", reason="the tether is a feature of Linux")
def test_a_tethered_command_dies_with_its_parent():
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    sleeper = tethered(["sleep", "60"])
    parent = subprocess.Popen([sys.executable, "-c", program, *sleeper], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    deadline = time.monotonic() + 10
    while child.name() != "sleep" and time.monotonic() < deadline:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    assert not psutil.wait_procs([child], timeout=5)[1]


def test_a_command_that_is_not_there_is_named():
    missing = subprocess.run(tethered([f"{os.devnull}/nothing"]), capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    assert "nothing" in missing.stderr
