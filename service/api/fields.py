"""The building blocks of request and response schemas.

Inputs are strict: a value of another type is refused, never converted. Complaints are detail keys (`max_length:64`)
whose texts are in `service/locales/`. In Python names are snake_case, on the wire camelCase; input takes either.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validate, validates_schema

Messages = dict[str, str | list[Any] | dict[Any, Any]]

_COMMON: Messages = {"required": "required", "null": "not_null", "validator_failed": "invalid"}


FLAT_OBJECT_MAX_BYTES = 1024
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def camel(name: str) -> str:
    """`token_type` → `tokenType`."""
    return re.sub(r"_([a-z])", lambda match: match.group(1).upper(), name)


class Text(fields.String):
    """A string of so many characters."""

    default_error_messages: Messages = {
        **_COMMON,
        "invalid": "not_string",
        "invalid_utf8": "not_string",
    }

    def __init__(self, *, min_length: int = 0, max_length: int | None = None, **options: Any) -> None:
        limits: list[Any] = [] if not min_length else [validate.Length(min=min_length, error="not_empty")]
        if max_length is not None:
            limits.append(validate.Length(max=max_length, error=f"max_length:{max_length}"))
        super().__init__(validate=[*limits, *options.pop("validate", [])], **options)


class Choice(Text):
    """One of these strings."""

    def __init__(self, choices: tuple[str, ...], **options: Any) -> None:
        listed = validate.OneOf(choices, error=f"not_choice:{', '.join(choices)}")
        super().__init__(validate=[listed], **options)


class Whole(fields.Integer):
    """An integer between two inclusive limits. `5.0` is one, as in JSON Schema: some languages write all numbers so."""

    default_error_messages: Messages = {
        **_COMMON,
        "invalid": "not_integer",
        "too_large": "not_integer",
    }

    def __init__(self, *, least: int, most: int, **options: Any) -> None:
        limits = validate.Range(least, most, error=f"range:{least}:{most}")
        super().__init__(strict=True, validate=[limits, *options.pop("validate", [])], **options)

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> int:
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        return super()._deserialize(whole, *args, **options)


class Number(fields.Field[float]):
    """A number between two inclusive limits; with `above`, greater than `least`, which then must be 0."""

    default_error_messages: Messages = {**_COMMON, "invalid": "not_number"}

    def __init__(self, least: int, most: int, *, above: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._least, self._most, self._above = least, most, above
        self.SCHEMA = {
            "type": ["number", "null"] if self.allow_none else "number",
            "exclusiveMinimum" if above else "minimum": least,
            "maximum": most,
        }

    def _deserialize(self, value: Any, *_args: Any, **_options: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.make_error("invalid")
        if self._above and not self._least < value <= self._most:
            raise ValidationError(f"positive:{self._most}")
        if not self._least <= value <= self._most:
            raise ValidationError(f"range:{self._least}:{self._most}")
        return value


class Flag(fields.Boolean):
    """true or false, not what some languages take for it."""

    default_error_messages: Messages = {**_COMMON, "invalid": "not_boolean"}

    def _deserialize(self, value: Any, *_args: Any, **_options: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Day(fields.Date):
    default_error_messages: Messages = {
        **_COMMON,
        **dict.fromkeys(("invalid", "invalid_awareness", "format"), "not_date"),
    }


MAX_ITEMS = 1000


class Items(fields.List[Any]):
    """A list of at most `MAX_ITEMS`, counted before any of them is looked at: each complaint about one costs time."""

    default_error_messages: Messages = {**_COMMON, "invalid": "not_list", "too_many": "list_length"}

    def _deserialize(self, value: Any, *args: Any, **options: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > MAX_ITEMS:
            raise self.make_error("too_many")
        return super()._deserialize(value, *args, **options)


class Record(fields.Nested):
    default_error_messages: Messages = {**_COMMON, "type": "not_object"}


class FlatObject(fields.Dict):
    """An object of scalars under identifiers, small enough to be carried around."""

    default_error_messages: Messages = {**_COMMON, "invalid": "not_object"}

    def _deserialize(self, value: Any, *_args: Any, **_options: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if not all(IDENTIFIER.fullmatch(key) for key in value):
            raise ValidationError("metadata_key")
        if any(isinstance(item, dict | list) for item in value.values()):
            raise ValidationError("metadata_flat")
        if len(json.dumps(value, ensure_ascii=False).encode()) > FLAT_OBJECT_MAX_BYTES:
            raise ValidationError("metadata_size")
        return value


class Moment(fields.DateTime):
    """Output only: UTC in whole seconds, `2024-01-15T10:00:00Z`."""

    def _serialize(self, value: datetime | None, *_args: Any, **_options: Any) -> str | None:
        return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Output(Schema):
    """Base of response schemas. `EXAMPLE` is for the documentation, and so is `EITHER`: keys one of which is needed."""

    EXAMPLE: ClassVar[Any] = None
    EITHER: ClassVar[tuple[str, ...]] = ()

    class Meta:
        # Documented as open, because fields may be added; in requests unknown ones are ignored.
        unknown = EXCLUDE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        if field_obj.data_key is None:
            field_obj.data_key = camel(field_name)


class Input(Output):
    """Base of request schemas. Of the keys in `ONE_OF` exactly one is needed."""

    ONE_OF: ClassVar[tuple[str, ...]] = ()

    error_messages: dict[str, str] = {"type": "not_object"}

    @pre_load
    def _in_either_case(self, data: Any, **_options: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        renamed = dict(data)
        for name, field in self.fields.items():
            key = field.data_key or name
            for spelling in (name, camel(name)):
                if key not in renamed and spelling in renamed:
                    renamed[key] = renamed[spelling]
        return renamed

    @validates_schema
    def _has_one(self, data: dict[str, Any], **_options: Any) -> None:
        given = [key for key in self.ONE_OF if data.get(key) is not None]
        if self.ONE_OF and len(given) != 1:
            complaint = f"one_of:{', '.join(self.ONE_OF)}" if given else "required"
            raise ValidationError(complaint, field_name=given[-1] if given else self.ONE_OF[0])

    @property
    def is_flat(self) -> bool:
        """Whether a form can carry everything that is required here."""
        return not any(
            field.required and isinstance(field, fields.List | fields.Nested | fields.Mapping)
            for field in self.fields.values()
        )


class _Snake(Schema):
    """On the wire as in Python: the dialect of `/api/tracks` and `/api/ai`."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        if field_obj.data_key is None:
            field_obj.data_key = field_name


class SnakeOutput(_Snake, Output):
    """Base of response schemas in snake_case."""


class SnakeInput(_Snake, Input):
    """Base of request schemas in snake_case; camelCase is taken too."""
