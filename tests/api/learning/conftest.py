"""Somebody who answers, and a title by which to find what was asked."""

from collections.abc import Callable
from uuid import uuid4

import pytest


@pytest.fixture(autouse=True)
def provider(worker: Callable[[], None]) -> None:
    """Somebody answers."""
    worker()


@pytest.fixture
def title() -> str:
    """A title that nobody used before, by which the calls of one test are found in the stand-in's journal."""
    return f"course {uuid4().hex}"
