"""What operators do: look after accounts, balances, dialogs and jobs. Each change and each look at a dialog is audited.

`support` may read everything here and change nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from service.domain.accounts import Account, Actor, Role
from service.domain.billing import EntryKind, Unit, Wallet, extra_wallet_id, unit_of
from service.domain.dialogs import Message, Session
from service.domain.errors import Forbidden, NotFound, ValidationFailed
from service.domain.jobs import Job
from service.domain.plans import Credits, Plan
from service.usecases import ports
from service.usecases.audit import Auditor
from service.usecases.figures import FiguresService
from service.usecases.jobs import JobService
from service.usecases.replays import Deposits
from service.usecases.retries import Retries

MESSAGES_PER_DIALOG = 200
# How far one may page through the accounts: the deeper the page, the more is skipped. Search narrows it down.
LIST_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Dialog:
    session: Session
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class UserCard:
    """All that is told of one account: with its credits, which a list would have to count one by one."""

    account: Account
    wallet: Wallet
    credits: Credits


@dataclass(frozen=True, slots=True)
class Overview:
    """The jobs that are open now, and what was measured a minute ago at most."""

    jobs_open: Mapping[str, int]
    figures: ports.Figures


class AdminService:
    def __init__(
        self,
        *,
        accounts: ports.Accounts,
        money: ports.Money,
        deposits: Deposits,
        dialogs: ports.Dialogs,
        jobs: ports.Jobs,
        job_service: JobService,
        retries: Retries,
        figures: FiguresService,
        auditor: Auditor,
    ) -> None:
        self._accounts = accounts
        self._money = money
        self._deposits = deposits
        self._dialogs = dialogs
        self._jobs = jobs
        self._job_service = job_service
        self._retries = retries
        self._figures = figures
        self._auditor = auditor

    def users(self, actor: Actor, query: ports.UserQuery) -> tuple[list[ports.UserRow], int]:
        """A page of accounts and how many there are. Raises ValidationFailed beyond the first `LIST_ROWS`."""
        _require_staff(actor)
        if query.page * query.limit > LIST_ROWS:
            raise ValidationFailed(details={"page": [f"range:1:{LIST_ROWS // query.limit}"]})
        return self._accounts.search(query)

    def user(self, actor: Actor, user_id: str) -> ports.UserRow:
        _require_staff(actor)
        account, wallet = self._accounts.get(user_id), self._money.wallet(user_id)
        if account is None or wallet is None:
            raise NotFound("account")
        return ports.UserRow(account, wallet)

    def card(self, actor: Actor, user_id: str) -> UserCard:
        row = self.user(actor, user_id)
        return UserCard(row.account, row.wallet, self._money.credits(row.account))

    def set_balance(
        self,
        actor: Actor,
        user_id: str,
        amount: int,
        reason: str,
        expected: int | None,
        idempotency: ports.IdempotencyKey | None = None,
    ) -> Wallet:
        """Set what is available to `amount` tokens. Raises BalanceChanged, NotFound, IdempotencyMismatch."""
        _require_admin(actor)
        movement = self._movement(actor, user_id, EntryKind.SET, reason)
        with self._auditor.change(actor, "balance.set", user_id, amount=amount, expected=expected, reason=reason):
            return self._deposits.set(movement, amount, expected, idempotency)

    def adjust_balance(
        self, actor: Actor, user_id: str, delta: int, reason: str, idempotency: ports.IdempotencyKey | None
    ) -> Wallet:
        """Add `delta` tokens, or take them away. Raises BalanceTooLow, NotFound, IdempotencyMismatch."""
        _require_admin(actor)
        movement = self._movement(actor, user_id, EntryKind.ADJUST, reason)
        with self._auditor.change(actor, "balance.adjust", user_id, delta=delta, reason=reason):
            return self._deposits(movement, delta, idempotency)

    def adjust_credits(
        self, actor: Actor, user_id: str, delta: int, reason: str, idempotency: ports.IdempotencyKey | None
    ) -> Credits:
        """Add `delta` extra credits, or take them away; what the account has then.

        Raises BalanceTooLow, NotFound, AccountLinked, IdempotencyMismatch.
        """
        _require_admin(actor)
        movement = replace(
            self._movement(actor, user_id, EntryKind.ADJUST, reason), account_id=extra_wallet_id(user_id)
        )
        with self._auditor.change(actor, "credits.adjust", user_id, delta=delta, reason=reason):
            self._deposits(movement, delta, idempotency)
            return self._money.credits(_found(self._accounts.get(user_id)))

    def set_blocked(self, actor: Actor, user_id: str, blocked: bool) -> Account:
        """A blocked account can't do anything; its jobs end as they would."""
        _require_admin(actor)
        if user_id == actor.account_id:
            raise ValidationFailed(details={"userId": ["own_account"]})
        with self._auditor.change(actor, "account.block" if blocked else "account.unblock", user_id):
            return _found(self._accounts.set_blocked(user_id, blocked))

    def set_role(self, actor: Actor, user_id: str, role: Role) -> Account:
        """Make somebody user, support or admin. Not a guest, and not oneself: the last admin can't be lost so."""
        _require_admin(actor)
        if user_id == actor.account_id:
            raise ValidationFailed(details={"userId": ["own_account"]})
        if role in (Role.GUEST, Role.END_USER):
            raise ValidationFailed(details={"role": ["unknown_role"]})
        with self._auditor.change(actor, "account.role", user_id, role=role.value):
            return _found(self._accounts.set_role(user_id, role))

    def set_plan(self, actor: Actor, user_id: str, plan: Plan) -> Account:
        """Another plan begins now, with its month and all its credits; the same one changes nothing.

        Raises NotFound, AccountLinked.
        """
        _require_admin(actor)
        with self._auditor.change(actor, "account.plan", user_id, plan=plan):
            return _found(self._accounts.set_plan(user_id, plan))

    def ledger(self, actor: Actor, user_id: str, unit: Unit = Unit.TOKENS) -> ports.LedgerReader:
        """The account's ledger, to be read in as many pages as it takes: one look in the audit trail."""
        self.user(actor, user_id)
        self._auditor.record(actor, "ledger.read", user_id)
        return partial(self._money.ledger_of, user_id, unit)

    def dialogs(self, actor: Actor, user_id: str, cursor: str | None, limit: int) -> ports.Page[Dialog]:
        """The account's dialogs, newest first, each with its newest messages."""
        self.user(actor, user_id)
        self._auditor.record(actor, "dialogs.read", user_id)
        scope = ports.DialogScope(user_id)
        page = self._dialogs.page(ports.SessionQuery(scope, cursor=cursor, limit=limit))
        dialogs = [Dialog(session, self._dialogs.newest(session.id, MESSAGES_PER_DIALOG)) for session in page.items]
        return ports.Page(dialogs, page.next_cursor)

    def jobs(self, actor: Actor, query: ports.JobQuery) -> ports.Page[Job]:
        _require_staff(actor)
        return self._jobs.page(query)

    def cancel_job(self, actor: Actor, job_id: str) -> Job:
        _require_admin(actor)
        return self._job_service.cancel(actor, job_id)

    def retry_job(self, actor: Actor, job_id: str) -> Job:
        """Ask a failed job's question again, as a new job of its account; the same new one if asked for twice.

        Raises NotFound, and as `Retries.of` and `JobService.submit` do.
        """
        _require_admin(actor)
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound("job")
        party, submission = self._retries.of(job)
        with self._auditor.change(actor, "job.retry", job.account_id, job_id=job_id):
            return self._job_service.accept(actor, party, submission)

    def overview(self, actor: Actor) -> Overview:
        _require_staff(actor)
        return Overview(jobs_open=self._jobs.count_by_status(), figures=self._figures.latest())

    def audit_trail(
        self, actor: Actor, subject_id: str | None, cursor: str | None, limit: int
    ) -> ports.Page[ports.AuditEntry]:
        _require_staff(actor)
        return self._auditor.page(subject_id, cursor, limit)

    def _movement(self, actor: Actor, user_id: str, kind: EntryKind, reason: str) -> ports.Movement:
        """Of the account's own wallet. Raises NotFound for the name of one that isn't an account."""
        if unit_of(user_id) is not Unit.TOKENS:
            raise NotFound("account")
        return ports.Movement(
            entry_id=f"{kind}:{uuid4().hex}",
            account_id=user_id,
            kind=kind,
            actor_id=actor.account_id,
            reason=reason,
        )


def _require_staff(actor: Actor) -> None:
    if not actor.is_staff:
        raise Forbidden("staff only")


def _require_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise Forbidden("admins only")


def _found(account: Account | None) -> Account:
    if account is None:
        raise NotFound("account")
    return account
