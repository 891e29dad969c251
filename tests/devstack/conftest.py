"""One model stand-in for these tests, emptied before each, and the official client for it."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from devstack.servers import UpstreamServer
from devstack.upstream_control import UpstreamControl

Call = dict[str, Any]


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpstreamServer]:
    with UpstreamServer(tmp_path_factory.mktemp("upstream")) as server:
        yield server


@pytest.fixture
def control(stand_in: UpstreamServer) -> Iterator[UpstreamControl]:
    control = stand_in.control
    control.clear()
    yield control
    control.clear()


@pytest.fixture
def client(stand_in: UpstreamServer, control: UpstreamControl) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=stand_in.uri, api_key="sk-test-1234", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
def seen(control: UpstreamControl) -> int:
    """The number of the last call before this test."""
    journal = control.journal()
    return int(journal[-1]["n"]) if journal else 0
