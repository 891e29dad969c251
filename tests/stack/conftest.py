"""Stacks of real processes: one that stays whole, and one that tests may break as they like."""

from collections.abc import Iterator

import pytest

from devstack.parts import Web
from tests.core.checker import check_money
from tests.stack.stack import Person, StackUnderTest, eventually
from tests.stack.ws import Connect, Page


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackUnderTest]:
    """Started once; whatever a test stops it must start again."""
    directory = tmp_path_factory.mktemp("stack")
    (directory / "metrics").mkdir()
    with StackUnderTest(directory, workers=2, prometheus_multiproc_dir=str(directory / "metrics")) as running:
        yield running


@pytest.fixture
def talking(stack: StackUnderTest) -> Iterator[StackUnderTest]:
    stack.upstream.clear()
    yield stack
    stack.upstream.clear()
    stack.web.start()
    eventually(lambda: stack.db.jobs.count_documents({"status": {"$in": ["queued", "running"]}}) == 0, 45)
    check_money(stack.db)


@pytest.fixture
def connect(talking: StackUnderTest) -> Iterator[Connect]:
    """Opens sockets at the first web process, or another, for a person or nobody; all are closed after the test."""
    pages: list[Page] = []

    def make(person: Person | None = None, path: str = "/", at: Web | None = None, **options: object) -> Page:
        query = "" if person is None else f"{'&' if '?' in path else '?'}token={person.token}"
        pages.append(Page((at or talking.web).url, path + query, **options))
        return pages[-1]

    yield make
    for page in pages:
        page.leave()
