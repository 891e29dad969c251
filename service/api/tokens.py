"""JSON Web Tokens, made and read.

A token carries, all required, `iss, aud, sub, exp, iat, jti, typ`, the login session it belongs to (`login`) and the
account's token version (`ver`). It is signed with HS256 and nothing else. Whatever is wrong with one is a 401. Whether
its login session is still alive is for `AccountService.recognise` to say.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from flask import Flask, current_app
from flask_jwt_extended import JWTManager, create_access_token, create_refresh_token, decode_token
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt import ExpiredSignatureError, PyJWTError

from service.api.errors import respond
from service.api.state import services
from service.domain.errors import TokenExpired, Unauthorized
from service.settings import Settings
from service.usecases.accounts import LoggedIn

TokenKind = Literal["access", "refresh"]

ALGORITHM = "HS256"
ISSUER = "talkmeter"
AUDIENCE = "talkmeter-api"
MAX_TOKEN_CHARACTERS = 4096
# The library decodes a token three times over, 0.2 ms in all, and a client sends the same one again and again.
REMEMBERED_TOKENS = 4096
_EXTENSION = "talkmeter-decode-token"
_ID_CLAIMS = ("sub", "jti", "typ", "login")
# What PyJWT lets through of its own and of Python's when header or claims are not what they should be.
_MALFORMED = (
    PyJWTError,
    JWTExtendedException,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says; none of it is believed before the account's own record agrees."""

    account_id: str
    login_id: str
    token_id: str
    token_version: int


@dataclass(frozen=True, slots=True)
class Tokens:
    access: str
    refresh: str
    expires_in_seconds: int


def install(app: Flask, settings: Settings) -> None:
    """Configure the JWT extension, and let none of its own answers out."""
    app.config.update(
        JWT_SECRET_KEY=settings.jwt_secret_key.get_secret_value(),
        JWT_ALGORITHM=ALGORITHM,
        JWT_DECODE_ALGORITHMS=[ALGORITHM],
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_ENCODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_ENCODE_NBF=False,
        # For tokens in cookies, which there are none of.
        JWT_COOKIE_CSRF_PROTECT=False,
    )
    # Of this application alone, because it belongs to one secret. Refusals are not remembered.
    app.extensions[_EXTENSION] = lru_cache(maxsize=REMEMBERED_TOKENS)(decode_token)
    manager = JWTManager(app)
    for loader in (
        manager.unauthorized_loader,
        manager.invalid_token_loader,
        manager.needs_fresh_token_loader,
        manager.revoked_token_loader,
        manager.token_verification_failed_loader,
        manager.user_lookup_error_loader,
    ):
        loader(lambda *_: respond(Unauthorized()))
    manager.expired_token_loader(lambda *_: respond(TokenExpired()))


def issue(logged_in: LoggedIn) -> Tokens:
    """The two tokens of a login session; neither outlives it."""
    account, login = logged_in.account, logged_in.login
    left = login.expires_at - datetime.now(UTC)
    access_life = min(timedelta(minutes=services().settings.jwt_access_minutes), left)
    shared = {"login": login.id, "ver": account.token_version}
    return Tokens(
        access=create_access_token(
            account.id, expires_delta=access_life, additional_claims={**shared, "typ": "access"}
        ),
        refresh=create_refresh_token(
            account.id,
            expires_delta=left,
            additional_claims={**shared, "typ": "refresh", "jti": login.refresh_id},
        ),
        expires_in_seconds=int(access_life.total_seconds()),
    )


def read_token(token: str, kind: TokenKind) -> Claims:
    """What a token of this kind says. Raises TokenExpired, Unauthorized."""
    # Its header is parsed before the signature is checked, so size and errors of any kind are limited here.
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise Unauthorized("token too long")
    decode: Callable[[str], dict[str, Any]] = current_app.extensions[_EXTENSION]
    try:
        claims = decode(token)
    except ExpiredSignatureError as error:
        raise TokenExpired() from error
    except _MALFORMED as error:
        raise Unauthorized(type(error).__name__) from error
    return _claims(claims, kind)


def _claims(claims: dict[str, Any], kind: TokenKind) -> Claims:
    version = claims.get("ver")
    complete = (
        all(_is_id(claims.get(name)) for name in _ID_CLAIMS)
        and {"exp", "iat"} <= claims.keys()
        and type(version) is int
    )
    if not complete or claims["typ"] != kind:
        raise Unauthorized("claims")
    # Looked at again, because the token may have been remembered from before.
    if int(claims["exp"]) <= time.time():
        raise TokenExpired()
    return Claims(
        account_id=claims["sub"], login_id=claims["login"], token_id=claims["jti"], token_version=int(version or 0)
    )


def _is_id(claim: object) -> bool:
    # ASCII, because a lone surrogate is a string too, and the database can't be asked for one.
    return isinstance(claim, str) and claim.isascii() and claim != ""
