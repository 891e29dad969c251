"""Payments under faults: a short seeded run in every `make test`, a long one with `make chaos`."""

import os
import random
from collections import Counter

import pytest

from tests.stack.paying_chaos import PayingChaos
from tests.stack.stack import StackUnderTest

SHORT_FAULTS = 12


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_short(stack: StackUnderTest) -> None:
    outcomes = paying(stack, SHORT_FAULTS)
    assert outcomes["succeeded"], outcomes
    assert outcomes["refunded"], outcomes


@pytest.mark.chaos_long
def test_long(stack: StackUnderTest) -> None:
    print(paying(stack, int(os.environ.get("CHAOS_FAULTS", 200))))


def paying(stack: StackUnderTest, faults: int) -> Counter[str]:
    """So many faults while people pay; what became of their payments."""
    stack.yookassa.clear()
    chaos = PayingChaos(stack, seed=int(os.environ.get("CHAOS_SEED", random.randrange(10**9))))
    chaos.hire()
    chaos.run(faults)
    chaos.judge()
    return chaos.outcomes()
