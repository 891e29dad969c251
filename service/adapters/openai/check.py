"""Asks the provider which models it has: whether it can be reached, takes a key of ours, and knows a model.

Nothing is tried again and the breaker stays as it is: whoever tests a connection wants to know how it is now. Neither
what was sent nor what came back is logged or told.
"""

import json
import time
from collections.abc import Sequence
from datetime import date
from typing import Any

import httpx2
import structlog

from service.domain.errors import ServiceError, UpstreamFailed, UpstreamReason, UpstreamTimeout
from service.usecases.ports import UpstreamCheck

log = structlog.get_logger(__name__)

# Of the whole, all keys together; of one silence within it; of a list of models.
DEADLINE_SECONDS = 8.0
READ_TIMEOUT_SECONDS = 4.0
CONNECT_TIMEOUT_SECONDS = 3.0
MAX_BYTES = 2**22
_REASONS = {401: UpstreamReason.KEY_REFUSED, 403: UpstreamReason.KEY_REFUSED, 429: UpstreamReason.BUSY}


def check(http: httpx2.Client, base_url: str, api_keys: Sequence[str], upstream_model: str) -> UpstreamCheck:
    """See `ports.Upstream.check`."""
    started = time.monotonic()
    found = models(http, base_url, api_keys)
    return UpstreamCheck(time.monotonic() - started, upstream_model in found, len(found))


def models(http: httpx2.Client, base_url: str, api_keys: Sequence[str]) -> dict[str, str | None]:
    """See `ports.Upstream.offered`. Of several keys the first that is taken counts."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    failure: ServiceError = UpstreamFailed("no key", reason=UpstreamReason.KEY_REFUSED)
    for key in api_keys:
        try:
            return _models(http, base_url, key, deadline)
        except UpstreamFailed as error:
            failure = error
            if error.reason is not UpstreamReason.KEY_REFUSED:
                break
        except UpstreamTimeout as error:
            failure = error
            break
    log.warning("provider check failed", reason=str(failure))
    raise failure


def _models(http: httpx2.Client, base_url: str, key: str, deadline: float) -> dict[str, str | None]:
    left = deadline - time.monotonic()
    if left <= 0:
        raise UpstreamTimeout("deadline")
    timeout = httpx2.Timeout(min(left, READ_TIMEOUT_SECONDS), connect=min(left, CONNECT_TIMEOUT_SECONDS))
    url, headers = f"{base_url.rstrip('/')}/models", {"Authorization": f"Bearer {key}"}
    try:
        with http.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=False) as response:
            if response.status_code != httpx2.codes.OK:
                raise _refused(response.status_code)
            return _read(_body(response, deadline))
    except httpx2.TimeoutException as error:
        raise UpstreamTimeout(type(error).__name__) from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise UpstreamFailed(f"connection: {type(error).__name__}", reason=UpstreamReason.UNREACHABLE) from None


def _refused(status: int) -> UpstreamFailed:
    return UpstreamFailed(f"status {status}", reason=_REASONS.get(status, UpstreamReason.BROKEN))


def _body(response: httpx2.Response, deadline: float) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_BYTES:
            raise UpstreamFailed("an endless list", reason=UpstreamReason.BROKEN)
        if time.monotonic() > deadline:
            raise UpstreamTimeout("deadline")
    return bytes(body)


def _read(body: bytes) -> dict[str, str | None]:
    try:
        return {str(model["id"]): _day(model.get("shutdown_date")) for model in json.loads(body)["data"]}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UpstreamFailed(f"no list of models: {type(error).__name__}", reason=UpstreamReason.BROKEN) from None


def _day(value: Any) -> str | None:
    """`2027-01-14`, also of a whole time; None for what is no day, because a list of models is one without it too."""
    try:
        return date.fromisoformat(value[:10]).isoformat()
    except (TypeError, ValueError, LookupError):
        return None
