"""Redeem codes: operators make them in batches, and the first who enters one gets its tokens or credits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import structlog

from service.domain.accounts import Actor, Role
from service.domain.billing import Unit, Wallet, wallet_id_of
from service.domain.errors import CodeUsed, Forbidden, InvalidCode, NotFound, RegistrationRequired, TooManyAttempts
from service.domain.payments import CODE_HINT_CHARACTERS, RedeemCode, hash_code, new_code, plain_code
from service.usecases import ports
from service.usecases.audit import Auditor
from service.usecases.replays import Replays

log = structlog.get_logger(__name__)

# Wrong codes: a person mistypes a few; at this pace nobody finds one of 80 bits.
FAILURES_PER_ACCOUNT = 10
FAILURES_PER_ADDRESS = 50
FAILURES_WINDOW_SECONDS = 900


@dataclass(frozen=True, slots=True)
class NewCodes:
    """What a batch is asked to be: worth so many `tokens`, or credits. `life` is None for codes that don't expire."""

    tokens: int
    count: int
    note: str
    life: timedelta | None
    unit: Unit = Unit.TOKENS


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A code with what it says, which is never to be had again."""

    code: RedeemCode
    secret: str


class RedeemService:
    def __init__(
        self,
        *,
        codes: ports.RedeemCodes,
        money: ports.Money,
        replays: Replays,
        auditor: Auditor,
        rate_limits: ports.RateLimits,
        telemetry: ports.PaymentTelemetry,
        clock: ports.Clock,
    ) -> None:
        self._codes = codes
        self._money = money
        self._replays = replays
        self._auditor = auditor
        self._rate_limits = rate_limits
        self._telemetry = telemetry
        self._clock = clock

    def redeem(self, actor: Actor, typed: str, key: ports.IdempotencyKey | None) -> Wallet:
        """Add what a code is worth to one's own wallet of its unit, and return that. With a known idempotency key it is
        the wallet as it is now.

        Raises RegistrationRequired, InvalidCode, CodeUsed, TooManyAttempts, IdempotencyMismatch.
        """
        if actor.role is Role.GUEST:
            raise RegistrationRequired()
        earlier = self._replays.earlier(key)
        if earlier is not None:
            return self._wallet(actor, earlier)
        self._check_attempts(actor)
        code = self._claimable(actor, typed)
        try:
            wallet = self._codes.claim(code, actor.account_id, key)
        except ports.AlreadyDone as race:
            return self._wallet(actor, self._replays.same(race.record, key))
        if wallet is None:
            self._fail(actor, "used")
            raise CodeUsed()
        log.info("code redeemed", code_id=code.id, account_id=actor.account_id, tokens=code.tokens, unit=code.unit)
        self._telemetry.redeemed("credited")
        return wallet

    def issue(self, actor: Actor, wanted: NewCodes) -> list[IssuedCode]:
        """A batch of new codes. What they say is shown now and never again."""
        _require_admin(actor)
        batch_id, now = uuid4().hex, self._clock.now()
        details = {"batch_id": batch_id, "tokens": wanted.tokens, "count": wanted.count, "note": wanted.note}
        details["unit"] = wanted.unit.value
        issued = []
        for _ in range(wanted.count):
            secret = new_code()
            code = RedeemCode(
                id=uuid4().hex,
                batch_id=batch_id,
                hint=secret[-CODE_HINT_CHARACTERS:],
                tokens=wanted.tokens,
                note=wanted.note,
                created_by=actor.record_id,
                created_at=now,
                expires_at=None if wanted.life is None else now + wanted.life,
                unit=wanted.unit,
            )
            issued.append(IssuedCode(code, secret))
        with self._auditor.change(actor, "codes.issue", batch_id, **details):
            self._codes.add([(each.code, _hash(each.secret)) for each in issued])
        return issued

    def page(self, actor: Actor, query: ports.CodeQuery) -> ports.Page[RedeemCode]:
        """Newest first, for staff."""
        if not actor.is_staff:
            raise Forbidden("staff only")
        return self._codes.page(query)

    def revoke(self, actor: Actor, code_id: str) -> RedeemCode:
        """End a code that nobody has used. Raises NotFound, CodeUsed."""
        _require_admin(actor)
        code = self._found(code_id)
        with self._auditor.change(actor, "code.revoke", code.batch_id, code_id=code_id):
            revoked = self._codes.revoke(code_id, self._clock.now()) or self._found(code_id)
            if revoked.claimed_by is not None:
                raise CodeUsed()
            return revoked

    def _claimable(self, actor: Actor, typed: str) -> RedeemCode:
        plain = plain_code(typed)
        code = None if plain is None else self._codes.by_hash(hash_code(plain))
        if code is None or not code.is_claimable(self._clock.now()):
            self._fail(actor, "invalid")
            raise InvalidCode()
        return code

    def _check_attempts(self, actor: Actor) -> None:
        _refuse(self._rate_limits.peek(*limit) for limit in _limits(actor))

    def _fail(self, actor: Actor, outcome: str) -> None:
        """Count a failed attempt. Raises TooManyAttempts if it was one too many."""
        self._telemetry.redeemed(outcome)
        _refuse([self._rate_limits.hit(*limit) for limit in _limits(actor)])

    def _wallet(self, actor: Actor, entry_id: str) -> Wallet:
        """Where the code of this ledger entry went."""
        code = self._found(entry_id.removeprefix("code:"))
        wallet = self._money.wallet(wallet_id_of(actor.account_id, code.unit))
        if wallet is None:
            raise NotFound("wallet")
        return wallet

    def _found(self, code_id: str) -> RedeemCode:
        code = self._codes.get(code_id)
        if code is None:
            raise NotFound("code")
        return code


def _limits(actor: Actor) -> Sequence[tuple[str, str, int, int]]:
    return (
        ("redeem", actor.account_id, FAILURES_PER_ACCOUNT, FAILURES_WINDOW_SECONDS),
        ("redeem-address", actor.address, FAILURES_PER_ADDRESS, FAILURES_WINDOW_SECONDS),
    )


def _refuse(waits: Iterable[int | None]) -> None:
    wait = max((wait for wait in waits if wait is not None), default=None)
    if wait is not None:
        raise TooManyAttempts(retry_after_seconds=wait, params={"seconds": wait})


def _hash(secret: str) -> str:
    plain = plain_code(secret)
    if plain is None:
        raise ValueError("not a code")
    return hash_code(plain)


def _require_admin(actor: Actor) -> None:
    if not actor.is_admin:
        raise Forbidden("admins only")
