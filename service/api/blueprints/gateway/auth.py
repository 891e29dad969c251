"""`/api/auth`: accounts and their tokens."""

from typing import Any

from service.api.auth import authenticated, client_address, optionally_authenticated, public, remember
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.gateway.auth_schemas import (
    AccountChanges,
    Farewell,
    Guest,
    Login,
    Logout,
    Me,
    NewAccount,
    PasswordChange,
    Refresh,
    TokenReply,
)
from service.api.schemas import Success
from service.api.state import services
from service.api.tokens import issue, read_token
from service.domain.accounts import Account, Actor
from service.domain.errors import ValidationFailed
from service.usecases.accounts import LoggedIn, Registration

blueprint = ApiBlueprint("auth", __name__, url_prefix="/api/auth", description="Accounts and their tokens")


@blueprint.route("/register", methods=["POST"])
@optionally_authenticated
@fails_with(401, 403, 409, 429)
@blueprint.arguments(NewAccount)
@blueprint.response(201, TokenReply, description="The new account, logged in")
def register(new: dict[str, Any], *, actor: Actor | None) -> dict[str, Any]:
    """Register an account

    Takes `username` or `email`, or both, and a password of 8 to 128 characters. Sent with a guest's token, the guest
    becomes the registered account and keeps its dialogs and balance.
    """
    logged_in = services().accounts.register(Registration(**new), address=client_address(), guest=actor)
    return _tokens(logged_in)


@blueprint.route("/login", methods=["POST"])
@public
@fails_with(401, 403, 429)
@blueprint.arguments(Login)
@blueprint.response(200, TokenReply, description="A new login session")
def login(given: dict[str, Any]) -> dict[str, Any]:
    """Log in

    A wrong name and a wrong password get the same answer. Failed attempts are limited by name and address.
    """
    name = given["username"] or given["email"]
    if name is None:
        raise ValidationFailed(details={"username": ["required"]})
    return _tokens(services().accounts.log_in(name, given["password"], address=client_address()))


@blueprint.route("/guest-login", methods=["POST"])
@public
@fails_with(403, 429)
@blueprint.arguments(Guest)
@blueprint.response(200, TokenReply, description="A new guest")
def guest_login(given: dict[str, Any]) -> dict[str, Any]:
    """Log in as a guest

    Makes an account with no name, a small allowance and a life of seven days, where the installation allows guests.
    """
    return _tokens(services().accounts.guest_login(address=client_address(), locale=given["locale"]))


@blueprint.route("/refresh", methods=["POST"])
@public
@fails_with(401, 403)
@blueprint.arguments(Refresh)
@blueprint.response(200, TokenReply, description="New tokens of the same login session")
def refresh(given: dict[str, Any]) -> dict[str, Any]:
    """Exchange a refresh token for new tokens

    A refresh token is valid once. Using one twice ends its login session, because one of the two users stole it.
    """
    claims = read_token(given["refresh_token"], "refresh")
    return _tokens(
        services().accounts.refresh(claims.account_id, claims.login_id, claims.token_id, claims.token_version)
    )


@blueprint.route("/logout", methods=["POST"])
@authenticated("self")
@blueprint.arguments(Logout, required=False)
@blueprint.response(200, Success, description="The tokens of the session are void")
def logout(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """End this login session

    Its access and refresh tokens stop working at once. With `everywhere` those of all sessions do.
    """
    services().accounts.log_out(actor, everywhere=given["everywhere"])
    return {"success": True}


@blueprint.route("/password", methods=["POST"])
@authenticated("self")
@fails_with(429)
@blueprint.arguments(PasswordChange)
@blueprint.response(200, TokenReply, description="A new login session; all others have ended")
def change_password(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Change the password

    Ends every login session and starts a new one, whose tokens are returned.
    """
    return _tokens(services().accounts.change_password(actor, given["current_password"], given["new_password"]))


@blueprint.route("/me", methods=["GET"])
@authenticated("self")
@blueprint.response(200, Me, description="The account behind the token")
def me(*, actor: Actor) -> dict[str, Any]:
    """Tell who is logged in"""
    return _me(services().accounts.me(actor))


@blueprint.route("/me", methods=["PATCH"])
@authenticated("self")
@blueprint.arguments(AccountChanges)
@blueprint.response(200, Me, description="The account as it is now")
def change_me(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Choose one's language

    Error texts and what a bot says are in it from now on, whatever `Accept-Language` says.
    """
    return _me(services().accounts.speak(actor, given["locale"]))


@blueprint.route("/me", methods=["DELETE"])
@authenticated("self")
@fails_with(429)
@blueprint.arguments(Farewell, required=False)
@blueprint.response(200, Success, description="The account is gone")
def delete_me(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Delete one's account

    For good, with its dialogs, names, keys, webhooks and links, and the end users of its keys; its tokens stop working
    at once, and the name is free again. What it paid and used stays in the books, under its id alone. Takes the
    password, but not from a guest. The last admin can't leave.
    """
    services().farewells.leave(actor, given["password"])
    return {"success": True}


def _me(account: Account) -> dict[str, Any]:
    return {
        "user_id": account.id,
        "user_id_too": account.id,
        "username": account.username,
        "email": account.email,
        "first_name": account.first_name,
        "last_name": account.last_name,
        "role": account.role.value,
        "plan": account.plan,
        "locale": account.locale,
        "created_at": account.created_at,
        "expires_at": account.expires_at,
    }


def _tokens(logged_in: LoggedIn) -> dict[str, Any]:
    remember(logged_in.account)
    tokens = issue(logged_in)
    return {
        "user_id": logged_in.account.id,
        "user_id_too": logged_in.account.id,
        "token": tokens.access,
        "access_token": tokens.access,
        "refresh_token": tokens.refresh,
        "token_type": "bearer",
        "expires_in": tokens.expires_in_seconds,
    }
