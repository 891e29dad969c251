"""A backup taken while people ask and pay, restored into a fresh server, and the service started on it."""

import threading
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo.database import Database

from devstack.stack import Stack
from service.adapters.mongo import backup
from tests.core.checker import OPEN, check_money
from tests.scripts import run_script
from tests.stack.chaos import Asked, Chaos
from tests.stack.paying_chaos import PayingChaos
from tests.stack.stack import Person, StackUnderTest, eventually

# What the second installation must not take from the first.
ITS_OWN = ("mongodb_uri", "redis_url", "openai_base_url", "crash_file", "prometheus_multiproc_dir")
HELD = 6


class Restored(Stack):
    """An installation that begins with a backup."""

    def __init__(self, directory: Path, of: StackUnderTest, kept_at: Path) -> None:
        settings = {name: value for name, value in of.environment.items() if name not in ITS_OWN}
        super().__init__(directory, workers=1, **settings)
        self._kept_at = kept_at

    def _prepare(self) -> None:
        run_script("restore.sh", self.environment, self._kept_at)


class Asking(Chaos):
    """Clients who ask, and cancel nothing."""

    def _talk(self, number: int, person: Person) -> None:
        count = 0
        while not self._stopped.wait(0.1):
            count += 1
            text = f"question {count} of client {number}"
            job_id = self._ask(person, text, stream=bool(count % 2))
            if job_id is not None:
                self.asked.append(Asked(person, job_id, text))


def jobs_in(path: Path) -> list[dict[str, Any]]:
    """The jobs as the backup has them."""
    with path.open("rb") as stream:
        frames = list(backup._frames(stream))
    return [
        bson.decode(job.raw)
        for frame in frames
        if frame.get("collection") == "jobs"
        for job in frame.get("documents", ())
    ]


def indexes(db: Database) -> dict[str, list[dict[str, Any]]]:
    return {name: sorted(db[name].list_indexes(), key=lambda row: row["name"]) for name in db.list_collection_names()}


class Traffic:
    """People who ask, and people who pay, from `start` to `end`."""

    def __init__(self, stack: StackUnderTest) -> None:
        self.asking, self.paying = Asking(stack, seed=1), PayingChaos(stack, seed=1)
        self._stack = stack
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self.paying.hire()
        talks = [(chaos, n) for chaos in (self.asking, self.paying) for n in range(2)]
        self._threads = [threading.Thread(target=c._client, args=(n, self._stack.register())) for c, n in talks]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        for chaos in (self.asking, self.paying):
            chaos._stopped.set()
        for thread in self._threads:
            thread.join()
        for complaint in self.asking.complaints + self.paying.complaints:
            raise complaint


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_backup_under_traffic_is_a_whole_installation(stack: StackUnderTest, tmp_path: Path) -> None:
    stack.upstream.clear()
    stack.yookassa.clear()
    traffic = Traffic(stack)
    person = stack.register()
    stack.upstream.rule(contains="held", hold="gate")
    held = [person.submit(f"held {n}") for n in range(HELD)]
    stack.upstream.wait_for_calls(HELD, contains="held")
    traffic.start()
    try:
        eventually(lambda: len(traffic.asking.asked) >= 10 and stack.yookassa.payments())
        kept_at = Path(run_script("backup.sh", stack.environment, tmp_path / "backups"))
        later = [person.submit(f"held later {n}") for n in range(3)]
        asked = len(traffic.asking.asked)
        eventually(lambda: len(traffic.asking.asked) >= asked + 5)
    finally:
        traffic.end()
        stack.upstream.clear()
    assert kept_at.stat().st_mode & 0o077 == 0, "nobody else reads a backup"
    assert [path.name for path in kept_at.parent.iterdir()] == [kept_at.name]

    kept = jobs_in(kept_at)
    done = {job["_id"]: job["charged"] for job in kept if job["status"] not in OPEN}
    unanswered = {job["_id"] for job in kept} - set(done)
    assert set(held) <= unanswered
    assert len(done) > 0, "nothing was answered before the backup"
    with Restored(tmp_path / "restored", stack, kept_at) as restored:
        reborn = Person(restored.web.url, person.account_id, person.token)
        assert indexes(restored.db).items() <= indexes(stack.db).items()
        for job_id in later:
            assert reborn.call("GET", f"/api/chat/jobs/{job_id}").status_code == 404, "it came after the backup"
        jobs = restored.db.jobs
        eventually(lambda: jobs.count_documents({"status": {"$in": OPEN}}) == 0, 45)
        check_money(restored.db)
        # An answer that was being shown is not begun anew under its reader's eyes.
        interrupted = {job["_id"] for job in jobs.find({"error_code": "INTERRUPTED"})} & unanswered
        assert not interrupted & set(held)
        asked_again = [call["body"]["messages"][-1]["content"] for call in restored.upstream.journal()]
        assert len(asked_again) == len(set(asked_again)) == len(unanswered - interrupted), "each that was open, once"
        charged = {job["_id"]: job["charged"] for job in jobs.find({"status": "succeeded"})}
        assert charged.keys() == done.keys() | unanswered - interrupted
        assert done.items() <= charged.items(), "what was paid stays paid, once"
        assert reborn.final(reborn.submit("and it goes on"))["status"] == "succeeded"
        check_money(restored.db)
    eventually(lambda: stack.db.jobs.count_documents({"status": {"$in": OPEN}}) == 0, 45)
    check_money(stack.db)
