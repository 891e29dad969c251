"""Links: what a bot calls somebody and that person's own account become one.

The person asks for a code on the web and types it into the bot's chat; the bot's program confirms it. Then what the end
user had is the account's, by two entries of the ledger with one cause, and its questions run on the account, in a
dialog of their own that begins with what was said so far. The program reaches what it asked itself and nothing else of
the person's. The person ends a link whenever they like; the balance stays with the account.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import structlog

from service.domain.accounts import Account, Actor, Role
from service.domain.billing import Wallet
from service.domain.errors import (
    AccountBlocked,
    AccountLinked,
    Forbidden,
    LinkCodeInvalid,
    NotFound,
    RateLimited,
    ValidationFailed,
)
from service.domain.links import CODE_LIFE, LinkCode, hash_code, new_code
from service.usecases import ports
from service.usecases.owners import Owners

log = structlog.get_logger(__name__)

CODES_PER_HOUR = 20
HOUR_SECONDS = 3600
# Wrong codes: of one end user, so that nobody spoils it for the others, and of all of an owner's keys together, so
# that inventing end users helps nobody. With 40 bits a guess at this rate succeeds once in thousands of years.
FAILURES_PER_END_USER = 5
FAILURES_PER_OWNER = 100
FAILURES_WINDOW_SECONDS = 600
MAX_LINKS = 50


@dataclass(frozen=True, slots=True)
class IssuedCode:
    code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """An end user who is linked to the account that asks. `name` is that of the program's key."""

    id: str
    external_id: str
    key_id: str
    name: str
    linked_at: datetime


@dataclass(frozen=True, slots=True)
class Confirmed:
    """`moved_tokens` came from the end user's wallet; `wallet` is the account's afterwards."""

    moved_tokens: int
    wallet: Wallet


class LinkService:
    def __init__(
        self,
        *,
        links: ports.Links,
        keys: ports.Keys,
        accounts: ports.Accounts,
        money: ports.Money,
        owners: Owners,
        rate_limits: ports.RateLimits,
        telemetry: ports.Telemetry,
        clock: ports.Clock,
        secret: str,
    ) -> None:
        self._links = links
        self._keys = keys
        self._accounts = accounts
        self._money = money
        self._owners = owners
        self._rate_limits = rate_limits
        self._telemetry = telemetry
        self._clock = clock
        self._secret = secret

    def issue(self, actor: Actor) -> IssuedCode:
        """A new code for one's own account; the one before it ends. Raises Forbidden for a guest, RateLimited."""
        if actor.role in (Role.GUEST, Role.END_USER):
            raise Forbidden("no links to guests")
        wait = self._rate_limits.hit("link-code", actor.account_id, CODES_PER_HOUR, HOUR_SECONDS)
        if wait is not None:
            raise RateLimited("link-code", retry_after_seconds=wait, params={"seconds": wait})
        issued = IssuedCode(new_code(), self._clock.now() + CODE_LIFE)
        self._links.put_code(LinkCode(actor.account_id, hash_code(issued.code, self._secret), issued.expires_at))
        log.info("link code issued", account_id=actor.account_id)
        return issued

    def confirm(self, actor: Actor, user_id: str, code: str) -> Confirmed:
        """Link the end user that a program calls `user_id` to the account that this code is of.

        The same once more changes nothing. Raises LinkCodeInvalid, AccountLinked if the end user is linked to another
        account, JobRunning while a question of the end user is open, RateLimited, AccountBlocked, Forbidden for
        somebody else, and ValidationFailed for whoever is no end user of the program.
        """
        # Only a program has end users, and only they are linked.
        if actor.owner(user_id) == actor.account_id or actor.key is None:
            raise ValidationFailed(details={"userId": ["end_user_required"]})
        end_user_id = self._owners.resolve(actor, user_id, "link.confirm")
        self._refuse_beyond(self._rate_limits.peek, actor, end_user_id)
        found = self._links.code(hash_code(code, self._secret))
        if found is None or found.expires_at <= self._clock.now() or found.used_by not in (None, end_user_id):
            self._telemetry.link("refused")
            log.warning("wrong link code", end_user_id=end_user_id)
            self._refuse_beyond(self._rate_limits.hit, actor, end_user_id)
            raise LinkCodeInvalid()
        self._check_account(found.account_id)
        moved = self._linked(end_user_id, found, actor.record_id)
        wallet = self._money.wallet(found.account_id)
        if wallet is None:
            raise NotFound("wallet")
        return Confirmed(moved, wallet)

    def own(self, actor: Actor) -> list[Link]:
        """The links of one's own account, newest first."""
        return [self._link(account) for account in self._links.of_account(actor.account_id)]

    def remove(self, actor: Actor, link_id: str) -> None:
        """End a link of one's own: the end user has an empty wallet of its own again. Raises NotFound, Forbidden."""
        end_user = self._links.get(link_id)
        if end_user is None:
            raise NotFound("link")
        if end_user.linked_account_id != actor.account_id:
            # Not even an admin's to end: it would take somebody's bot away from them.
            raise Forbidden("somebody else's link")
        if not self._links.unlink(end_user):
            raise NotFound("link")
        self._telemetry.link("removed")
        log.info("link removed", account_id=actor.account_id, end_user_id=end_user.id)

    def _linked(self, end_user_id: str, code: LinkCode, actor_id: str) -> int:
        moved = self._links.link(end_user_id, code, uuid4().hex, actor_id)
        if moved is None:
            # Linked already: to this account, or to another one, by this code just now or by an earlier one.
            end_user = self._accounts.get(end_user_id)
            if end_user is None or end_user.linked_account_id != code.account_id:
                raise AccountLinked("to another account")
            return 0
        self._telemetry.link("linked")
        log.info("end user linked", account_id=code.account_id, end_user_id=end_user_id, tokens=moved)
        return moved

    def _check_account(self, account_id: str) -> None:
        account = self._accounts.get(account_id)
        if account is None or account.blocked:
            raise AccountBlocked()
        if len(self._links.of_account(account_id)) >= MAX_LINKS:
            raise ValidationFailed(details={"code": [f"too_many_links:{MAX_LINKS}"]})

    def _link(self, end_user: Account) -> Link:
        key = self._keys.get(end_user.key_id or "")
        return Link(
            id=end_user.link_id or "",
            external_id=end_user.external_id or "",
            key_id=end_user.key_id or "",
            name=key.name if key else "",
            linked_at=end_user.linked_at or end_user.created_at,
        )

    def _refuse_beyond(self, limit: ports.CountAttempt, actor: Actor, end_user_id: str) -> None:
        waits = (
            limit("link-failure", end_user_id, FAILURES_PER_END_USER, FAILURES_WINDOW_SECONDS),
            limit("link-failure", actor.account_id, FAILURES_PER_OWNER, FAILURES_WINDOW_SECONDS),
        )
        wait = max((wait for wait in waits if wait is not None), default=None)
        if wait is not None:
            raise RateLimited("link-failure", retry_after_seconds=wait, params={"seconds": wait})
