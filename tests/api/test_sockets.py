"""The parts of the WebSocket that a client can't bring about: slow readers, many writers, and people without a name."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from flask import Flask
from pymongo.errors import ConnectionFailure

from service.api.app import create_app
from service.api.sockets import talk as talks
from service.api.sockets.connection import MAX_UNREAD_FRAMES, Connection
from service.api.sockets.registry import OpenSockets
from service.bootstrap import Container
from tests.core.support import accounts_with

FRAME_BYTES = 300_000


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket]]:
    """Our end of a connection with small buffers, and the client's."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    theirs.settimeout(10)
    with ours, theirs:
        yield Connection(ours), theirs


def test_frames_of_several_writers_reach_a_slow_reader_whole(pair: tuple[Connection, socket.socket]) -> None:
    ours, theirs = pair
    letters = [b"a", b"b", b"c"]
    writers = [threading.Thread(target=ours.send, args=(letter * FRAME_BYTES,)) for letter in letters]
    for writer in writers:
        writer.start()
    received = b""
    while len(received) < FRAME_BYTES * len(letters):
        received += theirs.recv(10_000)
    for writer in writers:
        writer.join()
    frames = [received[start : start + FRAME_BYTES] for start in range(0, len(received), FRAME_BYTES)]
    assert sorted(frames) == [letter * FRAME_BYTES for letter in letters]


def test_a_client_that_reads_nothing_is_given_up(pair: tuple[Connection, socket.socket]) -> None:
    ours, _ = pair
    ours.settimeout(0.2)
    with pytest.raises(OSError, match="timed out"):
        ours.send(b"x" * 10_000_000)


def test_a_client_that_sends_too_fast_is_cut_off(pair: tuple[Connection, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"frame")
    ours.unread = ["frame"] * MAX_UNREAD_FRAMES
    assert ours.recv(5) == b"frame"
    ours.unread.append("one more")
    with pytest.raises(ConnectionError):
        ours.recv(5)


def test_cutting_wakes_the_reader_and_may_be_repeated(pair: tuple[Connection, socket.socket]) -> None:
    ours, theirs = pair
    ours.cut()
    assert ours.recv(5) == theirs.recv(5) == b""
    theirs.close()
    ours.cut()


class Line:
    """What a `Talk` sees of a WebSocket: these frames come, and then nothing."""

    def __init__(self, *frames: str) -> None:
        self.input_buffer: list[str] = list(frames)
        self.event = threading.Event()
        self.connected = True
        self.sent: list[dict[str, str]] = []

    def receive(self, timeout: float | None) -> str | None:
        while not self.input_buffer:
            if not self.event.wait(timeout):
                return None
            self.event.clear()
        return self.input_buffer.pop(0)

    def send(self, frame: str) -> None:
        self.sent.append(json.loads(frame))


@pytest.fixture
def without_guests(container: Container) -> Flask:
    settings = container.settings.model_copy(update={"allow_guests": False})
    return create_app(replace(container, settings=settings, accounts=accounts_with(container, allow_guests=False)))


@pytest.mark.parametrize("frames", [[], ["not json"], ['{"type":"message","content":"who am I"}']])
def test_nobody_stays_where_guests_are_not_allowed(
    without_guests: Flask, monkeypatch: pytest.MonkeyPatch, frames: list[str]
) -> None:
    monkeypatch.setattr(talks, "NAMELESS_SECONDS", 0.2)
    line = Line(*frames)
    with without_guests.test_request_context("/ws", headers={"Accept-Language": "en"}):
        assert talks.Talk(line, None)(None, None) == talks.POLICY
    assert len(line.sent) == len(frames) + 1
    assert line.sent[-1]["code"] == "UNAUTHORIZED"
    assert line.sent[-1]["message"].startswith("Log in")


def test_a_defect_of_ours_is_told_and_the_socket_lives(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line('{"type":"message","content":"x"}', '{"type":"nonsense"}')
    with app.test_request_context("/ws"):
        talk = talks.Talk(line, None)
        monkeypatch.setattr(talk, "_stop", lambda: 1 / 0)
        line.input_buffer[0] = '{"type":"stop"}'
        leaving = threading.Timer(0.2, talk.leave)
        leaving.start()
        assert talk(None, None) == talks.GOING_AWAY
    assert [frame["code"] for frame in line.sent] == ["INTERNAL_ERROR", "VALIDATION_ERROR"]


def test_who_comes_during_an_outage_is_told_to_come_later(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    with app.test_request_context("/ws"):
        talk = talks.Talk(line, "a token")

        def away(*_: object) -> None:
            raise ConnectionFailure("no database")

        monkeypatch.setattr(talk._caller, "actor", away)
        assert talk(None, None) == talks.LATER
    assert [frame["code"] for frame in line.sent] == ["UNAVAILABLE"]


def test_a_socket_that_comes_while_the_process_ends_is_told_to_leave(app: Flask) -> None:
    sockets, line = OpenSockets(), Line('{"type":"nonsense"}')
    sockets.leave()
    with app.test_request_context("/ws"):
        talk = talks.Talk(line, None)
        with sockets.holding(talk):
            assert talk(None, None) == talks.GOING_AWAY
    assert line.sent == []
