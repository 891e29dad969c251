"""What an account sees of its money, and who may add to it."""

from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from service.domain.accounts import Account, Actor
from service.domain.billing import EntryKind, Unit, Wallet, wallet_id_of
from service.domain.errors import AccountLinked, Forbidden, NotFound, TopUpUnavailable, ValidationFailed
from service.domain.keys import Scope
from service.domain.plans import Credits
from service.usecases import ports
from service.usecases.owners import Owners
from service.usecases.replays import Deposits


@dataclass(frozen=True, slots=True)
class BillingStatement:
    account: Account
    wallet: Wallet
    credits: Credits


class BillingService:
    def __init__(
        self,
        *,
        owners: Owners,
        accounts: ports.Accounts,
        money: ports.Money,
        deposits: Deposits,
        usage: ports.UsageReports,
    ) -> None:
        self._owners = owners
        self._accounts = accounts
        self._money = money
        self._deposits = deposits
        self._usage = usage

    def statement(self, actor: Actor, user_id: str | None) -> BillingStatement:
        """Raises Forbidden, NotFound."""
        party = self._owners.party(actor, user_id, "billing.read")
        # Of a linked end user: itself, with what it can spend.
        account = self._accounts.get(party.end_user_id or party.account_id)
        wallet = self._money.wallet(party.account_id)
        if account is None or wallet is None:
            raise NotFound("account")
        return BillingStatement(account, wallet, self._credits(party.account_id, account))

    def credits(self, actor: Actor, user_id: str | None) -> Credits:
        """What this user may still ask an assistant that costs credits. Raises Forbidden, NotFound."""
        return self._credits(self._owners.party(actor, user_id, "billing.read").account_id)

    def _credits(self, account_id: str, seen: Account | None = None) -> Credits:
        """Of a linked end user they are its account's."""
        account = seen if seen is not None and seen.id == account_id else self._accounts.get(account_id)
        if account is None:
            raise NotFound("account")
        return self._money.credits(account)

    def ledger(self, actor: Actor, user_id: str | None, unit: Unit = Unit.TOKENS) -> ports.LedgerReader:
        """Of tokens, or of both wallets of credits, newest first; one look, in as many pages as it takes.

        Raises Forbidden, NotFound.
        """
        return partial(self._money.ledger_of, self._owners.resolve(actor, user_id, "ledger.read"), unit)

    def usage(
        self, actor: Actor, user_id: str | None, first_day: str, last_day: str, group: str
    ) -> list[ports.UsageTotals]:
        """Tokens per `day` or `model` between two inclusive ISO days. Raises Forbidden."""
        owner_id = self._owners.resolve(actor, user_id, "usage.read")
        return self._usage.totals(owner_id, first_day, last_day, group)

    @staticmethod
    def credits_at_once(actor: Actor) -> bool:
        """Whether a top-up by this actor is a credit; anybody else pays first."""
        return actor.is_admin or actor.key is not None

    def top_up(
        self,
        actor: Actor,
        user_id: str | None,
        amount: int,
        idempotency: ports.IdempotencyKey | None,
        unit: Unit = Unit.TOKENS,
    ) -> Wallet:
        """Add `amount` tokens, or extra credits, at once: an admin anybody's, a key with that scope its end users'.

        Raises TopUpUnavailable for a person, Forbidden for a key without the scope, ValidationFailed for one that names
        no end user. With a known idempotency key nothing is added and the wallet is returned as it is now.
        """
        _check_may_top_up(actor, user_id)
        try:
            return self._top_up(actor, user_id, amount, idempotency, unit)
        except AccountLinked:
            if actor.key is None:
                raise
            # Linked between the two: the balance is the account's now.
            return self._top_up(actor, user_id, amount, idempotency, unit)

    def _top_up(
        self, actor: Actor, user_id: str | None, amount: int, idempotency: ports.IdempotencyKey | None, unit: Unit
    ) -> Wallet:
        movement = ports.Movement(
            entry_id=f"{EntryKind.TOPUP}:{uuid4().hex}",
            account_id=wallet_id_of(self._owners.party(actor, user_id, "balance.topup").account_id, unit),
            kind=EntryKind.TOPUP,
            actor_id=actor.record_id,
        )
        return self._deposits(movement, amount, idempotency)


def _check_may_top_up(actor: Actor, user_id: str | None) -> None:
    owner_id = actor.owner(user_id)
    if actor.key is None:
        if not actor.is_admin:
            raise TopUpUnavailable()
    elif Scope.BILLING_TOPUP not in actor.key.scopes:
        raise Forbidden("the key may not top up")
    elif owner_id == actor.account_id:
        raise ValidationFailed(details={"userId": ["end_user_required"]})
