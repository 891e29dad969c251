"""Whose things a request is about. What an admin does to somebody else's is audited here, whatever it is, and an end
user of an API key is created on first use.

An end user may be linked to the account of a person (`service/usecases/links.py`). Then questions run on that account,
in a dialog of their own: `party` says so. What was the end user's before the link, and what else is the person's, is
not the program's to see: `resolve` always means the end user alone.
"""

from dataclasses import dataclass

from service.domain.accounts import Account, Actor, Role
from service.domain.errors import AccountBlocked, Forbidden, NotFound
from service.domain.keys import ApiKey
from service.usecases import ports
from service.usecases.audit import Auditor


@dataclass(frozen=True, slots=True)
class Party:
    """For whom something is asked: whose wallet pays, and in which dialog of that account (its default one if None).

    `external_user_id` is what the program of `program_id` calls the `end_user_id` that it named. `locale` is None for
    the usual language. `is_guest` says that the account is one that ends by itself.
    """

    account_id: str
    dialog_id: str | None = None
    end_user_id: str | None = None
    external_user_id: str | None = None
    program_id: str | None = None
    locale: str | None = None
    is_guest: bool = False


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
        return self._named(actor, user_id, action).id if self._names_another(actor, user_id) else actor.account_id

    def party(self, actor: Actor, user_id: str | None, action: str) -> Party:
        """Who pays for what this `userId` asks, and where it is said. Raises as `resolve` does; AccountBlocked also if
        the account that an end user is linked to is blocked."""
        locale = (actor.key.locale if actor.key else None) or actor.locale
        if not self._names_another(actor, user_id):
            return Party(actor.account_id, locale=locale, is_guest=actor.key is None and actor.role is Role.GUEST)
        named = self._named(actor, user_id, action)
        if actor.key is None:
            return Party(named.id, locale=named.locale, is_guest=named.role is Role.GUEST)
        return Party(
            account_id=named.linked_account_id or named.id,
            dialog_id=named.link_id,
            end_user_id=named.id,
            external_user_id=user_id,
            program_id=actor.account_id,
            locale=(self._linked(named.linked_account_id).locale if named.linked_account_id else None) or locale,
        )

    def check(
        self,
        actor: Actor,
        account_id: str,
        external_id: str | None,
        action: str,
        *,
        end_user_id: str | None = None,
        goes_on: bool = False,
        **details: str,
    ) -> None:
        """Raises Forbidden unless a thing of this account is the actor's too; audited as in `resolve`.

        `end_user_id` is for whom a program made it, if not for the account itself. One that `goes_on`, as a dialog does
        and a job doesn't, is the program's only while the two are linked: what the person does with it then is theirs.
        """
        if not actor.reaches(account_id, external_id, end_user_id):
            raise Forbidden("somebody else's")
        if (
            goes_on
            and end_user_id not in (None, account_id)
            and account_id != actor.account_id
            and actor.key is not None
        ):
            end_user = self._accounts.get(str(end_user_id))
            if end_user is None or end_user.linked_account_id != account_id:
                raise Forbidden("not linked any more")
        if account_id != actor.account_id and actor.key is None:
            self._auditor.record(actor, action, account_id, **details)

    @staticmethod
    def _names_another(actor: Actor, user_id: str | None) -> bool:
        return actor.owner(user_id) != actor.account_id

    def _named(self, actor: Actor, user_id: str | None, action: str) -> Account:
        """The account of somebody else whom the actor may name."""
        if actor.key is not None and user_id is not None:
            return self._ensure(_end_user(actor.key, user_id, self._clock))
        account = self._accounts.get(actor.owner(user_id))
        if account is None:
            raise NotFound("account")
        self._auditor.record(actor, action, account.id)
        return account

    def _ensure(self, end_user: Account) -> Account:
        account = self._accounts.ensure_end_user(end_user)
        if account.blocked:
            raise AccountBlocked()
        self._accounts.touch(account)
        return account

    def _linked(self, account_id: str) -> Account:
        account = self._accounts.get(account_id)
        if account is None or account.blocked:
            raise AccountBlocked()
        return account


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
