"""Idempotency keys: the same key and body lead to the first result, another body is refused.

The store writes a key in the same transaction as what it leads to, so a key exists exactly if its result does.
"""

from collections.abc import Callable

import structlog

from service.domain.billing import Wallet
from service.domain.errors import IdempotencyMismatch, NotFound
from service.usecases import ports

log = structlog.get_logger(__name__)


class Replays:
    def __init__(self, *, idempotency: ports.Idempotency) -> None:
        self._idempotency = idempotency

    def earlier(self, key: ports.IdempotencyKey | None) -> str | None:
        """The id of what this key led to, or None if it is new. Raises IdempotencyMismatch."""
        record = None if key is None else self._idempotency.find(key)
        return None if record is None else self.same(record, key)

    @staticmethod
    def same(record: ports.IdempotencyRecord, key: ports.IdempotencyKey | None) -> str:
        """The record's result id. Raises IdempotencyMismatch if the request is not the one that made it."""
        if key is None or record.fingerprint != key.fingerprint:
            raise IdempotencyMismatch()
        return record.result_id


class Deposits:
    """Deposits and corrections, each at most once per idempotency key."""

    def __init__(self, *, money: ports.Money, replays: Replays) -> None:
        self._money = money
        self._replays = replays

    def __call__(self, movement: ports.Movement, amount: int, key: ports.IdempotencyKey | None) -> Wallet:
        """Add `amount` (may be negative) tokens; a replay adds nothing and returns the wallet as it is now.

        Raises NotFound, BalanceTooLow, IdempotencyMismatch.
        """
        return self._once(movement, key, lambda: self._money.deposit(movement, amount, key))

    def set(
        self, movement: ports.Movement, amount: int, expected: int | None, key: ports.IdempotencyKey | None
    ) -> Wallet:
        """Make `amount` tokens available, if it still is the `expected` balance where one is given.

        Raises NotFound, BalanceChanged, IdempotencyMismatch.
        """
        return self._once(movement, key, lambda: self._money.set_balance(movement, amount, expected, key))

    def _once(self, movement: ports.Movement, key: ports.IdempotencyKey | None, move: Callable[[], Wallet]) -> Wallet:
        try:
            if self._replays.earlier(key) is None:
                wallet = move()
                log.info("balance moved", kind=movement.kind, account_id=movement.account_id)
                return wallet
        except ports.AlreadyDone as race:
            self._replays.same(race.record, key)
        replayed = self._money.wallet(movement.account_id)
        if replayed is None:
            raise NotFound("wallet")
        return replayed
