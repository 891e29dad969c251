"""A WebSocket that is read by whoever waits for a frame: pings, rings, floods and goodbyes."""

import socket
import time
from collections.abc import Iterator

import gevent
import pytest
from simple_websocket import ConnectionClosed, Server

from service.api.sockets import line as lines
from service.api.sockets.connection import Connection
from service.api.sockets.line import Line, NoThread

HANDSHAKE = {
    "HTTP_HOST": "test",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}
MASK = b"\0\0\0\0"
PING, PONG, CLOSE = b"\x89\x00", b"\x8a\x80" + MASK, b"\x88"
GOODBYE = b"\x88\x82" + MASK + (1000).to_bytes(2, "big")


def text(content: bytes) -> bytes:
    """A frame of at most 125 bytes, as a client sends it."""
    return b"\x81" + bytes([0x80 | len(content)]) + MASK + content


class Ends:
    """Our line, and the client's end of its connection."""

    def __init__(self, ping_seconds: float) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(5)
        self.ws = Server({**HANDSHAKE, "gunicorn.socket": Connection(ours)}, thread_class=NoThread)
        self.line = Line(self.ws, ping_seconds)
        self.theirs.recv(4096)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends(60)
    yield made
    made.theirs.close()
    made.line.hang_up()


def test_frames_are_handed_on_one_by_one(ends: Ends) -> None:
    ends.theirs.sendall(text(b"one") + text(b"two"))
    assert [ends.line.receive(), ends.line.receive()] == ["one", "two"]
    assert ends.line.receive(0.05) is None


def test_what_nobody_reads_waits_at_the_client(ends: Ends) -> None:
    ends.theirs.settimeout(0.2)
    with pytest.raises(TimeoutError):
        ends.theirs.sendall(text(b"x" * 100) * 100_000)
    assert ends.line.receive() == "x" * 100
    assert len(ends.ws.input_buffer) <= lines.RECEIVE_BYTES / 100


def test_others_run_while_a_client_floods(ends: Ends) -> None:
    ends.theirs.sendall(PONG * 20_000)
    turns: list[int] = []

    def other() -> None:
        while True:
            turns.append(1)
            gevent.sleep(0)

    beside = gevent.spawn(other)
    assert ends.line.receive(0.2) is None
    beside.kill()
    assert len(turns) > 5


def test_a_ring_ends_the_waiting_once(ends: Ends) -> None:
    gevent.spawn_later(0.05, ends.line.ring)
    assert ends.line.receive() is None
    ends.line.ring()
    assert ends.line.receive() is None, "also one that came while nobody waited"
    ends.theirs.sendall(text(b"and on"))
    assert ends.line.receive() == "and on"


def test_a_silent_client_is_asked_and_then_closed() -> None:
    ends = Ends(0.05)
    began = time.monotonic()
    with pytest.raises(ConnectionClosed):
        ends.line.receive()
    assert 0.09 < time.monotonic() - began < 2
    said = ends.theirs.recv(4096)
    assert said[:2] == PING
    assert said[2:3] == CLOSE
    assert (1008).to_bytes(2, "big") in said
    ends.theirs.close()
    ends.line.hang_up()


def test_a_sign_of_life_counts_though_nobody_waited_when_it_came() -> None:
    ends = Ends(0.05)
    for _ in range(3):
        assert ends.line.receive(0.06) is None
        assert ends.theirs.recv(4096) == PING
        ends.theirs.sendall(PONG)
        # We are busy with a message, for longer than the next ping is due.
        time.sleep(0.1)
    assert ends.line.is_open
    ends.theirs.close()
    ends.line.hang_up()


def test_the_clients_goodbye_is_answered(ends: Ends) -> None:
    ends.theirs.sendall(GOODBYE)
    with pytest.raises(ConnectionClosed) as closed:
        ends.line.receive()
    assert closed.value.reason == 1000
    assert ends.theirs.recv(4096) == b"\x88\x02" + (1000).to_bytes(2, "big")
    with pytest.raises(ConnectionClosed):
        ends.line.send("too late")
    ends.line.close(1001)
    assert not ends.line.is_open


def test_who_writes_while_the_end_is_written_hears_that_it_is_closed(ends: Ends) -> None:
    ends.line.close(1001)
    ends.ws.connected = True
    with pytest.raises(ConnectionClosed):
        ends.line.send("too late")


def test_a_client_that_is_gone_ends_it(ends: Ends) -> None:
    ends.theirs.close()
    with pytest.raises(OSError, match="without a word"):
        ends.line.receive()


def test_hanging_up_lets_the_client_read_and_waits_for_nobody_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "CLOSE_SECONDS", 0.2)
    ends = Ends(60)
    ends.theirs.sendall(text(b"unread") * 1000)
    ends.line.send("the last")
    ends.line.close(1001)
    began = time.monotonic()
    ends.line.hang_up()
    assert 0.1 < time.monotonic() - began < 2
    said = b""
    while piece := ends.theirs.recv(4096):
        said += piece
    assert b"the last" in said
    assert said.endswith((1001).to_bytes(2, "big"))
    ends.theirs.close()
