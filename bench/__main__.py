"""`make bench`: run every measurement once and print a table for bench/README.md. Takes about two minutes."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import requests
from openai import OpenAI

from bench import idle, load, streaming, waiting
from devstack.parts import Web
from devstack.stack import Stack

ACCOUNTS = 64
TOKENS_EACH = 1_000_000_000
UPSTREAM_DELAY_SECONDS = 0.2
DRAIN_TIMEOUT_SECONDS = 120
IDLE_SOCKETS, IDLE_STREAMS = 5_000, 2_000
KIB, MIB = 1024, 1024 * 1024


class BareWeb(Web):
    """The yardstick, under the same gunicorn."""

    name = "bare"

    def arguments(self) -> list[str]:
        return [*super().arguments()[:-1], "bench.bare:application"]

    def is_ready(self) -> bool:
        try:
            return requests.post(f"{self.url}/api/chat", timeout=2).status_code == 401
        except requests.RequestException:
            return False


class Bench:
    def __init__(self, stack: Stack, directory: Path, *, seconds: int, connections: int) -> None:
        self._stack = stack
        self._directory = directory
        self._seconds = seconds
        self._connections = connections
        self._tokens = [self._register() for _ in range(ACCOUNTS)]
        stack.db.wallets.update_many({}, {"$set": {"available": TOKENS_EACH}})

    def submits(self) -> None:
        """Accepted submits beside the bare route, in turn."""
        with BareWeb(self._directory / "bare", self._stack.environment) as bare:
            for server in self._stack.workers:
                server.pause()
            for round_ in (1, 2):
                plain = self._load(bare.url)
                accepted = self._load(self._stack.web.url)
                ratio = accepted.per_second / plain.per_second
                _row(f"bare route, requests/s (round {round_})", f"{plain.per_second:.0f}", f"{plain.errors} errors")
                _row(f"accepted submits/s (round {round_})", f"{accepted.per_second:.0f}", f"{ratio:.2f} of bare")
        for server in self._stack.workers:
            server.resume()
        self._drain()

    def completions(self) -> None:
        """Completed jobs per second, every client waiting for its answer."""
        done = self._load(self._stack.web.url, wait=True)
        _row(
            "completed jobs/s (Prefer: wait)",
            f"{done.per_second:.0f}",
            f"p50 {done.p50_ms:.0f} ms, p99 {done.p99_ms:.0f} ms",
        )

    def added_latency(self, calls: int = 300) -> None:
        """One call after the other: through the service and straight to the upstream, in turn."""
        self._stack.upstream.rule(delay_seconds=UPSTREAM_DELAY_SECONDS)
        client = OpenAI(api_key="x", base_url=self._stack.upstream_server.uri, max_retries=0)
        message = {"role": "user", "content": "ping"}
        with requests.Session() as http:
            http.headers.update({"Authorization": f"Bearer {self._tokens[0]}", "Prefer": "wait=20"})
            question = {"message": "ping", "context": []}
            direct, through = [], []
            for _ in range(calls):
                direct.append(_timed(lambda: client.chat.completions.create(model="m", messages=[message])))  # type: ignore[list-item]
                through.append(
                    _timed(
                        lambda: http.post(
                            f"{self._stack.web.url}/api/chat", json=question, timeout=30
                        ).raise_for_status()
                    )
                )
        self._stack.upstream.clear()
        (direct_50, direct_99), (through_50, through_99) = waiting.percentiles(direct), waiting.percentiles(through)
        _row("direct upstream call, ms", f"{direct_50:.1f} / {direct_99:.1f}", "p50 / p99")
        _row("Prefer: wait, ms", f"{through_50:.1f} / {through_99:.1f}", "p50 / p99")
        _row("added, ms", f"{through_50 - direct_50:.1f} / {through_99 - direct_99:.1f}", "p50 / p99")

    def first_pieces(self, calls: int = 200) -> None:
        """One streamed answer after the other, in turn: its first piece and its end."""
        self._stack.upstream.rule(answer="word " * 50)
        found: dict[str, list[tuple[float, float]]] = {"direct": [], "through": []}
        with requests.Session() as http, requests.Session() as plain:
            http.headers.update({"Authorization": f"Bearer {self._tokens[0]}"})
            for _ in range(calls):
                found["direct"].append(streaming.direct(plain, self._stack.upstream_server.uri))
                found["through"].append(streaming.through(http, self._stack.web.url))
        self._stack.upstream.clear()
        for place, what in enumerate(("first piece", "whole stream")):
            figures = {name: waiting.percentiles([times[place] for times in found[name]]) for name in found}
            (direct_50, direct_99), (through_50, through_99) = figures["direct"], figures["through"]
            _row(f"{what}, direct, ms", f"{direct_50:.1f} / {direct_99:.1f}", "p50 / p99")
            _row(f"{what}, through, ms", f"{through_50:.1f} / {through_99:.1f}", "p50 / p99")

    def waiters(self, count: int = 500) -> None:
        """Short requests while `count` requests wait on the one web process, beside the same without them."""
        web, token = self._stack.web, self._tokens[0]
        alone = waiting.percentiles(waiting.short_request_milliseconds(web.url, token, 300))
        self._stack.upstream.rule(contains="wait for me", hold="gate")
        job_ids = [self._submit("wait for me") for _ in range(20)]
        held = waiting.hold(web.url, token, [job_ids[n % len(job_ids)] for n in range(count)], 40)
        # The one process accepts in order: a connection made now is answered after it has taken all those.
        waiting.short_request_milliseconds(web.url, token, 1)
        meanwhile = waiting.percentiles(waiting.short_request_milliseconds(web.url, token, 300))
        self._stack.upstream.release("gate")
        answered = waiting.finish(held)
        self._stack.upstream.clear()
        _row("short request, ms", f"{alone[0]:.1f} / {alone[1]:.1f}", "p50 / p99, nobody waiting")
        _row(
            "short request, ms",
            f"{meanwhile[0]:.1f} / {meanwhile[1]:.1f}",
            f"p50 / p99, {count} waiting; {answered} answered",
        )

    def idle(self) -> None:
        """Short requests while thousands of sockets, and then streams too, are open on the one web process."""
        web = self._stack.web
        self._short_requests("nothing open")
        empty = idle.resident_bytes(web.url)
        heads = [idle.SOCKET_HEAD.format(token=self._tokens[n % ACCOUNTS]) for n in range(IDLE_SOCKETS)]
        with idle.idling(web.port, heads) as sitters:
            with_sockets = self._grown(empty, IDLE_SOCKETS, "idle sockets")
            self._stack.upstream.rule(contains="wait for me", hold="gate")
            job_ids = [self._submit("wait for me", stream=True) for _ in range(20)]
            heads = [idle.STREAM_HEAD.format(job_id=job_id, token=self._tokens[0]) for job_id in job_ids]
            with idle.idling(web.port, heads * (IDLE_STREAMS // len(heads))) as readers:
                self._grown(with_sockets, IDLE_STREAMS, "idle streams beside them")
            self._stack.upstream.release("gate")
        self._stack.upstream.clear()
        _row("connections that stayed", f"{sitters.left} / {readers.left}", "sockets / streams")

    def _grown(self, before: int, count: int, what: str) -> int:
        """Rows about the process with so many more connections; its memory now."""
        now = idle.resident_bytes(self._stack.web.url)
        _row(
            "memory (RSS), MiB",
            f"{before / MIB:.0f} -> {now / MIB:.0f}",
            f"{count} {what}: {(now - before) / count / KIB:.1f} KiB each",
        )
        self._short_requests(f"{count} {what}")
        return now

    def _short_requests(self, beside: str) -> None:
        times = waiting.percentiles(waiting.short_request_milliseconds(self._stack.web.url, self._tokens[0], 500))
        _row("short request, ms", f"{times[0]:.1f} / {times[1]:.1f}", f"p50 / p99, {beside}")

    def _load(self, url: str, *, wait: bool = False) -> load.Load:
        return load.run(
            f"{url}/api/chat",
            self._tokens,
            self._directory,
            seconds=self._seconds,
            connections=self._connections,
            wait=wait,
        )

    def _drain(self) -> None:
        """Wait until every accepted job is final, and say how fast that went."""
        jobs, started = self._stack.db.jobs, time.monotonic()
        backlog = jobs.count_documents({"status": {"$in": ["queued", "running"]}})
        while (left := jobs.count_documents({"status": {"$in": ["queued", "running"]}})) > 0:
            if time.monotonic() - started > DRAIN_TIMEOUT_SECONDS:
                raise RuntimeError(f"{left} jobs are not final after {DRAIN_TIMEOUT_SECONDS} s")
            time.sleep(0.1)
        _row(
            "completed jobs/s (backlog)",
            f"{backlog / (time.monotonic() - started):.0f}",
            f"{backlog} jobs, no submits meanwhile",
        )

    def _register(self) -> str:
        body = {"username": f"bench-{uuid4().hex[:12]}", "password": "long enough"}
        reply = requests.post(f"{self._stack.web.url}/api/auth/register", json=body, timeout=10)
        reply.raise_for_status()
        return str(reply.json()["token"])

    def _submit(self, message: str, *, stream: bool = False) -> str:
        headers, body = {"Authorization": f"Bearer {self._tokens[0]}"}, {"message": message, "stream": stream}
        reply = requests.post(f"{self._stack.web.url}/api/chat", json=body, headers=headers, timeout=10)
        return str(reply.json()["jobId"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=8, choices=range(1, 61), metavar="1…60", help="of each load")
    parser.add_argument("--connections", type=int, default=32, choices=range(1, 513), metavar="1…512")
    parser.add_argument("--only", help="one measurement, by its name in this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="talkmeter-bench-") as name:
        directory = Path(name)
        settings = {
            "job_lease_seconds": "30",
            "max_queue_length": "1000000",
            "upkeep_interval_seconds": "1",
            "max_connections_per_account": "0",
            # As a deployment has them.
            "socket_ping_seconds": "25",
            "job_deadline_seconds": "90",
        }
        with Stack(directory, workers=1, **settings) as stack:
            bench = Bench(stack, directory, seconds=options.seconds, connections=options.connections)
            print("| what | figure | |\n|---|---|---|")
            measurements: tuple[Callable[[], None], ...] = (
                bench.submits,
                bench.completions,
                bench.added_latency,
                bench.first_pieces,
                bench.waiters,
                bench.idle,
            )
            for measure in measurements:
                if options.only in (None, measure.__name__):
                    measure()
    return 0


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1000


def _row(what: str, figure: str, note: str) -> None:
    print(f"| {what} | {figure} | {note} |", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except load.MissingWrkError as missing:
        sys.exit(f"make bench: {missing}")
