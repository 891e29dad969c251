"""From a failure to its answer: the one table of statuses, the one shape, and the handlers that use them.

Every error body is `{"error", "code", "message", "requestId"}`, with `details` about fields and the error's own extra
keys where it has some; under `/v1` it is OpenAI's (`service/api/openai_errors.py`). Raise `ServiceError`s; nothing here
is for use cases.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from service.api import openai_errors
from service.api.state import locale, services, state
from service.domain.errors import (
    InsufficientTokens,
    InternalError,
    NoCredits,
    NotFound,
    ServiceError,
    TokenExpired,
    Unauthorized,
    Unavailable,
    ValidationFailed,
    why,
)
from service.domain.jobs import INTERRUPTED, Job
from service.domain.texts import detail, text

log = structlog.get_logger(__name__)

# Of the bot profile, to which a cancelled question is one that failed.
CANCELLED = "CANCELLED"
STATUSES: Mapping[str, HTTPStatus] = {
    "MALFORMED_REQUEST": HTTPStatus.BAD_REQUEST,
    "INVALID_JSON": HTTPStatus.BAD_REQUEST,
    "VALIDATION_ERROR": HTTPStatus.BAD_REQUEST,
    "INVALID_MESSAGE": HTTPStatus.BAD_REQUEST,
    "UNSAFE_CALLBACK_URL": HTTPStatus.BAD_REQUEST,
    "INVALID_CODE": HTTPStatus.BAD_REQUEST,
    "LINK_CODE_INVALID": HTTPStatus.BAD_REQUEST,
    "UNAUTHORIZED": HTTPStatus.UNAUTHORIZED,
    "TOKEN_EXPIRED": HTTPStatus.UNAUTHORIZED,
    "BAD_CREDENTIALS": HTTPStatus.UNAUTHORIZED,
    "INSUFFICIENT_TOKENS": HTTPStatus.PAYMENT_REQUIRED,
    "NO_CREDITS": HTTPStatus.PAYMENT_REQUIRED,
    "FORBIDDEN": HTTPStatus.FORBIDDEN,
    "ACCOUNT_BLOCKED": HTTPStatus.FORBIDDEN,
    "TOPUP_UNAVAILABLE": HTTPStatus.FORBIDDEN,
    "REGISTRATION_REQUIRED": HTTPStatus.FORBIDDEN,
    "NOT_FOUND": HTTPStatus.NOT_FOUND,
    "CONTEXT_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "MODEL_NOT_FOUND": HTTPStatus.NOT_FOUND,
    "CONTEXT_TOO_LONG": HTTPStatus.BAD_REQUEST,
    "JOB_CANCELLED": HTTPStatus.CONFLICT,
    "METHOD_NOT_ALLOWED": HTTPStatus.METHOD_NOT_ALLOWED,
    "NOT_ACCEPTABLE": HTTPStatus.NOT_ACCEPTABLE,
    "USERNAME_TAKEN": HTTPStatus.CONFLICT,
    "IDEMPOTENCY_MISMATCH": HTTPStatus.CONFLICT,
    "PAYMENT_STATE": HTTPStatus.CONFLICT,
    "PAYMENT_SPENT": HTTPStatus.CONFLICT,
    "CODE_USED": HTTPStatus.CONFLICT,
    "JOB_RUNNING": HTTPStatus.CONFLICT,
    "ACCOUNT_LINKED": HTTPStatus.CONFLICT,
    CANCELLED: HTTPStatus.CONFLICT,
    "BALANCE_CHANGED": HTTPStatus.CONFLICT,
    "VERSION_CHANGED": HTTPStatus.CONFLICT,
    "BALANCE_TOO_LOW": HTTPStatus.CONFLICT,
    "PAYLOAD_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "UNSUPPORTED_MEDIA_TYPE": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "RATE_LIMITED": HTTPStatus.TOO_MANY_REQUESTS,
    "TOO_MANY_ATTEMPTS": HTTPStatus.TOO_MANY_REQUESTS,
    "INTERNAL_ERROR": HTTPStatus.INTERNAL_SERVER_ERROR,
    "UPSTREAM_ERROR": HTTPStatus.INTERNAL_SERVER_ERROR,
    "UPSTREAM_TIMEOUT": HTTPStatus.INTERNAL_SERVER_ERROR,
    INTERRUPTED: HTTPStatus.INTERNAL_SERVER_ERROR,
    "UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
    "OVERLOADED": HTTPStatus.SERVICE_UNAVAILABLE,
    "PAYMENT_UNAVAILABLE": HTTPStatus.SERVICE_UNAVAILABLE,
}
# A refusal that will pass always says when, also if whoever raised it didn't know.
_RETRY_STATUSES = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_RETRY_SECONDS = 1


# How a failure is told to the clients of a surface that has a shape of its own, by how its paths begin.
Shape = Callable[[str, ServiceError, int | None], Response]
_SHAPES: dict[str, Shape] = {}


def answer_under(prefix: str, shape: Shape) -> None:
    """Have every failure of the paths below `prefix` answered by `shape`: its code, the error, seconds to wait."""
    _SHAPES[prefix] = shape


class MethodNotAllowed(ServiceError):
    code = "METHOD_NOT_ALLOWED"


class NotAcceptable(ServiceError):
    code = "NOT_ACCEPTABLE"


class PayloadTooLarge(ServiceError):
    code = "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(ServiceError):
    code = "UNSUPPORTED_MEDIA_TYPE"


class JobFailed(Exception):
    """A client waited for this job and it failed: the answer is the job's own error."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.error_code)
        self.job = job


def install(app: Flask, outages: tuple[type[Exception], ...]) -> None:
    """Answer every failure in our shape. Call it after the extensions that bring handlers of their own."""
    app.register_error_handler(ServiceError, respond)
    app.register_error_handler(JobFailed, _job_failed)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, _unexpected)
    for outage in outages:
        app.register_error_handler(outage, _outage)


def respond(error: ServiceError) -> Response:
    """The answer to a failure, in the reader's language."""
    return _answer(error.code, error)


def failure(code: str, reason: str | None = None) -> dict[str, str]:
    """How a job that failed with this code says so: `{"code", "message"}`, and `reason` where there is one."""
    known = code if code in STATUSES else InternalError.code
    told = {"code": known, "message": text(locale(), f"{known}.message", seconds=_RETRY_SECONDS)}
    return told if reason is None else {**told, "reason": reason}


def _answer(code: str, error: ServiceError) -> Response:
    status = STATUSES.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
    state().error_code = code
    retry_after = error.retry_after_seconds
    if retry_after is None and status in _RETRY_STATUSES:
        retry_after = _RETRY_SECONDS
    for prefix, shape in _SHAPES.items():
        if request.path.startswith(prefix):
            return shape(code, error, retry_after)
    language = locale()
    params = text_params(error, retry_after)
    body: dict[str, Any] = {
        "error": text(language, f"{code}.error", **params),
        "code": code,
        "message": text(language, f"{code}.message", **params),
        "requestId": state().request_id,
    }
    if error.details:
        body["details"] = {field: [detail(language, key) for key in keys] for field, keys in error.details.items()}
    body |= {**error.extra, **_top_up(error)}
    if openai_errors.are_spoken(request.path):
        response = openai_errors.response(status, error, body, retry_after)
    else:
        response = jsonify(body)
    response.status_code = status
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if isinstance(error, Unauthorized | TokenExpired):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def text_params(error: ServiceError, retry_after: int | None) -> dict[str, Any]:
    """What fills the placeholders of an error's texts."""
    return {"seconds": retry_after, "limit": services().settings.max_body_kib, **error.params}


def _top_up(error: ServiceError) -> dict[str, str]:
    return {"topUpUrl": services().settings.top_up_url} if isinstance(error, InsufficientTokens | NoCredits) else {}


def _job_failed(failed: JobFailed) -> Response:
    code, reason = failed.job.error_code or InternalError.code, failed.job.error_reason
    extra = {"jobId": failed.job.id, **({} if reason is None else {"reason": reason})}
    # To OpenAI's SDKs details are about parameters.
    details = {} if openai_errors.are_spoken(request.path) else why(reason)
    return _answer(code if code in STATUSES else InternalError.code, ServiceError(extra=extra, details=details))


def _outage(error: Exception) -> Response:
    log.warning("dependency away", reason=type(error).__name__)
    return respond(Unavailable(retry_after_seconds=_RETRY_SECONDS))


def _unexpected(error: Exception) -> Response:
    log.error("request broke", exc_info=error)
    return respond(InternalError())


def http(error: HTTPException) -> Response:
    """What Flask and Werkzeug refuse by themselves, said in our words but with their headers."""
    status = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(error)
    by_status: dict[int, ServiceError] = {
        HTTPStatus.NOT_FOUND: NotFound(),
        HTTPStatus.METHOD_NOT_ALLOWED: MethodNotAllowed(),
        HTTPStatus.NOT_ACCEPTABLE: NotAcceptable(),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: PayloadTooLarge(),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE: UnsupportedMediaType(),
    }
    response = respond(by_status.get(status, ValidationFailed()))
    if status not in by_status and response.status_code != HTTPStatus.OK:
        response.status_code = status
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response
