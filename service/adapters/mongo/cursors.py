"""Cursors of lists that grow without bound: where the last page ended, opaque to clients."""

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import Any

from service.domain.errors import ValidationFailed

TIME_AND_ID = (datetime, str)
_INTEGERS = range(-(2**63), 2**63)


def encode(*position: Any) -> str:
    """An URL-safe string for a position made of strings, integers and datetimes."""
    plain = [{"t": value.timestamp()} if isinstance(value, datetime) else value for value in position]
    return base64.urlsafe_b64encode(json.dumps(plain).encode()).decode().rstrip("=")


def decode(cursor: str, *types: type) -> list[Any]:
    """The position, if it has these types. Raises ValidationFailed for anything that `encode` didn't make."""
    try:
        plain = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        position = [datetime.fromtimestamp(value["t"], UTC) if isinstance(value, dict) else value for value in plain]
    except (binascii.Error, ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError) as error:
        raise ValidationFailed(details={"cursor": ["invalid_cursor"]}) from error
    if [type(value) for value in position] != list(types) or not all(map(_is_storable, position)):
        raise ValidationFailed(details={"cursor": ["invalid_cursor"]})
    return position


def _is_storable(value: Any) -> bool:
    """Whether the database can be asked for it at all: no lone surrogates, no integers beyond 64 bits."""
    if isinstance(value, str):
        return value.isascii()
    return not isinstance(value, int) or value in _INTEGERS


def older_than(moment: datetime, row_id: str, field: str = "created_at") -> dict[str, Any]:
    """The filter for rows after this one in a list sorted by `field` and `_id`, both descending."""
    return {"$or": [{field: {"$lt": moment}}, {field: moment, "_id": {"$lt": row_id}}]}
