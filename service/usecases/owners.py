"""Whose things a request is about. What an admin does to somebody else's is audited here, whatever it is, and an end
user of an API key is created on first use."""

from service.domain.accounts import Account, Actor, Role
from service.domain.errors import AccountBlocked, Forbidden, NotFound
from service.domain.keys import ApiKey
from service.usecases import ports
from service.usecases.audit import Auditor


class Owners:
    def __init__(self, *, accounts: ports.Accounts, auditor: Auditor, clock: ports.Clock) -> None:
        self._accounts = accounts
        self._auditor = auditor
        self._clock = clock

    def resolve(self, actor: Actor, user_id: str | None, action: str) -> str:
        """The account that this `userId` means, the caller's own if it is None.

        Raises Forbidden unless it is theirs, or an end user's of theirs, or they are an admin; NotFound if an admin
        names nobody; AccountBlocked for a blocked end user. `action` is what the audit trail says of an admin who names
        somebody else.
        """
        owner_id = actor.owner(user_id)
        if user_id is None or owner_id == actor.account_id:
            return owner_id
        if actor.key is not None:
            self._ensure(_end_user(actor.key, user_id, self._clock))
            return owner_id
        if self._accounts.get(owner_id) is None:
            raise NotFound("account")
        self._auditor.record(actor, action, owner_id)
        return owner_id

    def check(self, actor: Actor, account_id: str, external_id: str | None, action: str, **details: str) -> None:
        """Raises Forbidden unless a thing of this account is the actor's too; audited as in `resolve`."""
        if not actor.reaches(account_id, external_id):
            raise Forbidden("somebody else's")
        if account_id != actor.account_id and actor.key is None:
            self._auditor.record(actor, action, account_id, **details)

    def _ensure(self, end_user: Account) -> None:
        account = self._accounts.ensure_end_user(end_user)
        if account.blocked:
            raise AccountBlocked()
        self._accounts.touch(account)


def _end_user(key: ApiKey, external_id: str, clock: ports.Clock) -> Account:
    return Account(
        id=key.end_user_id(external_id),
        role=Role.END_USER,
        username=None,
        email=None,
        first_name="",
        last_name="",
        locale=None,
        plan="FREE",
        blocked=False,
        token_version=0,
        created_at=clock.now(),
        external_id=external_id,
        key_id=key.id,
    )
