"""The OpenAPI 3.1 document: what the decorators of the routes say, completed with what follows from a route's kind.

A route's kind gives its security, its request headers and most of its errors, so that no view has to repeat them and
none can forget one. Errors, headers and the security scheme are shared components.
"""

import re
from collections.abc import Iterator
from typing import Any

from flask import Flask
from flask_smorest import Api  # type: ignore[import-untyped]
from marshmallow import fields
from werkzeug.routing import Rule

from service.api import openai_errors
from service.api import openapi_components as components
from service.api.auth import KEY_IN_PATH
from service.api.fields import IDENTIFIER, FlatObject, Input, camel

TITLE = "Talkmeter"
VERSION = "1.0.0"
DESCRIPTION = (
    "Chat with language models through one gateway: every answer is a job that is accepted durably, metered in tokens "
    "and charged once. Poll the job, wait for it (`Prefer: wait=N`) or follow its events.\n\n"
    "Fields are camelCase, and snake_case under `/api/tracks` and `/api/ai`; either is accepted. Unknown fields are "
    "ignored. Times are UTC in whole seconds. "
    "Errors have one shape everywhere, in the reader's language (`Accept-Language`: ru, en, fr); only `/api/bot` "
    "answers 200 whatever happens, in flat fields of its own."
)
# Answered whatever a route does: a defect, and a dependency that is away.
_ALWAYS = (500, 503)
_OF_TOKENS = (401, 403)
_OF_BODIES = (400, 413, 415)
_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})


class DocumentedApi(Api):  # type: ignore[misc]
    """flask-smorest's API, whose error handlers and pages are ours."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        app.config.update(API_TITLE=TITLE, API_VERSION=f"v{VERSION}", OPENAPI_VERSION="3.1.0")
        super().__init__(app)
        converter = self.ma_plugin.converter
        converter.add_attribute_function(_flat_object)
        converter.add_attribute_function(_documented)

    def _register_error_handlers(self) -> None:
        """None of flask-smorest's: see `service/api/errors.py`."""

    def document(self) -> dict[str, Any]:
        """The whole document, for the routes registered so far."""
        document: dict[str, Any] = self.spec.to_dict()
        document["info"] = {"title": TITLE, "version": VERSION, "description": DESCRIPTION}
        document["servers"] = [{"url": "/"}]
        known = document.setdefault("components", {})
        # flask-smorest's own, which nothing refers to.
        known["schemas"].pop("PaginationMetadata", None)
        for kind, entries in components.shared().items():
            known.setdefault(kind, {}).update(entries)
        for item, rule, operation in _operations(document, self._app):
            view = self._app.view_functions[rule.endpoint]
            _complete(operation, rule, view, item)
            _describe_query(operation)
            _describe_body(operation, view, known["schemas"])
        document["paths"] = {_with_camel_case(path): item for path, item in document["paths"].items()}
        return document


def _operations(document: dict[str, Any], app: Flask) -> Iterator[tuple[dict[str, Any], Rule, dict[str, Any]]]:
    rules = {(_path(rule), method.lower()): rule for rule in app.url_map.iter_rules() for method in rule.methods or ()}
    for path, item in document["paths"].items():
        for parameter in item.get("parameters", []):
            _describe_path_parameter(parameter)
        for method, operation in item.items():
            if method != "parameters":
                yield item, rules[path, method], operation


def _complete(operation: dict[str, Any], rule: Rule, view: Any, item: dict[str, Any]) -> None:
    """Everything that the route's kind says: identity, security, headers, errors."""
    operation["operationId"] = camel(rule.endpoint.replace(".", "_").replace("-", "_"))
    operation["x-access"] = view.access
    if getattr(view, "always_ok", False):
        operation["x-always-ok"] = True
    operation["security"] = _security(view, rule)
    names = ("X-Request-Id", "Accept-Language", *getattr(view, "header_names", ()))
    operation.setdefault("parameters", []).extend(components.parameter_ref(name) for name in names)
    responses: dict[str, Any] = operation.setdefault("responses", {})
    takes_input = len(operation["parameters"]) > len(names) or "parameters" in item
    # flask-smorest's own word for bad arguments, which has no body of ours.
    responses.pop("400", None)
    for error_status in _error_statuses(view, "requestBody" in operation, takes_input):
        openai = openai_errors.are_spoken(rule.rule)
        responses.setdefault(str(error_status), components.error_ref(error_status, openai=openai))
    for status, response in responses.items():
        if "$ref" not in response:
            response["headers"] = {
                name: components.header_ref(name)
                for name in (
                    *components.RESPONSE_HEADERS.get(status, ("X-Request-Id",)),
                    *(components.RATE_LIMIT_HEADERS if getattr(view, "tells_quota", False) else ()),
                    *(components.STREAM_HEADERS if "text/event-stream" in response.get("content", {}) else ()),
                )
            }


def _security(view: Any, rule: Rule) -> list[dict[str, list[str]]]:
    if KEY_IN_PATH in rule.arguments:
        # The path itself is the credential, which OpenAPI has no word for.
        return [{}]
    if getattr(view, "may_send_token", False):
        return [{}, {components.BEARER: []}]
    if view.access == "public":
        return []
    scope = getattr(view, "scope", None)
    return [{components.BEARER: []}, *([{components.API_KEY: [scope.value]}] if scope else [])]


def _error_statuses(view: Any, has_body: bool, takes_input: bool) -> list[int]:
    if getattr(view, "always_ok", False):
        return []
    statuses = {*_ALWAYS, *getattr(view, "error_statuses", ())}
    if view.access != "public":
        statuses.update(_OF_TOKENS)
    if view.access == "owner":
        # An admin may name somebody, who must be there.
        statuses.add(404)
    if has_body:
        statuses.update(_OF_BODIES)
    if takes_input:
        statuses.add(400)
    return sorted(statuses)


def _describe_body(operation: dict[str, Any], view: Any, schemas: dict[str, Any]) -> None:
    """What the fields alone don't say of a body. A flat one may be sent as a form too, without what no form carries."""
    schema = _body_schema(view)
    if schema is None:
        return
    name = type(schema).__name__
    whole = schemas[name]
    if schema.EITHER:
        whole["anyOf"] = [{"required": [key], "properties": {key: {"type": "string"}}} for key in schema.EITHER]
    flat = {key: _without_null(value) for key, value in whole["properties"].items() if _is_scalar(value)}
    if schema.ONE_OF:
        _document_alternatives(whole, schema.ONE_OF)
    if not schema.is_flat:
        return
    needed = [key for key in schema.ONE_OF if key in flat]
    form = {name: value for name, value in whole.items() if name != "oneOf"}
    schemas[f"{name}Form"] = {"type": "object", **form, "properties": flat, **({"required": needed} if needed else {})}
    operation["requestBody"]["content"]["application/x-www-form-urlencoded"] = {
        "schema": {"$ref": f"#/components/schemas/{name}Form"},
        "example": {key: value for key, value in (schema.EXAMPLE or {}).items() if key in flat},
    }


def _document_alternatives(whole: dict[str, Any], keys: tuple[str, ...]) -> None:
    """A body with exactly one of these keys: one schema for each of them, all with everything else."""
    properties = whole.pop("properties")
    common = {name: schema for name, schema in properties.items() if name not in keys}
    whole["oneOf"] = [
        {
            "type": "object",
            "title": f"With `{key}`",
            "required": [key],
            "properties": {key: _without_null(properties[key]), **common},
        }
        for key in keys
    ]


def _body_schema(view: Any) -> Input | None:
    for parameter in getattr(view, "_apidoc", {}).get("arguments", {}).get("parameters", []):
        if parameter["in"] == "json":
            found: Input = parameter["schema"]
            return found
    return None


def _is_scalar(schema: dict[str, Any]) -> bool:
    kinds = schema.get("type", [])
    named = {kinds} if isinstance(kinds, str) else set(kinds)
    return bool(named - {"null"}) and named <= _SCALARS


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What text can carry of a schema: a query or a form has no null, a field is there or it isn't."""
    kinds = schema.get("type", [])
    stripped = {key: value for key, value in schema.items() if key != "default" or value is not None}
    if isinstance(kinds, list):
        stripped["type"] = next(kind for kind in kinds if kind != "null")
    if "enum" in schema:
        stripped["enum"] = [value for value in schema["enum"] if value is not None]
    return stripped


def _flat_object(_converter: Any, field: fields.Field[Any], **_options: Any) -> dict[str, Any]:
    if not isinstance(field, FlatObject):
        return {}
    return {
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
        "propertyNames": {"pattern": f"^{IDENTIFIER.pattern}$"},
    }


def _documented(_converter: Any, field: fields.Field[Any], **_options: Any) -> dict[str, Any]:
    """What a field of a kind of its own says of itself."""
    return dict(getattr(field, "SCHEMA", {}))


def _describe_path_parameter(parameter: dict[str, Any]) -> None:
    parameter["name"] = camel(parameter["name"])
    parameter["schema"] = {"type": "string", "minLength": 1, "maxLength": 128}
    parameter["example"] = components.PATH_EXAMPLES[parameter["name"]]


def _describe_query(operation: dict[str, Any]) -> None:
    for parameter in operation["parameters"]:
        if parameter.get("in") == "query":
            parameter["schema"] = _without_null(parameter["schema"])


def _path(rule: Rule) -> str:
    return re.sub(r"<(?:[^<>:]+:)?([^<>]+)>", r"{\1}", rule.rule)


def _with_camel_case(path: str) -> str:
    return re.sub(r"{([^}]+)}", lambda match: f"{{{camel(match.group(1))}}}", path)
