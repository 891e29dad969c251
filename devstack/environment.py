"""What the user configured for `make run`: the environment, then `.env`, and secrets kept in files."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from dotenv import dotenv_values

REPOSITORY = Path(__file__).resolve().parent.parent
SECRET_BYTES = 32
PASSWORD_BYTES = 12


class ConfigurationError(Exception):
    """Something the user set cannot work; the text says what to change."""


def read_environment() -> dict[str, str]:
    """The environment over `.env`. An empty value counts as not set."""
    merged = {**dotenv_values(REPOSITORY / ".env"), **os.environ}
    return {name: value for name, value in merged.items() if value}


def value_of(environment: Mapping[str, str], name: str) -> str:
    """The value of NAME, or the content of the file that NAME_FILE names, or an empty text."""
    if name in environment:
        return environment[name]
    path = environment.get(f"{name}_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"{name}_FILE: {path}: {error.strerror}") from error


def port_of(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not 1 <= int(text) <= 65_535:
        raise ConfigurationError(f"{name} must be a port between 1 and 65535, not {text!r}")
    return int(text)


def new_secret() -> str:
    return secrets.token_hex(SECRET_BYTES)


def new_password() -> str:
    return secrets.token_urlsafe(PASSWORD_BYTES)


class Keepsakes:
    """Secrets that are made on the first run and kept, readable by their owner only."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, name: str) -> Path:
        return self.directory / name

    def get(self, name: str, make: Callable[[], str]) -> tuple[str, bool]:
        """The kept value, and whether it was made just now."""
        path = self.path(name)
        if path.exists():
            return path.read_text(encoding="utf-8").strip(), False
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        value = make()
        # Renamed into place: a run that is killed here leaves no half of a secret behind.
        draft = path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(value + "\n")
        draft.replace(path)
        return value, True
