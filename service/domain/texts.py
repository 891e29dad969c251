"""The texts that people read, in Russian, English and French: one flat JSON file per language in `service/locales/`.

An error code has two texts, `<CODE>.error` (one short line) and `<CODE>.message` (what happened and what to do about
it). A complaint about a field is a *detail key* such as `required` or, with values, `max_length:64`; its text is
`detail.<key>`, and the values fill `{0}`, `{1}`… Placeholders are `{name}`, or `{name:form|form|form}` for a number
with its noun in the plural forms of the language. Not for logs: those are in English and for operators.
"""

import json
import string
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

LOCALES = ("ru", "en", "fr")
DEFAULT_LOCALE = "ru"
_THOUSANDS = {"ru": "\u00a0", "en": ",", "fr": "\u00a0"}


def text(locale: str, key: str, /, *values: Any, **named: Any) -> str:
    """The text of a key with its placeholders filled. An unknown locale reads Russian. Raises KeyError."""
    known = locale if locale in LOCALES else DEFAULT_LOCALE
    return _FORMATTERS[known].vformat(_load(known)[key], values, named)


def detail(locale: str, key: str) -> str:
    """The text of a detail key; a path inside the field, as in `0.role@max_length:64`, is named in front."""
    path, _, complaint = key.rpartition("@")
    if path:
        return text(locale, "detail.position", path, detail(locale, complaint))
    name, *values = complaint.split(":")
    return text(locale, f"detail.{name}", *(int(value) if value.isdecimal() else value for value in values))


def keys(locale: str) -> frozenset[str]:
    return frozenset(_load(locale))


def plural_form(locale: str, number: int) -> int:
    """Which of the language's plural forms goes with this number: the first is for one."""
    if locale == "ru":
        return _russian_form(number)
    one = number in (0, 1) if locale == "fr" else number == 1
    return 0 if one else 1


def _russian_form(number: int) -> int:
    if number % 10 == 1 and number % 100 != 11:
        return 0
    return 1 if number % 10 in (2, 3, 4) and number % 100 not in (12, 13, 14) else 2


class _Formatter(string.Formatter):
    def __init__(self, locale: str) -> None:
        self._locale = locale

    def format_field(self, value: Any, format_spec: str) -> str:
        if not isinstance(value, int):
            return str(value)
        number = f"{value:,}".replace(",", _THOUSANDS[self._locale])
        if not format_spec:
            return number
        return f"{number} {format_spec.split('|')[plural_form(self._locale, value)]}"

    def check_unused_args(self, used_args: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """A text need not show everything that it could."""


_FORMATTERS = {locale: _Formatter(locale) for locale in LOCALES}


@cache
def _load(locale: str) -> dict[str, str]:
    source = files("service").joinpath("locales", f"{locale}.json").read_text(encoding="utf-8")
    loaded: dict[str, str] = json.loads(source)
    return loaded
