"""A rolling upgrade under questions: the new version beside the old one, then the old one told to end.

Both are this version, unless OLD_SOURCES names a directory with the sources of another one.
"""

import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from devstack.parts import REPOSITORY, Scheduler, Web, Worker
from tests.stack.chaos import Chaos
from tests.stack.stack import Person, StackUnderTest, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

OLD = Path(os.environ.get("OLD_SOURCES", REPOSITORY))


def of_old(part: Any) -> Any:
    """The same part, from the old version's sources."""
    command = [str(OLD) if word == str(REPOSITORY) else word for word in part.command()]
    part.command = lambda: command
    return part


class Upgrade(Chaos):
    """As `Chaos`, with the upgrade for a fault; who finds a web process closed asks the other, as the proxy does."""

    def __init__(self, stack: StackUnderTest, webs: list[Web]) -> None:
        super().__init__(stack, seed=random.randrange(10**9))
        self.webs, self.refused = webs, 0
        self._turn = itertools.count()

    def _try(self, call: Any) -> requests.Response | None:
        try:
            return call()
        except requests.RequestException:
            self.refused += 1
            return None

    def _ask(self, person: Person, text: str, *, stream: bool) -> str | None:
        """Each time at the next web process."""
        while True:
            person._url = self.webs[next(self._turn) % len(self.webs)].url
            reply = self._try(lambda: person.ask(text, key=text.replace(" ", "-"), stream=stream))
            if reply is not None:
                assert reply.status_code == 202, f"nobody may notice: {reply.status_code} {reply.text}"
                return str(reply.json()["jobId"])

    def _mend(self) -> None:
        """Nothing is broken."""


@pytest.fixture
def old(stack: StackUnderTest, tmp_path: Path) -> Iterator[tuple[Web, Worker, Scheduler]]:
    """What runs before: the stack's own parts are the new version, and begin later."""
    stack.upstream.clear()
    for part in (stack.web, *stack.workers, stack.scheduler):
        part.stop(40)
    web = of_old(Web(tmp_path / "old-web", stack.environment, "old-web"))
    # Its time to finish is production's: none of its answers is begun again or broken off.
    patient = {**stack.environment, "worker_grace_seconds": "20"}
    worker = of_old(Worker(tmp_path / "old-worker", patient, "old-worker"))
    scheduler = of_old(Scheduler(tmp_path / "old-scheduler", stack.environment, "old-scheduler"))
    with web, worker, scheduler:
        yield web, worker, scheduler
    for part in (stack.web, *stack.workers, stack.scheduler):
        part.start()


def test_nobody_notices_an_upgrade(stack: StackUnderTest, old: tuple[Web, Worker, Scheduler]) -> None:
    web, worker, scheduler = old
    # The new one is up to register people; nobody asks it yet.
    stack.web.start()
    chaos = Upgrade(stack, [web])

    def some_more() -> None:
        asked = len(chaos.asked)
        eventually(lambda: len(chaos.asked) >= asked + 10 or chaos.complaints, 60)

    def upgrade(_chance: random.Random) -> None:
        some_more()
        stack._prepare()
        stack.workers[0].start()
        chaos.webs.append(stack.web)
        some_more()
        worker.stop(40)
        chaos.webs.remove(web)
        web.stop(40)
        scheduler.stop(40)
        stack.scheduler.start()
        some_more()
        chaos.injected["upgrade"] += 1

    chaos._inject = upgrade  # type: ignore[method-assign]
    chaos.run(1)
    chaos.judge()
    assert chaos.injected == {"upgrade": 1}
    jobs = stack.db.jobs.find({"_id": {"$in": [asked.job_id for asked in chaos.asked]}})
    by_mood = {asked.job_id: asked.text.split()[0] for asked in chaos.asked}
    endings = {(by_mood[job["_id"]], job["status"]) for job in jobs if by_mood[job["_id"]] in ("[fine]", "[chatty]")}
    assert endings <= {(mood, status) for mood in ("[fine]", "[chatty]") for status in ("succeeded", "cancelled")}
