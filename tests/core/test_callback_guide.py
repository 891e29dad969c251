"""The verifying code of docs/callbacks.md, tried as it is written there."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook

from service.domain.webhooks import new_secret, sign

GUIDE = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text(encoding="utf-8")
BODY = '{"type":"job.succeeded","data":{"message":"«Прибой» 🌊"}}'.encode()
Verify = Callable[[str, dict[str, str], bytes], bool]


def code(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found, language
    return found.group(1)


def in_python(secret: str, headers: dict[str, str], body: bytes) -> bool:
    namespace: dict[str, Verify] = {}
    exec(code("python"), namespace)
    return namespace["is_genuine"](secret, headers, body)


def run(command: list[str], program: str, secret: str, headers: dict[str, str], body: bytes) -> bool:
    given = json.dumps({"secret": secret, "headers": headers, "body": body.decode()})
    done = subprocess.run([*command, program], input=given, capture_output=True, text=True, check=True, timeout=60)
    return bool(json.loads(done.stdout))


def in_javascript(secret: str, headers: dict[str, str], body: bytes) -> bool:
    program = code("javascript") + (
        'const given = JSON.parse(require("node:fs").readFileSync(0, "utf8"));\n'
        "console.log(isGenuine(given.secret, given.headers, Buffer.from(given.body)));"
    )
    return run([*node(), "-e"], program, secret, headers, body)


def node() -> list[str]:
    return [shutil.which("node")] if shutil.which("node") else [sys.executable, "-m", "devstack.node", "node"]


def in_php(secret: str, headers: dict[str, str], body: bytes) -> bool:
    program = code("php").removeprefix("<?php") + (
        "$given = json_decode(file_get_contents('php://stdin'), true);\n"
        "echo json_encode(is_genuine($given['secret'], $given['headers'], $given['body']));"
    )
    return run(["php", "-r"], program, secret, headers, body)


VERIFIERS = [
    pytest.param(in_python, id="python"),
    pytest.param(in_javascript, id="javascript"),
    pytest.param(in_php, id="php", marks=pytest.mark.skipif(not shutil.which("php"), reason="no PHP here")),
]


def message(secrets: list[str], moment: int) -> dict[str, str]:
    signatures = " ".join(sign(secret, "event-1", moment, BODY) for secret in secrets)
    return {"webhook-id": "event-1", "webhook-timestamp": str(moment), "webhook-signature": signatures}


@pytest.mark.parametrize("is_genuine", VERIFIERS)
def test_the_guides_code_tells_genuine_from_forged(is_genuine: Verify) -> None:
    secret, other, now = new_secret(), new_secret(), int(time.time())
    genuine = message([secret], now)
    assert Webhook(secret).verify(BODY, genuine)
    assert is_genuine(secret, genuine, BODY)
    assert is_genuine(secret, message([other, secret], now), BODY), "one of several signatures is enough"
    assert not is_genuine(other, genuine, BODY)
    assert not is_genuine(secret, genuine, BODY + b" ")
    assert not is_genuine(secret, {**genuine, "webhook-id": "event-2"}, BODY)
    assert not is_genuine(secret, message([secret], now - 400), BODY)
    assert not is_genuine(secret, message([secret], now + 400), BODY)
    assert not is_genuine(secret, {**genuine, "webhook-timestamp": "soon"}, BODY)
    assert not is_genuine(secret, {**genuine, "webhook-signature": "v1,AAAA"}, BODY)
    assert not is_genuine(secret, {}, BODY)


def test_the_guide_has_code_for_1c() -> None:
    assert "ПодписьВерна" in code("bsl")
