"""Failures under `/v1` in OpenAI's words: `{"error": {"message", "type", "param", "code"}}`.

The official SDKs choose their exception by the status and tell programs `code` and `param`. They repeat 408, 409, 429
and 5xx by themselves; `x-should-retry: false` keeps them from repeating what can only fail again.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import Response, jsonify

from service.domain.errors import ServiceError

PREFIX = "/v1"
INVALID_REQUEST, SERVER_ERROR = "invalid_request_error", "server_error"
_TYPES: Mapping[HTTPStatus, str] = {
    HTTPStatus.PAYMENT_REQUIRED: "insufficient_quota",
    HTTPStatus.FORBIDDEN: "permission_error",
    HTTPStatus.TOO_MANY_REQUESTS: "requests",
    HTTPStatus.INTERNAL_SERVER_ERROR: SERVER_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE: SERVER_ERROR,
}
# Ours that OpenAI has a word for; of the others, our own in lower case.
_CODES: Mapping[str, str] = {
    "UNAUTHORIZED": "invalid_api_key",
    "INSUFFICIENT_TOKENS": "insufficient_quota",
    "NO_CREDITS": "insufficient_quota",
    "RATE_LIMITED": "rate_limit_exceeded",
    "CONTEXT_TOO_LONG": "context_length_exceeded",
    "VALIDATION_ERROR": "invalid_value",
}
_DETAIL_CODES: Mapping[str, str] = {
    "required": "missing_required_parameter",
    "unsupported_parameter": "unsupported_parameter",
}
# What this service has tried again itself as often as was worth it, and what a repeat can't change.
_FINAL = frozenset({"UPSTREAM_ERROR", "UPSTREAM_TIMEOUT", "JOB_CANCELLED", "IDEMPOTENCY_MISMATCH"})
# Keys of our own shape that have a place in OpenAI's.
_TAKEN = frozenset({"error", "message", "code", "details"})

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "The parameter that is at fault."},
                "code": {"type": "string"},
                "requestId": {"type": "string"},
                "jobId": {"type": "string", "description": "Of a job that failed while the client waited for it."},
            },
        }
    },
}


def are_spoken(path: str) -> bool:
    """Whether failures of this route are told in OpenAI's words."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def response(status: HTTPStatus, error: ServiceError, told: Mapping[str, Any], retry_after: int | None) -> Response:
    """The answer for a failure that `told` tells in our own shape."""
    keys = [key.rpartition("@")[2] for keys in error.details.values() for key in keys]
    code = next((_DETAIL_CODES[key] for key in keys if key in _DETAIL_CODES), None)
    answer = jsonify(body(status, told, code))
    if told["code"] in _FINAL:
        answer.headers["x-should-retry"] = "false"
    elif retry_after is not None:
        answer.headers["x-should-retry"] = "true"
    return answer


def body(status: HTTPStatus, told: Mapping[str, Any], code: str | None = None) -> dict[str, Any]:
    details: Mapping[str, list[str]] = told.get("details", {})
    complaints = [f"{name}: {text}" for name, texts in details.items() for text in texts]
    extra = {name: value for name, value in told.items() if name not in _TAKEN}
    return {
        "error": {
            "message": " ".join(
                [*([f"{told['error']}."] if "error" in told else []), *(complaints or [told["message"]])]
            ),
            "type": _TYPES.get(status, INVALID_REQUEST),
            "param": next(iter(details), None),
            "code": code or _CODES.get(told["code"], told["code"].lower()),
            **extra,
        }
    }
