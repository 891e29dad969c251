"""Stacks of real processes: one that stays whole, and one that tests may break as they like."""

from collections.abc import Iterator

import pytest

from tests.stack.stack import StackUnderTest


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Started once; whatever a test stops it must start again."""
    directory = tmp_path_factory.mktemp("stack")
    (directory / "metrics").mkdir()
    with StackUnderTest(directory, workers=2, prometheus_multiproc_dir=str(directory / "metrics")) as running:
        yield running
