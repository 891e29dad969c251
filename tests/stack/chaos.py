"""Clients at work while faults are injected at random, and the judge who looks at the whole afterwards.

Everything random comes from one logged seed. The stand-in's journal is the independent witness of what was asked.
"""

import logging
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.core.checker import check_money
from tests.stack.sse import Listener
from tests.stack.stack import Person, StackUnderTest, eventually

log = logging.getLogger("chaos")

CLIENTS = 4
RECOVERY_SECONDS = 45.0
READERS_SHARE = 0.5
FINAL = ("succeeded", "failed", "cancelled")
# What the provider does with a question is written into the question.
MOODS = {
    "[fine]": {},
    "[slow]": {"delay_seconds": 1.5},
    "[busy]": {"status": 429, "error": {"type": "requests", "code": "rate_limit_exceeded", "message": "slow down"}},
    "[broken]": {"status": 500, "error": {"type": "server_error", "code": None, "message": "sorry"}},
    "[garbage]": {"raw_body": "<html>", "content_type": "text/html"},
    "[reset]": {"reset": True},
    "[chatty]": {"chunk_delay_seconds": 0.1},
    "[cut]": {"cut_after_chunks": 3},
}
MOOD_WEIGHTS = (45, 15, 5, 5, 5, 5, 15, 5)


@dataclass
class Asked:
    """A question that the API accepted, whatever happened to the reply."""

    person: Person
    job_id: str
    text: str


@dataclass
class Reader:
    """Follows a job's events as an application does: after a broken connection it goes on where it was."""

    person: Person
    url: str
    job_id: str
    text: str = ""
    breaks: int = 0
    ended: bool = False

    def start(self, given_up: threading.Event) -> threading.Thread:
        thread = threading.Thread(target=self._follow, args=(given_up,), daemon=True)
        thread.start()
        return thread

    def _follow(self, given_up: threading.Event) -> None:
        last_id = 0
        while not self.ended and not given_up.is_set():
            listener = Listener.of(self.person, self.job_id, self.url, after=last_id)
            listener.ended(RECOVERY_SECONDS * 4)
            self.text, last_id = self.text + listener.text, listener.last_id
            self.ended = bool(listener.last)
            self.breaks += not self.ended
            given_up.wait(0 if self.ended else 0.2)


@dataclass
class Chaos:
    """`run` injects so many faults while clients ask; `judge` waits for rest and checks every promise."""

    stack: StackUnderTest
    seed: int
    asked: list[Asked] = field(default_factory=list)
    injected: Counter[str] = field(default_factory=Counter)
    readers: list[Reader] = field(default_factory=list)
    complaints: list[Exception] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _given_up: threading.Event = field(default_factory=threading.Event)
    _reading: list[threading.Thread] = field(default_factory=list)

    def run(self, faults: int) -> None:
        log.warning("chaos seed %s, %s faults", self.seed, faults)
        self.stack.upstream.rules(*({"contains": mood, **effect} for mood, effect in MOODS.items() if effect))
        people = [self.stack.register() for _ in range(CLIENTS)]
        clients = [threading.Thread(target=self._client, args=(n, person)) for n, person in enumerate(people)]
        for client in clients:
            client.start()
        chance = random.Random(self.seed)
        try:
            for _ in range(faults):
                self._inject(chance)
        finally:
            self._stopped.set()
            for client in clients:
                client.join()
            self._mend()

    def judge(self) -> None:
        """Fail unless every accepted question ended once, money adds up and charges agree with the witness."""
        if self.complaints:
            raise self.complaints[0]
        jobs = self.stack.db.jobs
        eventually(lambda: jobs.count_documents({"status": {"$nin": FINAL}}) == 0, RECOVERY_SECONDS)
        check_money(self.stack.db)
        self._check_readers()
        calls: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for call in self.stack.upstream.journal():
            calls[call["body"]["messages"][-1]["content"]].append(call)
        for asked in self.asked:
            job = jobs.find_one({"_id": asked.job_id})
            assert job is not None, f"a lost job: {asked}"
            self._check_charge(job, calls[asked.text])
        repeated = sum(
            len({call["n"] for call in made if call["outcome"] == "answered"}) - 1 for made in calls.values()
        )
        assert repeated <= self.injected.total() * CLIENTS, f"{repeated} answers were asked for again"

    def _check_readers(self) -> None:
        """Every reader came to the end, and saw each character of what was kept once and in its place."""
        eventually(lambda: all(reader.ended for reader in self.readers), RECOVERY_SECONDS)
        for reader in self.readers:
            job = self.stack.db.jobs.find_one({"_id": reader.job_id}) or {}
            kept = job["answer"] or ""
            # A worker and Redis that died together may have lost the last of what was shown of an answer that failed.
            seen = reader.text[: len(kept)] if job["error_code"] == "INTERRUPTED" else reader.text
            assert seen == kept, f"{reader}, of {job['status']}, {job['error_code']}: {kept!r}"

    def _check_charge(self, job: dict[str, Any], calls: list[dict[str, Any]]) -> None:
        if job["status"] != "succeeded":
            return
        totals = {call["usage"]["total_tokens"] for call in calls if call.get("usage")}
        assert job["charged"] in totals, f"{job['_id']} was charged {job['charged']}, the provider counted {totals}"

    def _client(self, number: int, person: Person) -> None:
        try:
            self._talk(number, person)
        except Exception as complaint:  # noqa: BLE001 - raised again by the judge
            self.complaints.append(complaint)

    def _talk(self, number: int, person: Person) -> None:
        chance = random.Random(f"{self.seed}-{number}")
        count = 0
        while not self._stopped.is_set():
            count += 1
            mood = chance.choices(list(MOODS), MOOD_WEIGHTS)[0]
            text = f"{mood} question {count} of client {number}"
            job_id = self._ask(person, text, stream=bool(count % 2))
            if job_id is not None:
                self.asked.append(Asked(person, job_id, text))
                if chance.random() < READERS_SHARE:
                    self.readers.append(Reader(person, self.stack.web.url, job_id))
                    self._reading.append(self.readers[-1].start(self._given_up))
                if chance.random() < 0.1:
                    self._try(lambda job_id=job_id: person.call("POST", f"/api/chat/jobs/{job_id}/cancel", timeout=10))
            self._stopped.wait(chance.uniform(0.05, 0.3))

    def _ask(self, person: Person, text: str, *, stream: bool) -> str | None:
        """Ask until the API says yes or no: with one key, so that a lost reply is no second question."""
        while True:
            reply = self._try(lambda: person.ask(text, key=text.replace(" ", "-"), stream=stream))
            if reply is not None and reply.status_code < 500:
                assert reply.status_code in (202, 402), reply.text
                return str(reply.json()["jobId"]) if reply.status_code == 202 else None
            assert reply is None or reply.json()["code"] in ("UNAVAILABLE", "OVERLOADED"), reply.text
            if self._stopped.wait(0.2) and not self.stack.web.running:
                return None

    @staticmethod
    def _try(call: Callable[[], requests.Response]) -> requests.Response | None:
        try:
            return call()
        except requests.RequestException:
            return None

    def _inject(self, chance: random.Random) -> None:
        stack = self.stack
        worker = chance.choice(stack.workers)
        faults: dict[str, Callable[[], None]] = {
            "kill a worker": lambda: self._kill(worker),
            "freeze a worker past its lease": lambda: self._freeze(worker, 4.5),
            "kill web": lambda: self._kill(stack.web),
            "kill the scheduler": lambda: self._kill(stack.scheduler),
            "kill redis": lambda: self._kill(stack.redis),
            "freeze redis": lambda: self._freeze(stack.redis, 1.0),
            "flush redis": lambda: self._flush(),
            "kill mongod": lambda: self._kill(stack.mongo),
            "freeze mongod": lambda: self._freeze(stack.mongo, 1.0),
        }
        name = chance.choice(list(faults))
        log.warning("fault: %s", name)
        self.injected[name] += 1
        faults[name]()
        self._stopped.wait(chance.uniform(0.2, 1.5))

    def _kill(self, part: Any) -> None:
        part.kill()
        self._stopped.wait(0.5)
        part.start()

    def _freeze(self, part: Any, seconds: float) -> None:
        part.pause()
        self._stopped.wait(seconds)
        part.resume()

    def _flush(self) -> None:
        self.stack.redis_client.flushall()

    def _mend(self) -> None:
        for part in (self.stack.mongo, self.stack.redis, self.stack.web, *self.stack.workers, self.stack.scheduler):
            part.resume()
            part.start()
