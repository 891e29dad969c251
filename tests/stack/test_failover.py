"""A replica set of three, as in production: its primary gives up, dies or freezes while people ask."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.chaos import Chaos
from tests.stack.replica_set import MEMBERS, Member, ReplicaSet
from tests.stack.stack import StackUnderTest, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

FAULTS = ("step down", "kill -9", "freeze")


class StackOfThree(StackUnderTest):
    """The stack on three mongods instead of one."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, workers=1)
        self.mongo = ReplicaSet(directory / "mongo")
        # One and the same for all parts.
        self.environment["mongodb_uri"] = self.mongo.uri


class Failover(Chaos):
    """As `Chaos`; the faults are the primary's alone, one of each kind in turn."""

    def _inject(self, chance: random.Random) -> None:
        fault = FAULTS[self.injected.total() % len(FAULTS)]
        self.injected[fault] += 1
        asked = len(self.asked)
        eventually(lambda: len(self.asked) > asked + 3, 60)
        old, began = self.stack.mongo.primary(), time.monotonic()
        {"step down": old.step_down, "kill -9": old.kill, "freeze": old.pause}[fault]()
        new = self._another_than(old)
        asked = len(self.asked)
        eventually(lambda: len(self.asked) > asked, 60)
        print(f"{fault}: asking again after {time.monotonic() - began:.1f} s")
        old.resume()
        old.start()
        self._stopped.wait(chance.uniform(0.2, 1))
        assert new.running

    def _another_than(self, old: Member) -> Member:
        others = [member for member in self.stack.mongo.members if member is not old]
        return eventually(lambda: next((member for member in others if member.is_primary()), None), 60)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackOfThree]:
    with StackOfThree(tmp_path_factory.mktemp("three")) as stack:
        yield stack


def test_no_question_and_no_charge_is_lost_or_doubled_by_a_failover(three: StackOfThree) -> None:
    chaos = Failover(three, seed=random.randrange(10**9))
    chaos.run(len(FAULTS))
    chaos.judge()
    assert set(chaos.injected) == set(FAULTS)


def test_without_a_majority_nothing_is_accepted_and_nothing_is_lost(three: StackOfThree) -> None:
    """Two of three gone: 503 instead of a promise that nobody keeps; back again, the same question goes through."""
    person = three.register()
    before = person.billing()["currentBalance"]
    primary = three.mongo.primary()
    gone = [member for member in three.mongo.members if member is not primary]
    assert len(gone) == MEMBERS - 1
    for member in gone:
        member.kill()
    eventually(lambda: not primary.is_primary(), 60)
    reply = person.ask("is anybody there?", key="majority")
    assert (reply.status_code, reply.json()["code"]) == (503, "UNAVAILABLE")
    three.mongo.start()
    three.mongo.primary()

    reply = eventually(lambda: (r := person.ask("is anybody there?", key="majority")).status_code == 202 and r)
    assert person.final(reply.json()["jobId"])["status"] == "succeeded"
    assert before - person.billing()["currentBalance"] == person.job(reply.json()["jobId"])["charged"]
