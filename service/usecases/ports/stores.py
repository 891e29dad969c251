"""What the use cases need of the database. Implemented in `service/adapters/mongo/`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from service.domain.accounts import Account, Role
from service.domain.billing import Unit, Wallet
from service.domain.catalog import Assistant, ChatModel
from service.domain.jobs import Job, Outcome
from service.domain.keys import ApiKey, Scope
from service.domain.links import LinkCode
from service.domain.plans import Credits
from service.domain.webhooks import Delivery, DeliveryStatus, Endpoint
from service.usecases.ports.records import (
    AuditEntry,
    Credentials,
    DeliveryQuery,
    FailureTotals,
    Figures,
    FoundKey,
    IdempotencyKey,
    IdempotencyRecord,
    JobQuery,
    KeyQuery,
    LedgerEntry,
    Movement,
    NewLogin,
    Page,
    RequestTotals,
    UsageTotals,
    UserQuery,
    UserRow,
)


class Accounts(Protocol):
    def create(self, account: Account, login_keys: Sequence[str], password_hash: str | None, grant_tokens: int) -> None:
        """Store the account and open its wallet in one transaction. Raises UsernameTaken."""

    def adopt_guest(self, account: Account, login_keys: Sequence[str], password_hash: str, grant_tokens: int) -> bool:
        """Make the guest of this id the registered account; False if it is no guest any more. Raises UsernameTaken."""

    def get(self, account_id: str) -> Account | None: ...

    def ensure_end_user(self, account: Account) -> Account:
        """The end user of this id as stored, with an empty wallet; created if it is not there yet."""

    def credentials(self, login_key: str) -> Credentials | None: ...

    def with_login(self, account_id: str, login_id: str) -> Account | None:
        """The account if that login session is still alive."""

    def password_hash(self, account_id: str) -> str | None: ...

    def set_password(self, account_id: str, password_hash: str, login: NewLogin) -> int:
        """Replace the password and end every login session but `login`; returns the new token version.

        Raises Unauthorized if the account is gone.
        """

    def set_locale(self, account_id: str, locale: str) -> Account:
        """The account in its new language. Raises Unauthorized if it is gone."""

    def add_login(self, account_id: str, login: NewLogin) -> None: ...

    def rotate_login(self, account_id: str, login_id: str, old_refresh_id: str, new: NewLogin) -> bool:
        """Exchange the valid refresh id for a new one; False if `old_refresh_id` is not the valid one."""

    def end_login(self, account_id: str, login_id: str) -> None: ...

    def end_all_logins(self, account_id: str) -> None: ...

    def set_blocked(self, account_id: str, blocked: bool) -> Account | None: ...

    def set_role(self, account_id: str, role: Role) -> Account | None:
        """None for a guest and an end user too: they have no name to be known by."""

    def set_plan(self, account_id: str, plan: str) -> Account | None:
        """Change the plan, and begin a month of it now with all its credits; nothing changes if it is the plan already.

        Raises AccountLinked for an end user whose account is another one.
        """

    def touch(self, account: Account) -> None:
        """Remember that the account was active now (at most once a minute)."""

    def search(self, query: UserQuery) -> tuple[list[UserRow], int]:
        """The page and the total number of matches."""

    def count_active(self, since: datetime) -> int: ...


class Keys(Protocol):
    def create(self, key: ApiKey, secret_hash: str) -> None: ...

    def by_secret(self, secret_hash: str) -> FoundKey | None:
        """The key that has this secret, whatever its state, with its account: one read."""

    def get(self, key_id: str) -> ApiKey | None: ...

    def living(self, account_id: str) -> list[ApiKey]:
        """The account's keys that are not revoked, newest first."""

    def page(self, query: KeyQuery) -> Page[ApiKey]: ...

    def rotate(self, key: ApiKey, secret_hash: str) -> ApiKey | None:
        """Give the key a new secret, with the prefix, expiry and `previous_until` that it says now.

        The secret before it works until then; an older one ends. None if the key is revoked.
        """

    def revoke(self, key_id: str, now: datetime) -> ApiKey | None:
        """End the key; None if there is none that isn't revoked."""

    def set_scopes(self, key_id: str, scopes: Sequence[Scope]) -> ApiKey | None: ...

    def change(self, key: ApiKey, changes: Mapping[str, Any]) -> ApiKey | None:
        """Set these fields; None if the key was revoked, or its scopes are to change and are not those of `key`."""

    def touch(self, key: ApiKey) -> None:
        """Remember that the key was used now (at most once a minute)."""


class Money(Protocol):
    """The only door to balances and the ledger. Each method is one MongoDB transaction."""

    def reserve(self, job: Job, idempotency: IdempotencyKey | None) -> Job:
        """Hold what the job may cost by its meter and store it as queued; returns it with its hold, wallet and clamped
        output.

        Raises InsufficientTokens, NoCredits, NotFound, AccountLinked, and AlreadyDone when the idempotency key has been
        used meanwhile.
        """

    def settle(self, job: Job, outcome: Outcome, max_context_messages: int) -> Job | None:
        """Make the job final, move the money, and append what was answered to its dialog.

        Does so only while the job is still in the state and attempt given; else returns None and changes nothing.
        """

    def deposit(self, movement: Movement, amount: int, idempotency: IdempotencyKey | None) -> Wallet:
        """Add `amount` (may be negative) to the movement's wallet. Raises NotFound, BalanceTooLow, AlreadyDone."""

    def set_balance(
        self, movement: Movement, amount: int, expected: int | None, idempotency: IdempotencyKey | None
    ) -> Wallet:
        """Set what is available to `amount` tokens. Raises NotFound, AlreadyDone, and BalanceChanged if it isn't
        `expected`."""

    def wallet(self, wallet_id: str) -> Wallet | None: ...

    def credits(self, account: Account) -> Credits:
        """What the account may ask for now, also if its new month hasn't been written down yet."""

    def ledger_of(self, account_id: str, unit: Unit, cursor: str | None, limit: int) -> Page[LedgerEntry]:
        """Of what an account has of this unit, both wallets of credits as one list; newest first."""


class AlreadyDone(Exception):
    """The idempotency key belongs to an earlier request."""

    def __init__(self, record: IdempotencyRecord) -> None:
        super().__init__(record.result_id)
        self.record = record


class Jobs(Protocol):
    def get(self, job_id: str) -> Job | None: ...

    def page(self, query: JobQuery) -> Page[Job]: ...

    def claim(self, job_id: str, worker_id: str, lease_seconds: int) -> Job | None:
        """Make a queued job ours: running, next attempt, leased. None if it is not queued."""

    def renew(self, job_ids: Sequence[str], worker_id: str, lease_seconds: int) -> None:
        """Extend the leases of those of these running jobs that are still this worker's."""

    def show(self, job: Job, text: str) -> bool:
        """Remember what clients may have seen of the answer; False if this attempt isn't running any more."""

    def cancel_requests(self, job_ids: Sequence[str]) -> set[str]:
        """Which of these running jobs somebody wants cancelled."""

    def request_cancel(self, job_id: str) -> bool:
        """Ask the worker of a running job to stop; False if it isn't running."""

    def finished(self, job_ids: Sequence[str]) -> set[str]:
        """Which of these jobs are final."""

    def hand_back(self, job: Job) -> bool:
        """`requeue` by a worker that ends: this attempt doesn't count among those that a job has."""

    def requeue(self, job: Job) -> bool:
        """Give a running job of this attempt back to the queue; False if it moved on or showed something meanwhile."""

    def expired(self, limit: int) -> list[Job]:
        """Running jobs whose lease is over."""

    def due(self, limit: int, *, silent_seconds: int) -> list[str]:
        """Queued jobs last announced longer than `silent_seconds` ago, oldest first."""

    def mark_announced(self, job_ids: Sequence[str]) -> None: ...

    def newest_open(self, account_id: str, chat_id: str) -> Job | None:
        """The job that was accepted last of those of a chat that are not final."""

    def count_open(self, account_id: str, most: int) -> int:
        """How many jobs of this account are not final, counting no further than `most`."""

    def count_by_status(self) -> dict[str, int]:
        """How many jobs are queued and running."""


class UsageReports(Protocol):
    def totals(self, account_id: str | None, first_day: str, last_day: str, group: str) -> list[UsageTotals]:
        """Sums over inclusive ISO days, grouped by `day` or `model`; of every account if `account_id` is None."""

    def failures(self, since: datetime) -> list[FailureTotals]:
        """How many jobs have failed since then, by code, in alphabetical order."""


class RequestCounts(Protocol):
    """What the API has answered, day by day."""

    def add(self, day: str, requests: int, errors: Mapping[str, int]) -> None:
        """Add so many requests to an ISO day, and of them so many with each error code."""

    def since(self, first_day: str) -> list[RequestTotals]:
        """From an ISO day on, oldest first. Days without a request are left out."""


class Idempotency(Protocol):
    def find(self, key: IdempotencyKey) -> IdempotencyRecord | None: ...


class Audit(Protocol):
    def record(self, entry: AuditEntry) -> None: ...

    def finish(self, entry_id: str, outcome: str) -> None: ...

    def page(self, subject_id: str | None, cursor: str | None, limit: int) -> Page[AuditEntry]: ...


class Catalog(Protocol):
    def assistant(self, assistant_id: str) -> Assistant | None: ...

    def assistants(self) -> list[Assistant]:
        """All of them, by their ids in alphabetical order."""

    def model(self, alias: str) -> ChatModel | None: ...

    def models(self) -> list[ChatModel]:
        """All that `model` knows by their aliases, in alphabetical order."""


class Balances(Protocol):
    def mean_and_median(self) -> tuple[float, float]:
        """Of what is available to all accounts, in tokens."""


class FiguresStore(Protocol):
    """The figures that were measured last."""

    def latest(self) -> Figures | None: ...

    def keep(self, figures: Figures) -> None: ...


class Leases(Protocol):
    def take(self, name: str, holder: str, seconds: int) -> float | None:
        """Become the one holder of a named lease, or stay it; None while somebody else is.

        The value is for how many seconds it has been held, by whomever, without a break: after one in which nobody
        could take it, as in an outage of the database, it begins anew. Infinite if there was none.
        """


class Endpoints(Protocol):
    """Webhook endpoints of accounts."""

    def add(self, endpoint: Endpoint) -> None: ...

    def get(self, endpoint_id: str) -> Endpoint | None: ...

    def of_account(self, account_id: str) -> list[Endpoint]:
        """Those that have a URL, oldest first."""

    def save(self, endpoint: Endpoint) -> None:
        """Replace it, unless it has been deleted meanwhile."""

    def delete(self, endpoint_id: str) -> None: ...

    def disable(self, endpoint_id: str, reason: str) -> None: ...


class Links(Protocol):
    """End users of API keys who are linked to the accounts of people."""

    def put_code(self, code: LinkCode) -> None:
        """Store an account's code in the place of the one before it."""

    def code(self, code_hash: str) -> LinkCode | None: ...

    def link(self, end_user_id: str, code: LinkCode, link_id: str, actor_id: str) -> int | None:
        """Use the code: link the end user to its account and move all tokens there; returns how many that were.

        None if the end user is linked already; then nothing changes. Raises JobRunning while something is held,
        LinkCodeInvalid if the code was used meanwhile.
        """

    def unlink(self, end_user: Account) -> bool:
        """End this link of the end user; False if it has ended already. No tokens move."""

    def get(self, link_id: str) -> Account | None:
        """The end user who has this link."""

    def of_account(self, account_id: str) -> list[Account]:
        """The end users who are linked to an account, newest link first."""


class Deliveries(Protocol):
    """Events and who is still to be told. Those about jobs are written by `Money.settle`, with the job's end."""

    def add(self, delivery: Delivery) -> None: ...

    def get(self, delivery_id: str) -> Delivery | None: ...

    def page(self, query: DeliveryQuery) -> Page[Delivery]: ...

    def take_slot(self, destination: str, holder: str, slots: int, lease_seconds: int) -> bool:
        """Become one of at most so many who deliver to a destination, or stay one; False while there is no room."""

    def leave_slot(self, destination: str, holder: str) -> None: ...

    def claim(self, destination: str, lease_seconds: int) -> Delivery | None:
        """Make the delivery that has been due longest ours: sending, next attempt, leased. None if none is due."""

    def progress(self, delivery: Delivery, parts_sent: int, lease_seconds: int) -> bool:
        """Remember how many parts have arrived and stay its owner; False if it isn't ours any more."""

    def postpone(self, delivery: Delivery, seconds: float, status: int | None, error: str) -> bool:
        """Count a failed try and make it due again later; False if it isn't ours any more."""

    def finish(self, delivery: Delivery, outcome: DeliveryStatus, status: int | None, error: str | None) -> bool:
        """Delivered or dead; False if it isn't ours any more."""

    def restart(self, delivery_id: str) -> bool:
        """Make an ended delivery due, with all its tries; False if it hasn't ended."""

    def recover_expired(self, limit: int) -> int:
        """Give claims whose lease is over back; how many."""

    def due(self, limit: int) -> Sequence[str]:
        """Destinations for which something is due."""
