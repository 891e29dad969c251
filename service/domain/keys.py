"""API keys: what a program may do with one, and the end users that it names by ids of its own."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from service.domain.errors import ValidationFailed

_SECRET_BYTES = 32
# As much of a secret as may be shown later, to tell keys apart; the rest stays beyond guessing.
PREFIX_CHARACTERS = 10
_SECRET = re.compile(r"tm_[A-Za-z0-9_-]{43}")
_HOST = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Scope(StrEnum):
    CHAT = "chat"
    CONTEXT = "context"
    BILLING_READ = "billing:read"
    BILLING_TOPUP = "billing:topup"
    BOT = "bot"


# `billing:topup` makes tokens out of nothing, so only an admin gives it.
ADMIN_SCOPES = frozenset({Scope.BILLING_TOPUP})
DEFAULT_SCOPES = (Scope.CHAT, Scope.CONTEXT, Scope.BILLING_READ, Scope.BOT)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A program's right to act for `account_id`, and for the end users that it names.

    `namespace` is what its end users belong to; it stays when the secret is replaced. `wait_seconds`,
    `requests_per_minute`, `tokens_per_minute`, `max_open_jobs` and `assistant` are None where the installation's own
    apply. `part_characters`, `text_format` and `locale` are how a bot wants its answers and the texts of errors, None
    where it takes what is usual. `previous_until` is when the secret before the current one stops working.
    """

    id: str
    account_id: str
    namespace: str
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    wait_seconds: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_open_jobs: int | None = None
    assistant: str | None = None
    callback_hosts: tuple[str, ...] = ()
    part_characters: int | None = None
    text_format: str | None = None
    locale: str | None = None
    expires_at: datetime | None = None
    previous_until: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def end_user_id(self, external_id: str) -> str:
        """The account of the end user whom this key's program calls so.

        Derived, so that two first questions at once mean one account, and no two keys ever mean the same one.
        """
        return hashlib.sha256(f"{self.namespace}\n{external_id}".encode()).hexdigest()[:32]

    def may_call(self, url: str) -> bool:
        """Whether callbacks of this key may go to the host of this URL, which has been checked otherwise."""
        host = (urlsplit(url).hostname or "").removesuffix(".")
        return not self.callback_hosts or host in self.callback_hosts


def new_secret() -> str:
    return f"tm_{secrets.token_urlsafe(_SECRET_BYTES)}"


def shown_prefix(secret: str) -> str:
    return secret[:PREFIX_CHARACTERS]


def hash_secret(secret: str) -> str:
    """What is stored instead of a secret. It has 256 random bits, so a fast hash can't be reversed by guessing."""
    return hashlib.sha256(secret.encode()).hexdigest()


def looks_like_secret(text: str) -> bool:
    return _SECRET.fullmatch(text) is not None


def check_callback_host(host: str) -> str:
    """The host name as it is compared: lower case, no final dot. Raises ValidationFailed for all but a DNS name."""
    plain = host.strip().lower().removesuffix(".")
    if not _HOST.fullmatch(plain):
        raise ValidationFailed(details={"callbackHosts": ["not_host_name"]})
    return plain
