"""Whatever a process has to say is one ECS object a line, also what nobody caught, and never a secret."""

import json
import subprocess
import sys
from typing import Any

import pytest

BEGINNING = """
import logging, threading
import gevent, structlog
from service.adapters import logs

logs.configure("INFO", "worker")
"""


def written(code: str) -> list[dict[str, Any]]:
    """The lines of a process that does this; there must be no others."""
    done = subprocess.run([sys.executable, "-c", BEGINNING + code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ValueError('lost')", "process broke"),
        ("threading.Thread(target=int, args=('lost',)).start()", "thread broke"),
        ("gevent.spawn(int, 'lost').join()", "greenlet broke"),
        ("gevent.get_hub().loop.run_callback(int, 'lost'); gevent.sleep(0.01)", "greenlet broke"),
        (
            "class Thrown:\n    def __del__(self):\n        raise ValueError('lost')\nThrown()",
            "exception ignored",
        ),
    ],
)
def test_what_nobody_catches_is_a_line_too(code: str, message: str) -> None:
    (line,) = written(code)
    assert (line["message"], line["service"]["name"]) == (message, "worker")
    assert line["log.level"] in ("error", "critical")
    assert "lost" in line["error"]["stack_trace"]


THROWN = """
class Thrown:
    def __repr__(self):
        return "a secret"

    def __del__(self):
        raise ValueError("lost")
"""
BROKEN = """
def broken():
    try:
        yield
    finally:
        raise ValueError("lost")

begun = broken()
next(begun)
del begun
"""
# As the interpreter calls it, of what C code can't raise.
IGNORED = """
import collections, sys
Details = collections.namedtuple("Details", "exc_type exc_value exc_traceback err_msg object")
sys.unraisablehook(Details(ValueError, {value}, None, {reason!r}, {thing}))
"""


@pytest.mark.parametrize(
    ("code", "said", "has_value"),
    [
        (THROWN + "Thrown()", {"object": "Thrown.__del__"}, True),
        (BROKEN, {"object": "broken"}, True),
        (
            THROWN + IGNORED.format(value="ValueError('lost')", reason="in a callback", thing="Thrown"),
            {"reason": "in a callback", "object": "Thrown"},
            True,
        ),
        (IGNORED.format(value="ValueError('lost')", reason=None, thing="['a secret']"), {"object": "list"}, True),
        (IGNORED.format(value="None", reason="out of memory", thing=None), {"reason": "out of memory"}, False),
    ],
)
def test_what_is_ignored_is_said_as_far_as_it_is_known(code: str, said: dict[str, str], has_value: bool) -> None:
    (line,) = written(code)
    assert {name: line[name] for name in ("reason", "object") if name in line} == said
    assert (line["message"], line["log.level"], line["error"]["type"]) == ("exception ignored", "error", "ValueError")
    assert line["error"].get("stack_trace", "").rpartition("\n")[2] == ("ValueError: lost" if has_value else "")
    assert "a secret" not in json.dumps(line)


@pytest.mark.parametrize("place", ["structlog", "__import__('builtins')", "logging", "gevent", "logs"])
def test_nothing_is_said_while_the_interpreter_ends(place: str) -> None:
    """Of a thing that is cleared away with a module; `written` sees what else is printed."""
    assert written(f"{THROWN}{place}.kept = [Thrown()]") == []


def test_a_caught_exception_is_an_error_of_whoever_logs_it() -> None:
    code = """
for log in (logging.getLogger("a.library"), structlog.get_logger("ours")):
    try:
        int("x")
    except ValueError:
        log.exception("broke")
"""
    lines = written(code)
    assert [(line["log.level"], line["log"]["logger"]) for line in lines] == [("error", "a.library"), ("error", "ours")]
    assert all("ValueError" in line["error"]["stack_trace"] for line in lines)


def test_no_line_has_a_secret() -> None:
    secrets = ("/ws?token=not-even-a-token", "/?x=1&refresh_token=eyJhbGciOi", "tm_" + 24 * "a", "/?Password=p%20q")
    code = f"""
for secret in {secrets!r}:
    logging.getLogger("gunicorn.error").error("Error handling request %s", secret)
    try:
        raise ValueError(secret)
    except ValueError:
        structlog.get_logger().exception("broke", path=secret)
"""
    texts = [json.dumps(line) for line in written(code)]
    assert len(texts) == 2 * len(secrets)
    for text in texts:
        assert "***" in text
        assert not [secret for secret in secrets if secret.rpartition("=")[2] in text]


def test_the_web_server_says_no_query_strings() -> None:
    code = """
logging.getLogger("gunicorn.error").warning("Invalid request line 'GET /api/search?q=my%20illness&page=2 HTTP/9'")
"""
    (line,) = written(code)
    assert line["message"] == "Invalid request line 'GET /api/search?*** HTTP/9'"


def test_a_wrong_setting_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET_KEY", "short")
    for command in (["service.exporter"], ["workers", "-Q", "chat"]):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "")
        line = json.loads(done.stdout)
        assert line["message"] == "process broke"
        assert "JWT_SECRET_KEY" in line["error"]["stack_trace"]
