"""The application as `tests/api` has it, and a stack of real processes as `tests/stack` has it."""

from collections.abc import Iterator

import pytest

from tests.api.conftest import admin, app, client, program, program_for, register, user, worker
from tests.stack.stack import StackUnderTest

__all__ = ["admin", "app", "client", "program", "program_for", "register", "user", "worker"]


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    with StackUnderTest(tmp_path_factory.mktemp("seeds"), workers=1) as running:
        yield running
