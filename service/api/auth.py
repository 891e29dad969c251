"""Who is asking: the decorators that every route wears one of.

People send a token as `Authorization: Bearer`, programs an API key as `X-API-Key` or in the token's place. Of two
credentials the token counts. On the routes of the bot profile a key may be part of the path, and then it alone counts.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeVar, get_args

import structlog
from flask import request

from service.api.state import services, state
from service.api.tokens import Claims, read_token
from service.domain.accounts import Account, Actor
from service.domain.errors import Forbidden, Unauthorized
from service.domain.keys import ApiKey, Scope, looks_like_secret

# Whose things a route is about. The ownership tests walk the routes by this, so each route must say one.
# `private` is the owner's alone: not even an admin's.
Access = Literal["public", "self", "private", "owner", "support", "admin"]
View = TypeVar("View", bound=Callable[..., Any])

API_KEY_HEADER = "X-API-Key"
KEY_IN_PATH = "api_key"


def public(view: View) -> View:
    """A route for anybody."""
    view.access = "public"  # type: ignore[attr-defined]
    return view


def authenticated(access: Access, scope: Scope | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A route for whoever sends a valid access token, or with a `scope` an API key that has it; the view gets them as
    `actor`.

    `support` and `admin` also need that role, `admin` having both. Whether an id in the request is the caller's own
    is for `Actor.owner` and the use cases to say.
    """
    if access not in get_args(Access):
        raise ValueError(access)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            kwargs.pop(KEY_IN_PATH, None)
            actor = _recognise()
            if actor.key is not None:
                _check_scope(actor.key, scope)
            if (access == "support" and not actor.is_staff) or (access == "admin" and not actor.is_admin):
                raise Forbidden(f"role {actor.role} is not enough")
            return view(*args, actor=actor, **kwargs)

        guarded.access = access  # type: ignore[attr-defined]
        guarded.scope = scope  # type: ignore[attr-defined]
        return guarded

    return decorate


def optionally_authenticated(view: Callable[..., Any]) -> Callable[..., Any]:
    """A public route that cares who asks: the view gets them as `actor`, or None. A token must be valid if sent."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        actor = actor_of(read_token(_bearer(), "access")) if "Authorization" in request.headers else None
        return view(*args, actor=actor, **kwargs)

    guarded.access = "public"  # type: ignore[attr-defined]
    guarded.may_send_token = True  # type: ignore[attr-defined]
    return guarded


def client_address() -> str:
    return request.remote_addr or ""


def _bearer() -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthorized("no bearer token")
    return token.strip()


def _recognise() -> Actor:
    in_path = (request.view_args or {}).get(KEY_IN_PATH)
    if in_path is not None:
        return _recognise_key(in_path)
    if "Authorization" not in request.headers and API_KEY_HEADER in request.headers:
        return _recognise_key(request.headers[API_KEY_HEADER].strip())
    bearer = _bearer()
    if looks_like_secret(bearer):
        return _recognise_key(bearer)
    return actor_of(read_token(bearer, "access"))


def _recognise_key(secret: str) -> Actor:
    found = services().keys.recognise(secret)
    remember(found.account)
    state().account_locale = found.key.locale or found.account.locale
    structlog.contextvars.bind_contextvars(key_id=found.key.id)
    return Actor(
        account_id=found.account.id,
        role=found.account.role,
        request_id=state().request_id,
        locale=found.account.locale,
        address=client_address(),
        key=found.key,
    )


def _check_scope(key: ApiKey, scope: Scope | None) -> None:
    if scope is None:
        raise Forbidden("not for API keys")
    if scope not in key.scopes:
        raise Forbidden(f"the key has no scope {scope}", extra={"requiredScope": scope.value})


def actor_of(claims: Claims) -> Actor:
    """The account behind a token that was read. Raises Unauthorized if it was revoked, AccountBlocked."""
    account = services().accounts.recognise(claims.account_id, claims.login_id, claims.token_version)
    remember(account)
    return Actor(
        account_id=account.id,
        role=account.role,
        request_id=state().request_id,
        login_id=claims.login_id,
        locale=account.locale,
        address=client_address(),
    )


def remember(account: Account) -> None:
    """Log the rest of this request under this account, and answer in its language."""
    state().account_id = account.id
    state().account_locale = account.locale
    structlog.contextvars.bind_contextvars(account_id=account.id)
