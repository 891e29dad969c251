"""How `@blueprint.arguments` reads a request: our strict readers under webargs, and complaints that name the field."""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn, cast

from flask import Request
from marshmallow import EXCLUDE, Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException

from service.api.body import parse_json, parse_pairs
from service.api.errors import PayloadTooLarge, UnsupportedMediaType
from service.api.fields import Input, Number
from service.api.state import services
from service.domain.errors import InvalidJson, ValidationFailed

KIB = 1024
_JSON = "application/json"
_FORM = "application/x-www-form-urlencoded"
# Per field: a thousand bad items need not be complained of one by one.
MAX_COMPLAINTS = 10
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class StrictParser(FlaskParser):
    DEFAULT_VALIDATION_STATUS = 400
    DEFAULT_UNKNOWN_BY_LOCATION: dict[str, str | None] = {"json": EXCLUDE, "query": EXCLUDE}

    def load_json(self, req: Request, schema: Schema) -> dict[str, Any]:
        """The body, whichever of the two content types it has."""
        return read_body(req, cast(Input, schema))

    def load_querystring(self, req: Request, schema: Schema) -> dict[str, Any]:
        return from_text(parse_pairs(req.query_string, "query"), schema)

    def handle_error(
        self, error: ValidationError, req: Request, schema: Schema, *, error_status_code: int | None, error_headers: Any
    ) -> NoReturn:
        complaints = cast(dict[str, Any], error.messages)
        raise ValidationFailed(details=flatten(next(iter(complaints.values())))) from error


def read_body(request: Request, schema: Input) -> dict[str, Any]:
    """The fields of a request's body. Raises InvalidJson, ValidationFailed, UnsupportedMediaType, PayloadTooLarge."""
    body = _bytes(request)
    if len(body) > services().settings.max_body_kib * KIB:
        raise PayloadTooLarge()
    if not body and not _needs_body(schema):
        return {}
    if request.content_encoding not in (None, "identity"):
        raise UnsupportedMediaType()
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8"):
        raise UnsupportedMediaType()
    if request.mimetype == _JSON or not body:
        return parse_json(body)
    if request.mimetype == _FORM and schema.is_flat:
        return from_text(parse_pairs(body, "body"), schema)
    raise UnsupportedMediaType()


def _bytes(request: Request) -> bytes:
    try:
        return request.get_data(cache=False)
    except HTTPException:
        raise
    except Exception as error:
        raise InvalidJson(details={"body": ["broken_transfer"]}) from error


def from_text(pairs: Mapping[str, str], schema: Schema) -> dict[str, Any]:
    """Fields that came as text, with numbers and booleans as such where the schema has them."""
    return {name: _from_text(value, _field(schema, name)) for name, value in pairs.items()}


def flatten(complaints: Any) -> dict[str, list[str]]:
    """Marshmallow's nested complaints as lists of detail keys by top-level field, with their path inside it."""
    if not isinstance(complaints, Mapping):
        return {"body": _keys(complaints)}
    return {("body" if name == "_schema" else str(name)): _keys(inner) for name, inner in complaints.items()}


def _needs_body(schema: Schema) -> bool:
    return any(field.required for field in schema.fields.values())


def _field(schema: Schema, name: str) -> fields.Field[Any] | None:
    for field_name, field in schema.fields.items():
        if name in (field.data_key, field_name):
            return field
    return None


def _from_text(value: str, field: fields.Field[Any] | None) -> Any:
    if isinstance(field, fields.Integer) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(field, Number) and _DECIMAL.fullmatch(value):
        return float(value)
    if isinstance(field, fields.Boolean):
        return _FLAGS.get(value.lower(), value)
    return value


def _keys(complaints: Any) -> list[str]:
    return [f"{path}@{key}" if path else key for path, key in islice(_walk(complaints, ()), MAX_COMPLAINTS)]


def _walk(complaints: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(complaints, Mapping):
        for name, inner in complaints.items():
            yield from _walk(inner, path if name == "_schema" else (*path, str(name)))
    else:
        for key in complaints:
            yield ".".join(path), str(key)
