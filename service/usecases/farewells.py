"""Deleting an account: by itself, or by an admin."""

from service.domain.accounts import Actor, Role
from service.domain.errors import Forbidden, NotFound, ValidationFailed
from service.usecases import ports
from service.usecases.accounts import AccountService
from service.usecases.audit import Auditor
from service.usecases.erase import EraseService


class FarewellService:
    def __init__(
        self, *, accounts: AccountService, store: ports.Accounts, erase: EraseService, auditor: Auditor
    ) -> None:
        self._accounts = accounts
        self._store = store
        self._erase = erase
        self._auditor = auditor

    def leave(self, actor: Actor, password: str | None) -> None:
        """Delete one's own account, for which a guest needs no password.

        Raises ValidationFailed without a password and for the last admin, BadCredentials, TooManyAttempts.
        """
        if actor.role is not Role.GUEST:
            if password is None:
                raise ValidationFailed(details={"password": ["required"]})
            self._accounts.confirm(actor, password)
        self._delete(actor, actor.account_id)

    def dismiss(self, actor: Actor, user_id: str) -> None:
        """Delete somebody else's account. For admins. Raises Forbidden, NotFound, ValidationFailed for one's own."""
        if not actor.is_admin:
            raise Forbidden("admins only")
        if user_id == actor.account_id:
            raise ValidationFailed(details={"userId": ["own_account"]})
        if self._store.get(user_id) is None:
            raise NotFound("account")
        self._delete(actor, user_id)

    def _delete(self, actor: Actor, account_id: str) -> None:
        with self._auditor.change(actor, "account.delete", account_id):
            self._erase.account(account_id)
