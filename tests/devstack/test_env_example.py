"""`.env.example` documents every setting, with the default that it really has."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from service.settings import Settings

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
DOCUMENTED = dict(re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE))


def as_text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented_with_its_default(name: str):
    default = Settings.model_fields[name].default
    assert name.upper() in DOCUMENTED
    if default is not None:  # None depends on APP_ENV
        assert DOCUMENTED[name.upper()] == as_text(default)


def test_nothing_in_the_example_is_in_force():
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    assert all(not line or line.startswith("#") for line in lines)
