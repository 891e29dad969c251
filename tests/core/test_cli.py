"""What operators are told by `python -m service.cli` when the settings are wrong."""

import sys

import pytest

from service import cli

SECRET = "a-secret-that-is-nobodys-business-1"


def test_wrong_settings_are_named_in_one_line_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["service.cli", "check-backup"])
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("JWT_SECRET_KEY", "short")
    assert cli.main() == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "settings: JWT_SECRET_KEY needs at least 32 characters of its own\n"
    monkeypatch.setenv("PORT", SECRET)
    assert cli.main() == 1
    told = capsys.readouterr()
    assert told.err.startswith("settings: PORT: ")
    assert SECRET not in told.err
