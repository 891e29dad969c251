"""API keys: made, listed, rotated and revoked by their owners, overseen by staff, and recognised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog

from service.domain.accounts import Actor, Role
from service.domain.errors import AccountBlocked, Forbidden, NotFound, Unauthorized, ValidationFailed
from service.domain.keys import (
    ADMIN_SCOPES,
    DEFAULT_SCOPES,
    ApiKey,
    Scope,
    check_callback_host,
    hash_secret,
    looks_like_secret,
    new_secret,
    shown_prefix,
)
from service.usecases import ports
from service.usecases.audit import Auditor

log = structlog.get_logger(__name__)

MAX_KEYS = 50
DEFAULT_OVERLAP = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a key is asked to be; see `ApiKey`."""

    name: str
    scopes: Sequence[Scope] = DEFAULT_SCOPES
    wait_seconds: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    max_open_jobs: int | None = None
    assistant: str | None = None
    callback_hosts: Sequence[str] = ()
    part_characters: int | None = None
    text_format: str | None = None
    locale: str | None = None
    life: timedelta | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key with its secret, which is never to be had again."""

    key: ApiKey
    secret: str


class KeyService:
    def __init__(
        self,
        *,
        keys: ports.Keys,
        accounts: ports.Accounts,
        catalog: ports.Catalog,
        auditor: Auditor,
        clock: ports.Clock,
    ) -> None:
        self._keys = keys
        self._accounts = accounts
        self._catalog = catalog
        self._auditor = auditor
        self._clock = clock

    def recognise(self, secret: str) -> ports.FoundKey:
        """The key with this secret, and its account: one read. Raises Unauthorized alike for whatever is wrong with
        it, AccountBlocked."""
        if not looks_like_secret(secret):
            raise Unauthorized("no key looks so")
        found = self._keys.by_secret(hash_secret(secret))
        if found is None or found.key.revoked_at is not None:
            raise Unauthorized("no such key")
        now = self._clock.now()
        if _is_over(found.key.expires_at, now) or _is_over(found.secret_until, now):
            raise Unauthorized("the key has expired")
        if found.account.blocked:
            raise AccountBlocked()
        self._keys.touch(found.key)
        self._accounts.touch(found.account)
        return found

    def create(self, actor: Actor, wanted: NewKey) -> IssuedKey:
        """A new key for one's own account. Raises ValidationFailed, and Forbidden for a guest or a scope beyond one."""
        if actor.role in (Role.GUEST, Role.END_USER):
            raise Forbidden("no keys for guests")
        _check_scopes(actor, wanted.scopes)
        self._check_assistant(wanted.assistant)
        if len(self._keys.living(actor.account_id)) >= MAX_KEYS:
            raise ValidationFailed(details={"keys": [f"too_many_keys:{MAX_KEYS}"]})
        secret, now = new_secret(), self._clock.now()
        key = ApiKey(
            id=uuid4().hex,
            account_id=actor.account_id,
            namespace=uuid4().hex,
            name=wanted.name,
            prefix=shown_prefix(secret),
            scopes=_sorted(wanted.scopes),
            created_at=now,
            wait_seconds=wanted.wait_seconds,
            requests_per_minute=wanted.requests_per_minute,
            tokens_per_minute=wanted.tokens_per_minute,
            max_open_jobs=wanted.max_open_jobs,
            assistant=wanted.assistant,
            callback_hosts=_checked_hosts(wanted.callback_hosts),
            part_characters=wanted.part_characters,
            text_format=wanted.text_format,
            locale=wanted.locale,
            expires_at=None if wanted.life is None else now + wanted.life,
        )
        self._keys.create(key, hash_secret(secret))
        log.info("key created", key_id=key.id, scopes=[scope.value for scope in key.scopes])
        return IssuedKey(key, secret)

    def own(self, actor: Actor) -> list[ApiKey]:
        """One's own keys that are not revoked, newest first."""
        return self._keys.living(actor.account_id)

    def change(self, actor: Actor, key_id: str, changes: Mapping[str, Any], life: timedelta | None) -> ApiKey:
        """Change these fields of one's own key, from the next request on; with `life` it expires so long from now.

        A scope that only an admin grants stays if it is named. Raises NotFound, Forbidden, ValidationFailed.
        """
        while True:
            changed = self._change(actor, key_id, changes, life)
            # Not if an admin has changed its scopes since they were read: those of before must not come back.
            if changed is not None:
                return changed

    def _change(self, actor: Actor, key_id: str, changes: Mapping[str, Any], life: timedelta | None) -> ApiKey | None:
        key, changed = self._own(actor, key_id), dict(changes)
        if "assistant" in changed:
            self._check_assistant(changed["assistant"])
        if "scopes" in changed:
            _check_scopes(actor, [scope for scope in changed["scopes"] if scope not in key.scopes])
            changed["scopes"] = _sorted(changed["scopes"])
        if "callback_hosts" in changed:
            changed["callback_hosts"] = _checked_hosts(changed["callback_hosts"])
        if life is not None:
            changed["expires_at"] = self._clock.now() + life
        log.info("key changed", key_id=key_id, fields=sorted(changed))
        return self._keys.change(key, changed) if changed else key

    def rotate(self, actor: Actor, key_id: str, overlap: timedelta, life: timedelta | None) -> IssuedKey:
        """A new secret for one's own key; the old one works for `overlap` more. Its end users stay its own.

        With `life` the key expires so long from now, else when it would have. Raises NotFound, Forbidden.
        """
        key, secret, now = self._own(actor, key_id), new_secret(), self._clock.now()
        renewed = replace(
            key,
            prefix=shown_prefix(secret),
            previous_until=now + overlap,
            expires_at=key.expires_at if life is None else now + life,
        )
        rotated = _found(self._keys.rotate(renewed, hash_secret(secret)))
        log.info("key rotated", key_id=key_id, overlap_seconds=overlap.total_seconds())
        return IssuedKey(rotated, secret)

    def revoke(self, actor: Actor, key_id: str) -> ApiKey:
        """End one's own key, from the next request on. Raises NotFound, Forbidden."""
        self._own(actor, key_id)
        log.info("key revoked", key_id=key_id)
        return _found(self._keys.revoke(key_id, self._clock.now()))

    def overview(self, actor: Actor, query: ports.KeyQuery) -> ports.Page[ApiKey]:
        """Everybody's keys, for staff."""
        if not actor.is_staff:
            raise Forbidden("staff only")
        return self._keys.page(query)

    def revoke_any(self, actor: Actor, key_id: str) -> ApiKey:
        """End anybody's key, for an admin. Raises NotFound."""
        key = self._anybodys(actor, key_id)
        with self._auditor.change(actor, "key.revoke", key.account_id, key_id=key_id):
            return _found(self._keys.revoke(key_id, self._clock.now()))

    def grant(self, actor: Actor, key_id: str, scopes: Sequence[Scope]) -> ApiKey:
        """Set the scopes of anybody's key, for an admin. Raises NotFound."""
        key, granted = self._anybodys(actor, key_id), _sorted(scopes)
        details = {"key_id": key_id, "scopes": [scope.value for scope in granted]}
        with self._auditor.change(actor, "key.scopes", key.account_id, **details):
            return _found(self._keys.set_scopes(key_id, granted))

    def _anybodys(self, actor: Actor, key_id: str) -> ApiKey:
        if not actor.is_admin:
            raise Forbidden("admins only")
        return self._living(key_id)

    def _own(self, actor: Actor, key_id: str) -> ApiKey:
        key = self._living(key_id)
        # Not even an admin's: whoever gets a key's new secret can be its end users.
        if key.account_id != actor.account_id:
            raise Forbidden("somebody else's key")
        return key

    def _living(self, key_id: str) -> ApiKey:
        key = _found(self._keys.get(key_id))
        if key.revoked_at is not None:
            raise NotFound("key")
        return key

    def _check_assistant(self, assistant_id: str | None) -> None:
        if assistant_id is None:
            return
        if self._catalog.assistant(assistant_id) is None:
            raise ValidationFailed(details={"assistant": ["unknown_assistant"]})


def _check_scopes(actor: Actor, scopes: Sequence[Scope]) -> None:
    if not actor.is_admin and ADMIN_SCOPES.intersection(scopes):
        raise Forbidden("only an admin may grant this scope")


def _checked_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_callback_host(host) for host in hosts))


def _sorted(scopes: Sequence[Scope]) -> tuple[Scope, ...]:
    return tuple(scope for scope in Scope if scope in scopes)


def _is_over(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and moment <= now


def _found(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise NotFound("key")
    return key
