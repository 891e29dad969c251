"""A server on this machine that no callback may reach."""

from collections.abc import Iterator

import pytest

from tests.core.callback_urls.support import Canary, serving


@pytest.fixture(scope="module")
def canary_server() -> Iterator[Canary]:
    server = Canary("127.0.0.2")
    with serving(server):
        yield server


@pytest.fixture
def canary(canary_server: Canary) -> Canary:
    canary_server.connections = 0
    canary_server.heard.clear()
    return canary_server
