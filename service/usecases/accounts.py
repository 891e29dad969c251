"""Accounts: register, log in, refresh, log out, change the password, and recognise who is asking."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from service.domain.accounts import (
    Account,
    Actor,
    Role,
    check_password,
    check_username,
    fold_name,
)
from service.domain.errors import (
    AccountBlocked,
    BadCredentials,
    Forbidden,
    NotFound,
    RateLimited,
    TooManyAttempts,
    Unauthorized,
    UsernameTaken,
    ValidationFailed,
)
from service.usecases import ports

log = structlog.get_logger(__name__)

GUEST_LIFE = timedelta(days=7)
# Failed logins: of one name from one address, and of any name from one address. There is no limit per name alone,
# because that would let anyone lock anyone out.
FAILURES_PER_NAME_AND_ADDRESS = 10
FAILURES_PER_ADDRESS = 100
FAILURES_WINDOW_SECONDS = 300
HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class AccountPolicy:
    """What a new account gets (tokens) and how long a login lasts. A limit of 0 is none."""

    signup_tokens: int
    guest_tokens: int
    allow_guests: bool
    signups_per_hour_and_address: int
    refresh_life: timedelta


@dataclass(frozen=True, slots=True)
class Registration:
    """Either name will do; both are kept if given."""

    password: str
    username: str | None = None
    email: str | None = None
    first_name: str = ""
    last_name: str = ""
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class LoggedIn:
    account: Account
    login: ports.NewLogin


class AccountService:
    def __init__(
        self,
        *,
        accounts: ports.Accounts,
        passwords: ports.Passwords,
        rate_limits: ports.RateLimits,
        clock: ports.Clock,
        policy: AccountPolicy,
    ) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._rate_limits = rate_limits
        self._clock = clock
        self._policy = policy

    def register(self, registration: Registration, *, address: str, guest: Actor | None = None) -> LoggedIn:
        """Create an account, or make the guest who asks a registered one that keeps its history.

        Raises ValidationFailed, UsernameTaken, RateLimited.
        """
        account, keys = self._new_account(registration)
        check_password(registration.password)
        self._limit_signups(address)
        password_hash = self._passwords.hash(registration.password)
        if guest is not None and guest.role is Role.GUEST:
            account = replace(account, id=guest.account_id)
            if not self._accounts.adopt_guest(account, keys, password_hash, self._policy.signup_tokens):
                raise Unauthorized("the guest is gone")
        else:
            self._accounts.create(account, keys, password_hash, self._policy.signup_tokens)
        log.info("account registered", account_id=account.id, from_guest=guest is not None)
        return self._log_in(account)

    def create_admin(self, username: str, password: str) -> bool:
        """Create the first admin; False if the name is taken already. For the command line."""
        if self._accounts.credentials(fold_name(username)) is not None:
            return False
        account, keys = self._new_account(Registration(password=password, username=username))
        check_password(password)
        try:
            self._accounts.create(replace(account, role=Role.ADMIN), keys, self._passwords.hash(password), 0)
        except UsernameTaken:
            # By another process that is starting too.
            return False
        return True

    def guest_login(self, *, address: str, locale: str | None) -> LoggedIn:
        """A new account with no name, a small allowance and a life of seven days. Raises Forbidden, RateLimited."""
        if not self._policy.allow_guests:
            raise Forbidden("guests are not allowed")
        self._limit_signups(address)
        now = self._clock.now()
        account = _blank_account(Role.GUEST, locale, now, expires_at=now + GUEST_LIFE)
        self._accounts.create(account, (), None, self._policy.guest_tokens)
        log.info("guest created", account_id=account.id)
        return self._log_in(account)

    def log_in(self, name: str, password: str, *, address: str) -> LoggedIn:
        """Raises BadCredentials alike for a wrong name and a wrong password, TooManyAttempts, AccountBlocked."""
        key = fold_name(name)
        self._check_attempts(key, address)
        credentials = self._accounts.credentials(key)
        known_hash = None if credentials is None else credentials.password_hash
        if not self._passwords.matches(known_hash, password) or credentials is None:
            raise self._failure(key, address)
        self._check_attempts(key, address)
        if credentials.account.blocked:
            raise AccountBlocked()
        return self._log_in(credentials.account)

    def recognise(self, account_id: str, login_id: str, token_version: int) -> Account:
        """The account behind an access token. Raises Unauthorized if it was revoked, AccountBlocked."""
        account = self._accounts.with_login(account_id, login_id)
        if account is None or account.token_version != token_version:
            raise Unauthorized("revoked")
        if account.expires_at is not None and account.expires_at <= self._clock.now():
            raise Unauthorized("the guest's life is over")
        if account.blocked:
            raise AccountBlocked()
        self._accounts.touch(account)
        return account

    def refresh(self, account_id: str, login_id: str, refresh_id: str, token_version: int) -> LoggedIn:
        """Exchange a refresh token for a new one. A token used twice ends its login session. Raises Unauthorized."""
        account = self.recognise(account_id, login_id, token_version)
        login = self._login(account, login_id)
        if not self._accounts.rotate_login(account_id, login_id, refresh_id, login):
            self._accounts.end_login(account_id, login_id)
            log.warning("refresh token used twice", account_id=account_id)
            raise Unauthorized("refresh token used twice")
        return LoggedIn(account, login)

    def log_out(self, actor: Actor, *, everywhere: bool) -> None:
        """End this login session, or all of the account's: access tokens of an ended one stop working at once."""
        if everywhere or actor.login_id is None:
            self._accounts.end_all_logins(actor.account_id)
        else:
            self._accounts.end_login(actor.account_id, actor.login_id)

    def change_password(self, actor: Actor, current: str, new: str) -> LoggedIn:
        """Set a new password and end every other login session. Raises BadCredentials, TooManyAttempts."""
        check_password(new, "newPassword")
        self.confirm(actor, current)
        account = self.me(actor)
        login = self._login(account, uuid4().hex)
        version = self._accounts.set_password(account.id, self._passwords.hash(new), login)
        log.info("password changed", account_id=account.id)
        return LoggedIn(replace(account, token_version=version), login)

    def speak(self, actor: Actor, locale: str) -> Account:
        """Have the account read its texts in another language, everywhere. Raises Unauthorized if it is gone."""
        return self._accounts.set_locale(actor.account_id, locale)

    def confirm(self, actor: Actor, password: str) -> None:
        """Have the actor prove who they are. Raises BadCredentials, TooManyAttempts."""
        self._check_attempts(actor.account_id, actor.address)
        if not self._passwords.matches(self._accounts.password_hash(actor.account_id), password):
            raise self._failure(actor.account_id, actor.address)
        self._check_attempts(actor.account_id, actor.address)

    def me(self, actor: Actor) -> Account:
        account = self._accounts.get(actor.account_id)
        if account is None:
            raise NotFound("account")
        return account

    def _new_account(self, registration: Registration) -> tuple[Account, list[str]]:
        if registration.username is None and registration.email is None:
            raise ValidationFailed(details={"username": ["required"]})
        username = None if registration.username is None else check_username(registration.username)
        names = [name for name in (username, registration.email) if name is not None]
        account = replace(
            _blank_account(Role.USER, registration.locale, self._clock.now()),
            username=username,
            email=registration.email,
            first_name=registration.first_name,
            last_name=registration.last_name,
        )
        return account, sorted({fold_name(name) for name in names})

    def _log_in(self, account: Account) -> LoggedIn:
        login = self._login(account, uuid4().hex)
        self._accounts.add_login(account.id, login)
        return LoggedIn(account, login)

    def _login(self, account: Account, login_id: str) -> ports.NewLogin:
        expires_at = self._clock.now() + self._policy.refresh_life
        if account.expires_at is not None:
            expires_at = min(expires_at, account.expires_at)
        return ports.NewLogin(id=login_id, refresh_id=uuid4().hex, expires_at=expires_at)

    def _limit_signups(self, address: str) -> None:
        limit = self._policy.signups_per_hour_and_address
        if limit and (wait := self._rate_limits.hit("signup", address, limit, HOUR_SECONDS)) is not None:
            raise RateLimited(retry_after_seconds=wait, params={"seconds": wait})

    def _check_attempts(self, key: str, address: str) -> None:
        """Called before a password is checked and, because many may be checked at once, before the result is told."""
        self._refuse_beyond(self._rate_limits.peek, key, address)

    def _failure(self, key: str, address: str) -> BadCredentials:
        """Count a failed attempt. Raises TooManyAttempts if it was one too many."""
        self._refuse_beyond(self._rate_limits.hit, key, address)
        return BadCredentials()

    def _refuse_beyond(self, limit: Callable[[str, str, int, int], int | None], key: str, address: str) -> None:
        waits = (
            limit("login", f"{address} {key}", FAILURES_PER_NAME_AND_ADDRESS, FAILURES_WINDOW_SECONDS),
            limit("login", address, FAILURES_PER_ADDRESS, FAILURES_WINDOW_SECONDS),
        )
        wait = max((wait for wait in waits if wait is not None), default=None)
        if wait is not None:
            raise TooManyAttempts(retry_after_seconds=wait, params={"seconds": wait})


def _blank_account(role: Role, locale: str | None, now: datetime, expires_at: datetime | None = None) -> Account:
    return Account(
        id=uuid4().hex,
        role=role,
        username=None,
        email=None,
        first_name="",
        last_name="",
        locale=locale,
        plan="FREE",
        blocked=False,
        token_version=0,
        created_at=now,
        expires_at=expires_at,
    )
