"""What use cases and adapters hand to each other: plain values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from service.domain.accounts import Account, Role
from service.domain.billing import EntryKind, Wallet, WalletName, wallet_name
from service.domain.catalog import ChatModel
from service.domain.chat import ChatMessage, Usage
from service.domain.jobs import JobStatus
from service.domain.keys import ApiKey
from service.domain.webhooks import DeliveryStatus

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key for one POST: `fingerprint` is a hash of the route and the body that came with it."""

    account_id: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """What the first POST with a key led to: the id of a job or a ledger entry."""

    fingerprint: str
    result_id: str


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One movement of one wallet, which `account_id` names. `amount` is the change of available + held, in the wallet's
    unit."""

    id: str
    account_id: str
    seq: int
    kind: EntryKind
    amount: int
    available_delta: int
    held_delta: int
    balance_after: int
    held_after: int
    actor_id: str
    reason: str
    job_id: str | None
    created_at: datetime

    @property
    def wallet(self) -> WalletName:
        return wallet_name(self.account_id)


@dataclass(frozen=True, slots=True)
class Movement:
    """A deposit or correction to be written to the ledger under `entry_id`; a repeated id changes nothing.

    `account_id` is the wallet's id.
    """

    entry_id: str
    account_id: str
    kind: EntryKind
    actor_id: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UsageTotals:
    """Sums over the jobs of one day or one model; `key` is that day (ISO) or model alias. Tokens."""

    key: str
    jobs: int
    failed: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    total_tokens: int
    charged: int


@dataclass(frozen=True, slots=True)
class RequestTotals:
    """The requests that the API answered on one ISO day, and how many of them with which error code."""

    day: str
    requests: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FailureTotals:
    """How many jobs failed with a code."""

    code: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Figures:
    """About the whole service at a moment: balances in tokens; use, failures and requests of the last seven days."""

    measured_at: datetime
    active_users: int
    balance_mean: float
    balance_median: float
    days: list[UsageTotals]
    models: list[UsageTotals]
    failures: list[FailureTotals] = field(default_factory=list)
    requests: list[RequestTotals] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`outcome` is `started`, `done`, or the code of the error that stopped it."""

    id: str
    actor_id: str
    action: str
    subject_id: str
    details: Mapping[str, Any]
    outcome: str
    request_id: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Part of a list that grows without bound; `next_cursor` is None on the last page."""

    items: list[T]
    next_cursor: str | None


# Gives at most so many entries of one ledger after a cursor, newest first.
LedgerReader = Callable[[str | None, int], Page[LedgerEntry]]


@dataclass(frozen=True, slots=True)
class Credentials:
    account: Account
    password_hash: str


@dataclass(frozen=True, slots=True)
class NewLogin:
    """A login session ("family" of refresh tokens): `refresh_id` is the id of its one valid refresh token."""

    id: str
    refresh_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class UserRow:
    """An account with its wallet, as an admin sees it in a list."""

    account: Account
    wallet: Wallet


@dataclass(frozen=True, slots=True)
class UserQuery:
    """A page of the admin's list; `text` is the beginning of a name or e-mail, `sort` a field, `-` for descending."""

    text: str = ""
    role: Role | None = None
    sort: str = "-created_at"
    page: int = 1
    limit: int = 20
    blocked: bool | None = None
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of so many per window, what is left of it, and how soon all of it is there again."""

    limit: int
    remaining: int
    reset_seconds: int


@dataclass(frozen=True, slots=True)
class FoundKey:
    """An API key by one of its secrets, with the account it acts for. `secret_until` is that secret's end, if set."""

    key: ApiKey
    account: Account
    secret_until: datetime | None


@dataclass(frozen=True, slots=True)
class KeyQuery:
    """A page of everybody's keys, or of one account's, revoked ones too, newest first."""

    account_id: str | None = None
    cursor: str | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class JobQuery:
    """A filter over jobs, newest first; `end_user_id` is for whom they were made, whichever account paid."""

    account_id: str | None = None
    status: JobStatus | None = None
    cursor: str | None = None
    limit: int = 20
    end_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryQuery:
    """A filter over webhook deliveries, newest first; by account or by endpoint, or of all."""

    endpoint_id: str | None = None
    account_id: str | None = None
    status: DeliveryStatus | None = None
    cursor: str | None = None
    limit: int = 20


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call to the model provider. `safety_id` stands for the account there and is not its id.

    `options` are those of `service/domain/options.py`.
    """

    model: ChatModel
    upstream_model: str
    messages: tuple[ChatMessage, ...]
    output_tokens: int
    temperature: float | None
    request_id: str
    safety_id: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UpstreamCheck:
    """What came of asking the provider for its models: how long that took, whether the one asked about is there."""

    seconds: float
    has_model: bool
    models: int


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """`usage` is None when the provider sent none."""

    text: str
    finish_reason: str
    usage: Usage | None
