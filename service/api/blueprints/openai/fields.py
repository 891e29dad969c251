"""Kinds of fields that only OpenAI's dialect has. Its names are snake_case on the wire, and null is as good as
absent."""

from typing import Any, ClassVar

from marshmallow import ValidationError, fields

from service.api import fields as fields_of_all
from service.api.fields import Messages
from service.api.fields import SnakeInput as WireInput
from service.api.fields import SnakeOutput as WireOutput

_COMMON: Messages = {"required": "required", "null": "not_null", "validator_failed": "invalid"}
MAX_CONTENT_CHARACTERS = 400_000
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 256
__all__ = ["Content", "Number", "ResponseFormat", "Stop", "Unsupported", "WireInput", "WireOutput"]


class Number(fields_of_all.Number):
    """A number between two inclusive limits."""

    def __init__(self, least: int, most: int, **options: Any) -> None:
        super().__init__(least, most, load_default=None, allow_none=True, **options)


class Unsupported(fields.Field[None]):
    """A parameter that would change the answer and can't be honoured: refused, unless it asks for what is done anyway.

    `harmless` are the values that do; null is always one.
    """

    default_error_messages: Messages = {**_COMMON}

    def __init__(self, *harmless: Any) -> None:
        super().__init__(load_default=None, allow_none=True)
        self._harmless = harmless
        self.SCHEMA = {"enum": [*harmless, None], "description": "Not supported."}

    def _deserialize(self, value: Any, *_args: Any, **_options: Any) -> None:
        if not any(type(value) is type(each) and value == each for each in self._harmless):
            raise ValidationError("unsupported_parameter")


class Content(fields.Field[str]):
    """The text of a message: a string, or OpenAI's list of parts, of which only texts are taken."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"type": "string", "maxLength": MAX_CONTENT_CHARACTERS},
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["type", "text"],
                    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
                },
            },
        ]
    }
    default_error_messages: Messages = {**_COMMON, "invalid": "not_content"}

    def _deserialize(self, value: Any, *_args: Any, **_options: Any) -> str:
        text = value if isinstance(value, str) else "".join(self._texts(value))
        if len(text) > MAX_CONTENT_CHARACTERS:
            raise ValidationError(f"max_length:{MAX_CONTENT_CHARACTERS}")
        return text

    def _texts(self, parts: Any) -> list[str]:
        if not isinstance(parts, list):
            raise self.make_error("invalid")
        plain = [part for part in parts if isinstance(part, dict) and part.get("type") == "text"]
        texts = [part["text"] for part in plain if isinstance(part.get("text"), str)]
        if len(texts) != len(parts):
            raise self.make_error("invalid")
        return texts


class Stop(fields.Field[Any]):
    """Where the answer ends: a string, or up to four."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARACTERS},
            {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_STOPS,
                "items": {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARACTERS},
            },
            {"type": "null"},
        ]
    }
    default_error_messages: Messages = {**_COMMON, "invalid": "not_stop"}

    def __init__(self) -> None:
        super().__init__(load_default=None, allow_none=True)

    def _deserialize(self, value: Any, *_args: Any, **_options: Any) -> str | list[str]:
        stops = [value] if isinstance(value, str) else value
        if not isinstance(stops, list) or not 1 <= len(stops) <= MAX_STOPS:
            raise self.make_error("invalid")
        if not all(isinstance(stop, str) and 1 <= len(stop) <= MAX_STOP_CHARACTERS for stop in stops):
            raise self.make_error("invalid")
        return value if isinstance(value, str) else stops


class ResponseFormat(fields.Field[dict[str, Any]]):
    """Plain text, a JSON object, or JSON by a schema; what the schema may say is the model's affair."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {
                "type": "object",
                "required": ["type"],
                "properties": {"type": {"enum": ["text", "json_object"]}},
            },
            {
                "type": "object",
                "required": ["type", "json_schema"],
                "properties": {
                    "type": {"const": "json_schema"},
                    "json_schema": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}},
                    },
                },
            },
            {"type": "null"},
        ]
    }
    default_error_messages: Messages = {**_COMMON, "invalid": "not_response_format"}

    def __init__(self) -> None:
        super().__init__(load_default=None, allow_none=True)

    def _deserialize(self, value: Any, *_args: Any, **_options: Any) -> dict[str, Any]:
        kind = value.get("type") if isinstance(value, dict) else None
        if kind == "json_schema":
            schema = value.get("json_schema")
            if isinstance(schema, dict) and isinstance(schema.get("name"), str):
                return {"type": kind, "json_schema": schema}
        elif kind in ("text", "json_object"):
            return {"type": kind}
        raise self.make_error("invalid")
