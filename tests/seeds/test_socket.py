"""The chat backend's README: its frames, its two addresses and its defaults, on real processes."""

import json
import re
from collections.abc import Iterator

import pytest

from service.settings import Settings
from tests.seeds.documents import blocks, differences, read, section
from tests.seeds.shell import curl
from tests.stack.stack import StackUnderTest
from tests.stack.ws import Frame, Page, rest

README = read("socket")
MESSAGE, CHUNK, DONE, ERROR = (json.loads(text) for text in blocks(section(README, "### WebSocket"), "json"))
# What we say beyond the README, and nothing else.
ADDED = {"chunk": {"jobId", "sessionId"}, "done": {"jobId", "sessionId", "usage"}, "error": {"code", "jobId"}}
HISTORY = 20


@pytest.fixture
def page(stack: StackUnderTest) -> Iterator[Page]:
    """Somebody who connects to the address of the README with a token, and nothing else."""
    stack.upstream.clear()
    with Page(stack.web.url, f"/?token={stack.register().token}") as opened:
        yield opened


def conforms(page: Page) -> list[str]:
    """What of the frames that came is not as printed."""
    shown = {frame["type"]: frame for frame in (CHUNK, DONE, ERROR)}
    return [
        complaint
        for frame in page.frames
        for complaint in differences(shown[frame["type"]], frame, ADDED[frame["type"]])
    ]


def test_the_printed_message_is_answered_with_the_printed_frames(stack: StackUnderTest, page: Page) -> None:
    stack.upstream.rule(contains=MESSAGE["content"], answer="Раз два три", chunk_delay_seconds=0.1)
    page.socket.send(blocks(README, "json")[0])
    page.has("done")
    assert conforms(page) == []
    assert [frame["type"] for frame in page.frames] == ["chunk"] * 3 + ["done"]
    assert page.text == "Раз два три"


def test_a_failure_is_the_printed_error(stack: StackUnderTest, page: Page) -> None:
    stack.upstream.rule(contains="сломайся", status=400)
    page.send(**{**MESSAGE, "content": "сломайся"})
    page.has("error")
    assert conforms(page) == []


@pytest.mark.parametrize(
    "sent",
    ["это не JSON", json.dumps({**MESSAGE, "content": ""}), json.dumps({**MESSAGE, "content": "я" * 10_001})],
    ids=["not JSON", "empty", "over 10k"],
)
def test_what_is_not_valid_is_the_printed_error(stack: StackUnderTest, page: Page, sent: str) -> None:
    page.socket.send(sent)
    page.has("error")
    assert conforms(page) == []
    page.send(**MESSAGE).has("done")


def test_the_last_twenty_messages_are_the_history(stack: StackUnderTest, page: Page) -> None:
    for turn in range(HISTORY // 2 + 2):
        rest(stack)
        page.send(**{**MESSAGE, "content": f"реплика {turn} из многих"}).has("done", turn + 1)
    (call,) = stack.upstream.wait_for_calls(1, contains=f"реплика {turn} из многих")
    persona, *history, question = call["body"]["messages"]
    assert (persona["role"], question["content"]) == ("system", f"реплика {turn} из многих")
    assert len(history) == HISTORY
    assert [message["role"] for message in history] == ["user", "assistant"] * (HISTORY // 2)
    assert history[0]["content"] == "реплика 1 из многих"


def test_the_defaults_are_those_of_the_readme() -> None:
    settings = Settings(
        _env_file=None, app_env="development", openai_api_key="x", jwt_secret_key="0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    )
    defaults = dict(re.findall(r"- `(\w+)` \(по дефолту (\S+)\)", README))
    # Of the others the contract names another: one port for everything, and a model that is still there.
    assert defaults.keys() == {"PORT", "NODE_ENV", "RATE_LIMIT_MS", "MAX_HISTORY_LENGTH", "OPENAI_MODEL"}
    assert settings.rate_limit_ms == int(defaults["RATE_LIMIT_MS"])
    assert settings.max_history_length == int(defaults["MAX_HISTORY_LENGTH"]) == HISTORY


def test_the_levels_of_the_readme_are_levels_of_the_logs() -> None:
    named = re.search(r"структурированные логи с уровнями \((.+)\)", README)
    assert named is not None
    secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    levels = [
        Settings(_env_file=None, app_env="development", openai_api_key="x", jwt_secret_key=secret, log_level=level)
        for level in named[1].split(", ")
    ]
    assert [settings.log_level for settings in levels] == ["ERROR", "WARNING", "INFO", "DEBUG"]


def test_the_printed_commands_work(stack: StackUnderTest, page: Page) -> None:
    health, metrics = blocks(section(README, "## Мониторинг"), "bash")
    status, content_type, told = curl(health, stack.web.url)
    assert (status, content_type, told["status"]) == (200, "application/json; charset=utf-8", "ok")
    status, content_type, told = curl(metrics, stack.web.url)
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    assert "sockets_open" in told


def test_the_figures_of_the_readme_come_as_json(stack: StackUnderTest, page: Page) -> None:
    assert "статистика (активные соединения, память, аптайм)" in README
    page.send(**MESSAGE).has("done")
    status, _, told = curl("curl http://localhost:3001/metrics", stack.web.url, "-H", "Accept: application/json")
    assert status == 200
    shown = {"activeConnections": 1, "memory": {"rss": 1}, "uptime": 1}
    assert differences(shown, told, {"sockets", "streams"}) == []
    assert told["activeConnections"] >= 1
    assert told["memory"]["rss"] > 10_000_000


def test_every_frame_that_is_printed_is_tried() -> None:
    kinds: list[Frame] = [MESSAGE, CHUNK, DONE, ERROR]
    assert [frame["type"] for frame in kinds] == ["message", *ADDED]
