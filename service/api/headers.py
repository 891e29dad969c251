"""The request headers that steer a request: `Prefer` (RFC 7240) and `Idempotency-Key`."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import request
from werkzeug.http import parse_list_header

from service.domain.accounts import Actor
from service.domain.errors import ValidationFailed
from service.usecases.ports import IdempotencyKey, Quota

MAX_WAIT_SECONDS = 55
_KEY = re.compile(r"[!-~]{1,255}")
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Preference:
    """How long a client is willing to wait for a result, if it says so, and whether it would rather not."""

    wait_seconds: int | None = None
    respond_async: bool = False

    def seconds(self, default: int) -> int:
        """How long to wait, given what is done by default. With both preferences: wait so long, then 202."""
        if self.wait_seconds is not None:
            return self.wait_seconds
        return 0 if self.respond_async else default

    def applied(self, *, accepted: bool) -> str | None:
        """The value of `Preference-Applied` for an answer that is, or isn't, a 202."""
        honoured = ["respond-async"] if self.respond_async and accepted else []
        if self.wait_seconds is not None:
            honoured.append(f"wait={self.wait_seconds}")
        return ", ".join(honoured) or None


def parse_prefer(header: str) -> Preference:
    """What we understand of a `Prefer` header; of a repeated preference the first counts, and bad ones are ignored."""
    known: dict[str, str] = {}
    for name, value in _preferences(header):
        known.setdefault(name, value)
    seconds = known.get("wait", "")
    return Preference(
        wait_seconds=min(int(seconds), MAX_WAIT_SECONDS) if _SECONDS.fullmatch(seconds) else None,
        respond_async=not known.get("respond-async", "-"),
    )


def preference() -> Preference:
    return parse_prefer(request.headers.get("Prefer", ""))


def idempotency_key(actor: Actor, body: Mapping[str, Any]) -> IdempotencyKey | None:
    """The key that came with this request, tied to what it asks for. Raises ValidationFailed."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise ValidationFailed(details={"idempotencyKey": ["invalid_idempotency_key"]})
    asked = json.dumps([request.method, request.path, body], sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    fingerprint = hashlib.sha256(asked.encode()).hexdigest()
    # A program numbers the requests of each of its end users by itself; an admin's are the admin's, whoever is named.
    account_id = actor.account_id if actor.key is None else actor.owner(body.get("user_id"))
    return IdempotencyKey(account_id=account_id, key=key, fingerprint=fingerprint)


def rate_limit_headers(quota: Quota) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(quota.limit),
        "RateLimit-Remaining": str(quota.remaining),
        "RateLimit-Reset": str(quota.reset_seconds),
    }


def _preferences(header: str) -> Iterator[tuple[str, str]]:
    for item in parse_list_header(header):
        name, _, value = item.partition(";")[0].partition("=")
        yield name.strip().lower(), value.strip().strip('"')
