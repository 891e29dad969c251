"""What each error of the provider means for a job. One table, so that retries are decided in one place."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

from service.adapters.openai import wire
from service.domain.errors import ServiceError, UpstreamFailed, UpstreamTimeout

# Whoever answers at the provider's address writes what they like there: only a word gets into logs, metrics and traces.
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,40}")
_NO_QUOTA = frozenset({"insufficient_quota", "credit_balance_exhausted"})
_PARAMETER_REFUSED = frozenset({"unsupported_value", "unsupported_parameter", "unknown_parameter"})
_RETRIED_STATUSES = frozenset({408, 409, 429})


class Verdict(Enum):
    RETRY = auto()
    REFUSED = auto()  # the request itself: never sent again
    KEY_REFUSED = auto()  # this installation's key: another key may work
    PARAMETER_REFUSED = auto()  # one optional parameter: sent again without it


@dataclass(frozen=True, slots=True)
class Judgement:
    """`error` is how the job ends if nothing helps; `retry_after_seconds` is the provider's own wish."""

    verdict: Verdict
    error: ServiceError
    code: str
    retry_after_seconds: float | None = None
    parameter: str | None = None


def judge(error: APIError) -> Judgement:
    """Tell what to do about an error of the SDK."""
    if isinstance(error, APITimeoutError):
        return Judgement(Verdict.RETRY, UpstreamTimeout("read time-out"), "timeout")
    if isinstance(error, APIConnectionError):
        return Judgement(Verdict.RETRY, UpstreamFailed(f"connection: {type(error.__cause__).__name__}"), "connection")
    if not isinstance(error, APIStatusError):
        return Judgement(Verdict.RETRY, UpstreamFailed(type(error).__name__), "protocol")
    status, kind = error.status_code, _word(error.type)
    code = _word(error.code) or str(status)
    failure = UpstreamFailed(f"status {status}, code {code}, type {kind}")
    if status == 401 or code in _NO_QUOTA or kind in _NO_QUOTA:
        return Judgement(Verdict.KEY_REFUSED, failure, code)
    if status == 400 and code in _PARAMETER_REFUSED and error.param in wire.OPTIONAL:
        return Judgement(Verdict.PARAMETER_REFUSED, failure, code, parameter=error.param)
    if status in _RETRIED_STATUSES or status >= 500:
        return Judgement(Verdict.RETRY, failure, code, retry_after_seconds=_retry_after(error))
    return Judgement(Verdict.REFUSED, failure, code)


def _word(value: object) -> str | None:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _retry_after(error: APIStatusError) -> float | None:
    for header, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(error.response.headers[header]) * unit
        except (KeyError, ValueError):
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    return None
