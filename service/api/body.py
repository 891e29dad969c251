"""Reads a request's body and query string into plain values, strictly and in bounded time.

Refused: what isn't UTF-8, nesting deeper than 32, NaN and infinities, integers beyond 64 bits, NUL characters and lone
surrogates. Tolerated: a byte order mark, and a repeated key (the last one counts). Pure functions, for tests too.
"""

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from service.domain.errors import InvalidJson, ValidationFailed

MAX_DEPTH = 32
MAX_PAIRS = 100
_MAX_NUMBER_CHARACTERS = 64
_INTEGERS = range(-(2**63), 2**63)
# The closing quote is optional so that a string which never ends is one match, not a fresh attempt at each quote.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class _RefusedNumber(ValueError):
    pass


def parse_json(body: bytes) -> dict[str, Any]:
    """The object that this body is. Raises InvalidJson."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        _refuse("json_encoding")
    if not text.strip():
        _refuse("json_empty")
    if _too_deep(text):
        _refuse(f"json_depth:{MAX_DEPTH}")
    try:
        value = _DECODER.decode(text)
    except _RefusedNumber:
        _refuse("json_number")
    except json.JSONDecodeError as error:
        _refuse(f"json_syntax:{error.lineno}:{error.colno}")
    if not isinstance(value, dict):
        _refuse("json_object")
    # Only an escape can bring a character that UTF-8 and JSON's grammar have not kept out already.
    if "\\u" in text and any(_NOT_TEXT.search(string) for string in _strings(value)):
        _refuse("invalid_text")
    return value


def parse_pairs(encoded: bytes, place: str) -> dict[str, str]:
    """The fields of a query string or a form. Raises ValidationFailed with a complaint about `place`."""
    try:
        pairs = parse_qsl(encoded.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PAIRS)
    except UnicodeDecodeError as error:
        raise ValidationFailed(details={place: ["invalid_text"]}) from error
    except ValueError as error:
        raise ValidationFailed(details={place: ["too_many_fields"]}) from error
    if any(_NOT_TEXT.search(part) for pair in pairs for part in pair):
        raise ValidationFailed(details={place: ["invalid_text"]})
    return dict(pairs)


def _refuse(key: str) -> NoReturn:
    raise InvalidJson(details={"body": [key]})


def _too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def _strings(value: Any) -> Iterator[str]:
    """Every string in a parsed document, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _integer(digits: str) -> int:
    # Checked before it is converted: the time of a conversion grows with the square of the digits.
    if len(digits) > _MAX_NUMBER_CHARACTERS or int(digits) not in _INTEGERS:
        raise _RefusedNumber
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _RefusedNumber
    return value


def _constant(_name: str) -> NoReturn:
    raise _RefusedNumber


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant)
