"""Thousands of clients that only stay, in a process of its own so that they cost the others nothing: see `bench.idle`.

Reads one JSON object from standard input: `{"port", "seconds", "heads": [head of a request, …]}`.
Opens those connections on this machine, writes a line when all are settled, answers pings, and ends when the next
line comes, or after so many seconds at the latest; the last line is how many were still open.
"""

import json
import resource
import select
import socket
import sys
import time

LOOPBACK = "127.0.0.1"
# So many may wait for their first byte at once.
IN_FLIGHT = 100
# Of one source address; the kernel has some 28,000 ports to give.
PER_ADDRESS = 5_000
IP_BIND_ADDRESS_NO_PORT = 24
PING, PONG = b"\x89\x00", b"\x8a\x80\0\0\0\0"
# What a socket is asked, and answers with an error when it has made itself at home.
HELLO = b"\x81\x82\0\0\0\0{}"
SWITCHED = b"HTTP/1.1 101"
SETTLED = (b"HTTP/1.1 200", b"VALIDATION_ERROR")


class Clients:
    def __init__(self, port: int, deadline: float) -> None:
        self._port = port
        self._deadline = deadline
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._unanswered: set[int] = set()

    def open(self, heads: list[str]) -> None:
        for head in heads:
            connection = socket.socket()
            connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            connection.bind((f"127.0.0.{1 + len(self._open) // PER_ADDRESS}", 0))
            connection.settimeout(30)
            connection.connect((LOOPBACK, self._port))
            connection.sendall(head.encode())
            self._open[connection.fileno()] = connection
            self._unanswered.add(connection.fileno())
            self._poll.register(connection, select.EPOLLIN)
            while len(self._unanswered) >= IN_FLIGHT:
                self.serve(1)
        while self._unanswered and time.monotonic() < self._deadline:
            self.serve(1)

    def stay(self) -> int:
        """Until the next line of standard input; how many are still there."""
        self._poll.register(sys.stdin, select.EPOLLIN)
        while time.monotonic() < self._deadline and self.serve(1):
            continue
        return len(self._open)

    def serve(self, seconds: float) -> bool:
        """Read what comes; False once somebody wants us to end."""
        if time.monotonic() > self._deadline:
            raise TimeoutError("the clients did not get through in time")
        for number, _ in self._poll.poll(seconds):
            if number == sys.stdin.fileno():
                return False
            self._read(number, self._open[number])
        return True

    def _read(self, number: int, connection: socket.socket) -> None:
        data = connection.recv(65_536)
        if data.startswith(SWITCHED):
            connection.sendall(HELLO)
        elif number in self._unanswered and data != PING:
            self._unanswered.discard(number)
            if not any(mark in data for mark in SETTLED):
                raise ConnectionError(f"refused: {data[:200]!r}")
        if not data:
            self._poll.unregister(connection)
            self._open.pop(number).close()
        elif PING in data:
            connection.sendall(PONG)


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    order = json.loads(sys.stdin.readline())
    clients = Clients(order["port"], time.monotonic() + order["seconds"])
    clients.open(order["heads"])
    print("open", flush=True)
    print(clients.stay(), flush=True)


if __name__ == "__main__":
    main()
