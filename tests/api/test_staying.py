"""Requests that stay are counted, refused when there are too many, and counted no longer when they end."""

from dataclasses import replace

import pytest
from flask import Flask
from pymongo.database import Database

from service.api.app import create_app
from service.api.sockets import talk as talks
from service.api.sockets.own_dialog import OwnDialog
from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.usecases.connections import Connections
from tests.api.conftest import Caller, Program
from tests.api.test_sockets import AT_ONCE, Line

STREAM = {"Accept": "text/event-stream"}


@pytest.fixture
def connections(container: Container) -> Connections:
    return Connections(per_account=1, per_key=1, telemetry=container.metrics)


@pytest.fixture
def crowded(container: Container, connections: Connections) -> Flask:
    """The application where one connection each is enough."""
    return create_app(replace(container, connections=connections))


@pytest.fixture
def anna(crowded: Flask, user: Caller) -> Caller:
    return replace(user, client=crowded.test_client())


def actor_of(caller: Caller) -> Actor:
    return Actor(account_id=caller.id, role=Role.USER, request_id="test-request")


def test_beyond_the_limit_nothing_is_accepted(db: Database, anna: Caller, connections: Connections) -> None:
    job_id = anna.post("/api/chat", {"message": "ping"}).json["jobId"]
    completion = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "ping"}]}
    staying = [
        ("POST", "/api/chat", {"json": {"message": "ping"}, "headers": {"Prefer": "wait=5"}}),
        ("POST", "/api/chat", {"json": {"message": "ping"}, "headers": STREAM}),
        ("GET", f"/api/chat/jobs/{job_id}?wait=5", {}),
        ("GET", f"/api/chat/jobs/{job_id}/events", {}),
        ("POST", "/v1/chat/completions", {"json": completion}),
        ("POST", "/v1/chat/completions", {"json": {**completion, "stream": True}}),
    ]
    with connections.enter(actor_of(anna)):
        for method, path, options in staying:
            reply = anna.call(method, path, **options)
            assert (reply.status_code, reply.headers["Retry-After"]) == (429, "5"), path
        assert anna.get(f"/api/chat/jobs/{job_id}?wait=5", headers={"Accept-Language": "en"}).json["details"] == {
            "connections": ["Sockets, streams and waiting requests: no more than 1 at once. Close some of them."]
        }
        assert anna.get(f"/api/chat/jobs/{job_id}").status_code == 200, "who doesn't wait is not counted"
        assert anna.post("/api/chat", {"message": "ping"}).status_code == 202
    assert db.jobs.count_documents({"account_id": anna.id}) == 2


def test_a_place_is_free_again_when_the_request_ends(anna: Caller, connections: Connections) -> None:
    job_id = anna.post("/api/chat", {"message": "ping"}).json["jobId"]
    anna.post(f"/api/chat/jobs/{job_id}/cancel")
    for _ in range(2):
        assert anna.get(f"/api/chat/jobs/{job_id}?wait=1").status_code == 200
        stream = anna.get(f"/api/chat/jobs/{job_id}/events")
        assert stream.status_code == 200
        assert connections._open == {("account", anna.id): 1}
        stream.close()
    refused = anna.post("/api/chat", {"message": " "}, headers=STREAM)
    assert refused.status_code == 400
    assert anna.get("/api/chat/jobs/unknown?wait=5").status_code == 404
    assert not connections._open


def test_a_bot_is_told_in_its_own_way(db: Database, crowded: Flask, program: Program, connections: Connections) -> None:
    bot = replace(program, client=crowded.test_client())
    body = {"message": "ping", "userId": "42", "wait": 5}
    with_key = [("key", program.key["keyId"])]
    connections.take(with_key)
    reply = bot.post("/api/bot/ask", body)
    assert (reply.status_code, reply.json["errorCode"]) == (200, "RATE_LIMITED")
    assert db.jobs.count_documents({}) == 0
    connections.give_back(with_key)


def test_a_socket_beyond_the_limit_is_told_to_come_later(
    crowded: Flask, anna: Caller, connections: Connections
) -> None:
    with connections.enter(actor_of(anna)), crowded.test_request_context("/ws"):
        line = Line()
        talk = OwnDialog(line, anna.token, None, None)
        assert talk(AT_ONCE) == talks.LATER
        talk.end()
    assert line.sent[0]["code"] == "RATE_LIMITED"
    assert not connections._open


def test_sockets_without_a_name_are_counted_by_address(crowded: Flask, anna: Caller, connections: Connections) -> None:
    with crowded.test_request_context("/ws", environ_base={"REMOTE_ADDR": "192.0.2.7"}):
        first, second = OwnDialog(Line(), None, None, None), OwnDialog(Line(), None, None, None)
        assert first._attempt(first.greet) is None
        assert second(AT_ONCE) == talks.LATER
        first._take(f'{{"type":"auth","token":"{anna.token}"}}')
        assert connections._open == {("account", anna.id): 1}
        assert second._attempt(second.greet) is None
        first.end()
        second.end()
    assert not connections._open


def test_who_may_not_log_in_on_one_more_socket_stays_who_they_were(
    crowded: Flask, anna: Caller, connections: Connections
) -> None:
    line = Line(f'{{"type":"auth","token":"{anna.token}"}}')
    with connections.enter(actor_of(anna)), crowded.test_request_context("/ws"):
        talk = OwnDialog(line, None, None, None)
        assert talk._attempt(talk.greet) is None
        talk._attempt(lambda: talk._take(line.receive(None) or ""))
        assert not talk.caller.is_known
        talk.end()
    assert [frame["code"] for frame in line.sent] == ["RATE_LIMITED"]
