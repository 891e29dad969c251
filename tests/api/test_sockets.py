"""The parts of the WebSocket that a client can't bring about: slow readers, many writers, and people without a name."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace

import pytest
from flask import Flask
from pymongo.database import Database
from pymongo.errors import ConnectionFailure

from service.api.app import create_app
from service.api.sockets import frames, registry
from service.api.sockets import talk as talks
from service.api.sockets.connection import Connection
from service.api.sockets.frames import Frame
from service.api.sockets.own_dialog import OwnDialog
from service.api.sockets.registry import OpenSockets
from service.bootstrap import Container
from tests.api.conftest import Caller
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


def test_cutting_wakes_the_reader_and_may_be_repeated(pair: tuple[Connection, socket.socket]) -> None:
    ours, theirs = pair
    ours.cut()
    assert ours.recv(5) == theirs.recv(5) == b""
    theirs.close()
    ours.cut()


class Line:
    """What a `Talk` sees of a WebSocket: these frames come, and then nothing."""

    def __init__(self, *frames: str) -> None:
        self.frames: list[str] = list(frames)
        self._rung = threading.Event()
        self.sent: list[dict[str, str]] = []

    def ring(self) -> None:
        self._rung.set()

    def receive(self, timeout: float | None) -> str | None:
        if self.frames:
            return self.frames.pop(0)
        self._rung.wait(timeout)
        self._rung.clear()
        return None

    def send(self, frame: str) -> None:
        self.sent.append(json.loads(frame))


AT_ONCE = nullcontext()


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
        assert OwnDialog(line, None, None, None)(AT_ONCE) == talks.POLICY
    assert len(line.sent) == len(frames) + 1
    assert line.sent[-1]["code"] == "UNAUTHORIZED"
    assert line.sent[-1]["message"].startswith("Log in")


def test_a_defect_of_ours_is_told_and_the_socket_lives(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line('{"type":"message","content":"x"}', '{"type":"nonsense"}')
    with app.test_request_context("/ws"):
        talk = OwnDialog(line, None, None, None)
        monkeypatch.setattr(talk, "ask", lambda _: 1 / 0)
        leaving = threading.Timer(0.2, talk.leave)
        leaving.start()
        assert talk(AT_ONCE) == talks.GOING_AWAY
    assert [frame["code"] for frame in line.sent] == ["INTERNAL_ERROR", "VALIDATION_ERROR"]


def test_who_comes_during_an_outage_is_told_to_come_later(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line()
    with app.test_request_context("/ws"):
        talk = OwnDialog(line, "a token", None, None)

        def away(*_: object) -> None:
            raise ConnectionFailure("no database")

        monkeypatch.setattr(talk.caller, "actor", away)
        assert talk(AT_ONCE) == talks.LATER
    assert [frame["code"] for frame in line.sent] == ["UNAVAILABLE"]


def test_a_socket_that_comes_while_the_process_ends_is_told_to_leave(app: Flask) -> None:
    sockets, line = OpenSockets(), Line('{"type":"nonsense"}')
    sockets.leave()
    with app.test_request_context("/ws"):
        talk = OwnDialog(line, None, None, None)
        with sockets.holding(talk):
            assert talk(AT_ONCE) == talks.GOING_AWAY
    assert line.sent == []


def test_who_waits_too_long_for_a_turn_is_told_to_come_later(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ARRIVAL_SECONDS", 0.05)
    sockets, line = OpenSockets(), Line()
    with ExitStack() as others, app.test_request_context("/ws"):
        for _ in range(registry.ARRIVALS_AT_ONCE):
            others.enter_context(sockets.arriving())
        assert OwnDialog(line, None, None, None)(sockets.arriving()) == talks.LATER
        others.close()
        with sockets.arriving():
            assert [frame["code"] for frame in line.sent] == ["OVERLOADED"]


def test_who_one_is_is_looked_up_in_turn(app: Flask, user: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    @contextmanager
    def arriving() -> Iterator[None]:
        seen.append("arrives")
        yield
        seen.append("has arrived")

    line = Line('{"type":"nonsense"}')
    with app.test_request_context("/ws"):
        talk = OwnDialog(line, user.token, None, None)
        look_up = talk.caller.actor
        monkeypatch.setattr(talk.caller, "actor", lambda: seen.append("is looked up") or look_up())
        threading.Timer(0.2, talk.leave).start()
        assert talk(arriving()) == talks.GOING_AWAY
    assert seen == ["arrives", "is looked up", "has arrived"]
    assert len(line.sent) == 1


@pytest.mark.parametrize("content", ["", "  ", "x" * 10_001])
def test_nobody_becomes_a_guest_for_a_message_that_is_none(
    app: Flask, db: Database, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    line = Line(json.dumps({"type": "message", "content": content}))
    with app.test_request_context("/ws"):
        talk = OwnDialog(line, None, None, None)
        threading.Timer(0.2, talk.leave).start()
        assert talk(AT_ONCE) == talks.GOING_AWAY
    assert [frame["code"] for frame in line.sent] == ["INVALID_MESSAGE"]
    assert db.accounts.count_documents({"role": "guest"}) == 0


class Parrot(talks.Talk):
    """A talk with a greeting and a frame of its own."""

    def greet(self) -> None:
        self.admit_nobody()
        self.line.send('{"type":"history","messages":[]}')

    def act(self, frame: Frame) -> None:
        self.line.send(json.dumps({"type": frame.type, "text": frame.text}))


class ParrotFrames:
    chunk, last, error = staticmethod(frames.chunk), staticmethod(frames.last), staticmethod(frames.error)

    @staticmethod
    def read(data: str | bytes, max_bytes: int) -> Frame:
        fields = json.loads(data)
        return Frame(fields["type"], fields.get("chat_id", ""))


def test_another_talk_has_a_greeting_and_frames_of_its_own(app: Flask) -> None:
    line = Line('{"type":"switch","chat_id":"two"}', '{"type":"stop"}')
    with app.test_request_context("/ws"):
        talk = Parrot(line, None, ParrotFrames())
        threading.Timer(0.2, talk.leave).start()
        assert talk(AT_ONCE) == talks.GOING_AWAY
    assert line.sent == [{"type": "history", "messages": []}, {"type": "switch", "text": "two"}]
