"""Every failure that a caller may see, as one exception tree.

A class is a stable `code`; the HTTP status and the texts in each language hang on the code elsewhere
(`service/api/errors.py`, `service/locales/`). Raise these from use cases and adapters; never raise an HTTP error
there.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar


class ServiceError(Exception):
    """Base of the tree.

    `params` fill the placeholders of the localised text; `extra` is added to the response body as it is;
    `details` maps a field's name to message keys; `retry_after_seconds` becomes `Retry-After`.
    """

    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(
        self,
        note: str = "",
        *,
        params: Mapping[str, Any] | None = None,
        extra: Mapping[str, Any] | None = None,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(note or self.code)
        self.params = dict(params or {})
        self.extra = dict(extra or {})
        self.details = dict(details or {})
        self.retry_after_seconds = retry_after_seconds


class InternalError(ServiceError):
    code = "INTERNAL_ERROR"


class InvalidJson(ServiceError):
    code = "INVALID_JSON"


class ValidationFailed(ServiceError):
    code = "VALIDATION_ERROR"


class InvalidMessage(ServiceError):
    code = "INVALID_MESSAGE"


class UnsafeCallbackUrl(ServiceError):
    """A URL that we won't call: not HTTPS, not public, or not in the one form that every library reads alike."""

    code = "UNSAFE_CALLBACK_URL"


class Unauthorized(ServiceError):
    code = "UNAUTHORIZED"


class TokenExpired(ServiceError):
    code = "TOKEN_EXPIRED"


class BadCredentials(ServiceError):
    code = "BAD_CREDENTIALS"


class InsufficientTokens(ServiceError):
    """The account can't pay for the prompt and the smallest useful answer. Amounts are tokens."""

    code = "INSUFFICIENT_TOKENS"

    def __init__(self, *, required: int, available: int, held: int) -> None:
        amounts = {"required": required, "available": available, "held": held}
        super().__init__(params=amounts, extra=amounts)


class NoCredits(ServiceError):
    """The plan's credits of this month and the extra ones are used up. Amounts are credits."""

    code = "NO_CREDITS"

    def __init__(self, *, required: int, available: int, held: int) -> None:
        amounts = {"required": required, "available": available, "held": held}
        super().__init__(params=amounts, extra=amounts)


class Forbidden(ServiceError):
    code = "FORBIDDEN"


class AccountBlocked(ServiceError):
    code = "ACCOUNT_BLOCKED"


class TopUpUnavailable(ServiceError):
    code = "TOPUP_UNAVAILABLE"


class RegistrationRequired(ServiceError):
    """Not for guests, whose account will be gone in a few days."""

    code = "REGISTRATION_REQUIRED"


class PaymentUnavailable(ServiceError):
    """The payment provider doesn't answer, or refuses us; nobody was charged."""

    code = "PAYMENT_UNAVAILABLE"


class PaymentState(ServiceError):
    """The payment is not in a state in which this can be done; `status` is the one in which it is."""

    code = "PAYMENT_STATE"

    def __init__(self, *, status: str) -> None:
        super().__init__(params={"status": status}, extra={"status": status})


class PaymentSpent(ServiceError):
    """A refund would take back tokens that are spent or held. Amounts are tokens."""

    code = "PAYMENT_SPENT"

    def __init__(self, *, required: int, available: int, held: int) -> None:
        params = {"required": required, "available": available, "held": held}
        super().__init__(params=params, extra={"required": required, "currentBalance": available, "held": held})


class InvalidCode(ServiceError):
    """No such redeem code, or one that is revoked or expired: the same to whoever guesses."""

    code = "INVALID_CODE"


class CodeUsed(ServiceError):
    code = "CODE_USED"


class NotFound(ServiceError):
    code = "NOT_FOUND"


class ModelNotFound(ServiceError):
    code = "MODEL_NOT_FOUND"

    def __init__(self, model: str) -> None:
        super().__init__(params={"model": model}, details={"model": ["unknown_model"]})


class ContextTooLong(ServiceError):
    """The prompt leaves the model no room for an answer. Amounts are tokens."""

    code = "CONTEXT_TOO_LONG"

    def __init__(self, *, tokens: int, limit: int) -> None:
        super().__init__(params={"tokens": tokens, "limit": limit}, details={"messages": ["context_too_long"]})


class JobCancelled(ServiceError):
    """Somebody cancelled the job that the caller waited for."""

    code = "JOB_CANCELLED"


class ContextNotFound(ServiceError):
    code = "CONTEXT_NOT_FOUND"


class UsernameTaken(ServiceError):
    code = "USERNAME_TAKEN"


class IdempotencyMismatch(ServiceError):
    code = "IDEMPOTENCY_MISMATCH"


class JobRunning(ServiceError):
    """A question is being answered, and what was asked for has to wait for its end."""

    code = "JOB_RUNNING"


class LinkCodeInvalid(ServiceError):
    """No such code, or not any more: expired, used, replaced by a newer one. Told apart for nobody."""

    code = "LINK_CODE_INVALID"


class AccountLinked(ServiceError):
    """An end user is linked to an account already, which has its balance."""

    code = "ACCOUNT_LINKED"


class BalanceChanged(ServiceError):
    """The balance is not the `expectedBalance` that the caller saw. Amounts are tokens."""

    code = "BALANCE_CHANGED"

    def __init__(self, *, available: int, held: int) -> None:
        super().__init__(extra={"currentBalance": available, "held": held})


class BalanceTooLow(ServiceError):
    """An adjustment would take more than is available. Amounts are tokens."""

    code = "BALANCE_TOO_LOW"

    def __init__(self, *, available: int, held: int) -> None:
        super().__init__(extra={"currentBalance": available, "held": held})


class VersionChanged(ServiceError):
    """Somebody else has changed it since the caller saw its `expectedVersion`."""

    code = "VERSION_CHANGED"

    def __init__(self, *, version: int) -> None:
        super().__init__(extra={"version": version})


class RateLimited(ServiceError):
    code = "RATE_LIMITED"


class TooManyAttempts(ServiceError):
    code = "TOO_MANY_ATTEMPTS"


class UpstreamReason(StrEnum):
    """Why there is no answer although the provider gave one, or why it can't be asked. Each has a text,
    `detail.upstream_<reason>`."""

    REFUSED = "refused"
    TRUNCATED = "truncated"
    INVALID_ANSWER = "invalid_answer"
    UNREACHABLE = "unreachable"
    KEY_REFUSED = "key_refused"
    BUSY = "busy"
    BROKEN = "broken"


# Those of a job: the others are of a check of the connection.
ANSWER_REASONS = (UpstreamReason.REFUSED, UpstreamReason.TRUNCATED, UpstreamReason.INVALID_ANSWER)


class UpstreamFailed(ServiceError):
    """The model provider refused, broke or answered nonsense; `note` says how, for the log.

    `reason` is for clients, where there is more to say than that.
    """

    code = "UPSTREAM_ERROR"

    def __init__(self, note: str = "", *, reason: UpstreamReason | None = None) -> None:
        super().__init__(note, details=why(reason), extra={} if reason is None else {"reason": reason.value})
        self.reason = reason


def why(reason: str | None) -> dict[str, list[str]]:
    """The details that say to a person why the provider gave no answer."""
    return {} if reason is None else {"reason": [f"upstream_{reason}"]}


class UpstreamTimeout(ServiceError):
    code = "UPSTREAM_TIMEOUT"


class Unavailable(ServiceError):
    """A dependency is down, or the provider refuses this installation's key; nothing was accepted."""

    code = "UNAVAILABLE"


class Overloaded(ServiceError):
    """The queue of jobs is full; nothing was accepted."""

    code = "OVERLOADED"
