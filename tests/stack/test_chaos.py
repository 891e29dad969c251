"""A short seeded run in every `make test`; a long one with `make chaos` (CHAOS_FAULTS, CHAOS_SEED)."""

import os
import random

import pytest

from tests.stack.chaos import Chaos
from tests.stack.stack import StackUnderTest

SHORT_FAULTS = 12


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_short_chaos(stack: StackUnderTest) -> None:
    chaos = Chaos(stack, seed=int(os.environ.get("CHAOS_SEED", random.randrange(10**9))))
    chaos.run(SHORT_FAULTS)
    chaos.judge()
    assert len(chaos.asked) > SHORT_FAULTS, "the clients hardly got to ask"
    assert chaos.readers, "nobody followed an answer"


@pytest.mark.chaos_long
def test_long_chaos(stack: StackUnderTest) -> None:
    chaos = Chaos(stack, seed=int(os.environ.get("CHAOS_SEED", random.randrange(10**9))))
    chaos.run(int(os.environ.get("CHAOS_FAULTS", 1000)))
    chaos.judge()
    print(f"{len(chaos.asked)} jobs, faults: {dict(chaos.injected)}")
    print(f"{len(chaos.readers)} readers, connections broken: {sum(reader.breaks for reader in chaos.readers)}")
