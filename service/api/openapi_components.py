"""The shared components of the OpenAPI document: errors by status, request headers, the security scheme."""

from http import HTTPStatus
from typing import Any

from service.api import openai_errors
from service.api.errors import STATUSES
from service.api.headers import MAX_WAIT_SECONDS
from service.api.schemas import EXAMPLE_ID, EXAMPLE_JOB_ID, EXAMPLE_KEY_ID, EXAMPLE_PAYMENT_ID, EXAMPLE_SECRET
from service.domain.errors import UpstreamReason
from service.domain.texts import DEFAULT_LOCALE, text

BEARER = "bearer"
API_KEY = "apiKey"
PATH_EXAMPLES = {
    "jobId": EXAMPLE_JOB_ID,
    "keyId": EXAMPLE_KEY_ID,
    "apiKey": EXAMPLE_SECRET,
    "linkId": EXAMPLE_ID,
    "sessionId": EXAMPLE_ID,
    "messageId": f"{EXAMPLE_JOB_ID}:user",
    "chatId": EXAMPLE_ID,
    "trackId": EXAMPLE_ID,
    "userId": EXAMPLE_ID,
    "webhookId": EXAMPLE_ID,
    "paymentId": EXAMPLE_PAYMENT_ID,
    "codeId": EXAMPLE_ID,
    "model": "default",
    "alias": "gpt-4o-mini",
    "assistantId": "coach",
    "deliveryId": "2c9a4d0e6b8f41d3a5c7e9f1b3d5a7c9",
}
# What the placeholders of error texts are filled with in examples.
_PARAMS = {
    "seconds": 12,
    "limit": 256,
    "required": 600,
    "available": 120,
    "held": 0,
    "model": "gpt-0",
    "tokens": 900,
    "status": "cancelled",
}
_EXTRA: dict[str, dict[str, Any]] = {
    "VALIDATION_ERROR": {"details": {"message": ["Обязательное поле."]}},
    "MODEL_NOT_FOUND": {"details": {"model": ["Такой модели нет."]}},
    "CONTEXT_TOO_LONG": {"details": {"messages": ["Длиннее, чем принимает модель."]}},
    "INVALID_JSON": {"details": {"body": ["Ошибка синтаксиса JSON: строка 1, столбец 9."]}},
    "INVALID_MESSAGE": {"details": {"message": ["Сообщение пустое."]}},
    "UNSAFE_CALLBACK_URL": {"details": {"callbackUrl": ["Это не адрес общедоступного сервера."]}},
    "NO_CREDITS": {"required": 1, "available": 0, "held": 0, "topUpUrl": "https://example.com/billing"},
    "INSUFFICIENT_TOKENS": {"required": 600, "available": 120, "held": 0, "topUpUrl": "https://example.com/billing"},
    "BALANCE_CHANGED": {"currentBalance": 99962, "held": 0},
    "VERSION_CHANGED": {"version": 4},
    "BALANCE_TOO_LOW": {"currentBalance": 99962, "held": 0},
    "PAYMENT_STATE": {"status": "cancelled"},
    "PAYMENT_SPENT": {"required": 600, "currentBalance": 120, "held": 0},
    "PAYMENT_UNAVAILABLE": {"paymentId": EXAMPLE_PAYMENT_ID},
}
_WAITING = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})

_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error", "code", "message", "requestId"],
    "properties": {
        "error": {"type": "string", "description": "One short line for a person."},
        "code": {"type": "string", "enum": sorted(STATUSES), "description": "Stable, for programs."},
        "message": {"type": "string", "description": "What to do about it."},
        "requestId": {"type": "string", "description": "Also in `X-Request-Id` and in our logs."},
        "details": {
            "type": "object",
            "description": "What is wrong with which field.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
        "requiredScope": {"type": "string", "description": "What the API key may not do."},
        "jobId": {"type": "string", "description": "Of a job that failed while the client waited for it."},
        "reason": {"type": "string", "enum": list(UpstreamReason), "description": "What the provider's failure was."},
        "paymentId": {"type": "string", "description": "Of a payment that its provider has given no address for yet."},
    },
}
_PAYMENT_SCHEMA = {
    "allOf": [
        {"$ref": "#/components/schemas/Error"},
        {
            "type": "object",
            "required": ["required", "available", "held", "topUpUrl"],
            "properties": {
                "required": {"type": "integer", "description": "Tokens, or credits, that the request needs at least."},
                "available": {"type": "integer", "description": "How many can be spent now."},
                "held": {"type": "integer", "description": "How many are reserved for running questions."},
                "topUpUrl": {"type": "string", "description": "Where a person pays."},
            },
        },
    ]
}
_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": "The caller's, if it was sane, else a new one.",
        "schema": {"type": "string"},
    },
    "Retry-After": {"description": "Seconds after which it is worth trying again.", "schema": {"type": "integer"}},
    "x-should-retry": {
        "description": "`false` where OpenAI's SDKs would repeat a request for nothing.",
        "schema": {"type": "string"},
    },
    "Location": {
        "description": "Where what was accepted can be followed: of a job the same as `pollUrl`.",
        "schema": {"type": "string"},
    },
    "X-Job-Id": {"description": "The job, of which the answer is the event stream.", "schema": {"type": "string"}},
    "RateLimit-Limit": {"description": "Questions that may be asked a minute.", "schema": {"type": "integer"}},
    "RateLimit-Remaining": {"description": "How many of them are left.", "schema": {"type": "integer"}},
    "RateLimit-Reset": {"description": "Seconds until all of them are back.", "schema": {"type": "integer"}},
    "Preference-Applied": {"description": "Which preferences were honoured.", "schema": {"type": "string"}},
}
RATE_LIMIT_HEADERS = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
STREAM_HEADERS = ("Location", "X-Job-Id")
# Of the responses that are no errors; X-Request-Id alone where nothing else is said.
RESPONSE_HEADERS = {"202": ("X-Request-Id", "Location", "Retry-After", "Preference-Applied")}
# Only the idempotency key is refused when it is malformed; of the others, what makes no sense is ignored.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "X-Request-Id": {
        "description": (
            "Ties this request to the caller's own logs; it comes back and is in all of ours, if it has 8 to 128 "
            "characters of `A-Za-z0-9._-`."
        ),
        "schema": {"type": "string"},
    },
    "Accept-Language": {
        "description": "The language of error texts (ru, en, fr) where the account has chosen none.",
        "schema": {"type": "string"},
    },
    "Prefer": {
        "description": (
            f"`wait=N` waits up to N seconds (at most {MAX_WAIT_SECONDS}) for the answer; `respond-async` doesn't "
            "wait (RFC 7240)."
        ),
        "schema": {"type": "string"},
        "example": "wait=30",
    },
    "Idempotency-Key": {
        "description": (
            "Makes a repeat harmless: the same key with the same body leads to the first result, with another body "
            "to a 409. Kept for 24 hours."
        ),
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "Last-Event-ID": {
        "description": "The id of the last event that was seen; sent by browsers when they reconnect.",
        "schema": {"type": "string"},
    },
}


def shared() -> dict[str, dict[str, Any]]:
    """The components by kind."""
    statuses = sorted(set(STATUSES.values()))
    return {
        "securitySchemes": {
            BEARER: {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "The `token` of `/api/auth/login` or `/api/auth/register`.",
            },
            API_KEY: {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": (
                    "For programs: a key of `/api/keys` with the scope that the operation names. Taken as a bearer "
                    "token too."
                ),
            },
        },
        "schemas": {"Error": _ERROR_SCHEMA, "PaymentRequired": _PAYMENT_SCHEMA, "OpenAIError": openai_errors.SCHEMA},
        "responses": {
            **{f"Error{status.value}": _error_response(status) for status in statuses},
            **{f"OpenAIError{status.value}": _openai_error_response(status) for status in statuses},
        },
        "headers": dict(_HEADERS),
        "parameters": {
            name: {"in": "header", "name": name, "required": False, **parameter}
            for name, parameter in _PARAMETERS.items()
        },
    }


def error_ref(status: int, *, openai: bool = False) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{'OpenAI' if openai else ''}Error{status}"}


def parameter_ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/parameters/{name}"}


def header_ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _error_response(status: HTTPStatus) -> dict[str, Any]:
    codes = [code for code, mapped in STATUSES.items() if mapped is status]
    schema = "PaymentRequired" if status is HTTPStatus.PAYMENT_REQUIRED else "Error"
    names = ["X-Request-Id", *(["Retry-After"] if status in _WAITING else [])]
    names += RATE_LIMIT_HEADERS if status is HTTPStatus.TOO_MANY_REQUESTS else ()
    return {
        "description": f"{status.phrase}: {', '.join(f'`{code}`' for code in codes)}",
        "headers": {name: header_ref(name) for name in names},
        "content": {
            "application/json": {
                "schema": {"$ref": f"#/components/schemas/{schema}"},
                "examples": {code: {"value": _example(code)} for code in codes},
            }
        },
    }


def _openai_error_response(status: HTTPStatus) -> dict[str, Any]:
    """The same in OpenAI's shape, with its headers."""
    plain = _error_response(status)
    examples = plain["content"]["application/json"]["examples"]
    told = {code: {"value": openai_errors.body(status, example["value"])} for code, example in examples.items()}
    content = {"schema": {"$ref": "#/components/schemas/OpenAIError"}, "examples": told}
    headers = plain["headers"] | {"x-should-retry": header_ref("x-should-retry")}
    return {**plain, "headers": headers, "content": {"application/json": content}}


def _example(code: str) -> dict[str, Any]:
    return {
        "error": text(DEFAULT_LOCALE, f"{code}.error", **_PARAMS),
        "code": code,
        "message": text(DEFAULT_LOCALE, f"{code}.message", **_PARAMS),
        "requestId": "5d0c1f0a9be24c6b8f0e7d3a2b1c4d5e",
        **_EXTRA.get(code, {}),
    }
