"""What happens around every request: its id, its log line, its metrics and the headers that all answers carry.

Logged are method, route template, status, duration, account and request id; never bodies, query strings or tokens.
"""

import time
from http import HTTPStatus

import structlog
from flask import Flask, Response, request

from service.api.state import services, state

log = structlog.get_logger("service.api.access")

UNMATCHED = "unmatched"
# Asked for every few seconds by machines, so their log lines would only hide the others.
_QUIET_ROUTES = frozenset({"/health", "/health/live", "/metrics"})
# What the day's requests are counted of: not pages, and not what nobody has.
_API = ("/api/", "/v1/")
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_HSTS = "max-age=31536000"


def install(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_finish)


def _begin() -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=state().request_id)


def _finish(response: Response) -> Response:
    response.headers["X-Request-Id"] = state().request_id
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.is_secure:
        response.headers.setdefault("Strict-Transport-Security", _HSTS)
    if not _was_socket(response):
        _record(response)
    return response


def _was_socket(response: Response) -> bool:
    """Whether this is the end of a WebSocket, which lasted as long as it liked and says itself what it was."""
    rule = request.url_rule
    return rule is not None and rule.websocket and response.status_code == HTTPStatus.OK


def _record(response: Response) -> None:
    route = request.url_rule.rule if request.url_rule is not None else UNMATCHED
    seconds = time.perf_counter() - state().started
    size = 0 if response.is_streamed else response.calculate_content_length() or 0
    # The label is ours, not the client's: anyone may invent methods.
    method = request.method if request.url_rule is not None else UNMATCHED
    services().metrics.http_request(method, route, response.status_code, seconds, size)
    if route in _QUIET_ROUTES:
        return
    if route.startswith(_API):
        services().traffic.request(state().error_code)
    log.info(
        "request",
        **{
            "http.request.method": request.method,
            "http.route": route,
            "http.response.status_code": response.status_code,
            "event.duration": int(seconds * 1e9),
        },
    )
