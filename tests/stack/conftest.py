"""Stacks of real processes: one that stays whole, and one that tests may break as they like."""

from collections.abc import Iterator

import pytest

from tests.stack.stack import StackUnderTest


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Started once; whatever a test stops it must start again."""
    with StackUnderTest(tmp_path_factory.mktemp("stack"), workers=2) as running:
        yield running
