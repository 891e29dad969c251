"""`/api/admin/users` and `/api/admin/user/{userId}`: look at accounts, block them, give roles and plans."""

from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.admin.schemas import (
    SORT_FIELDS,
    AccountState,
    NewPlan,
    NewRole,
    UserCard,
    Users,
    UserSearch,
)
from service.api.credits import credits_body
from service.api.schemas import Success
from service.api.state import services
from service.domain.accounts import Account, Actor, Role
from service.domain.plans import Plan
from service.usecases.ports import UserQuery

blueprint = ApiBlueprint("admin-users", __name__, url_prefix="/api/admin", description="Operators: accounts")


@blueprint.route("/users", methods=["GET"])
@authenticated("support")
@blueprint.arguments(UserSearch, location="query")
@blueprint.response(200, Users, description="A page of accounts")
def list_users(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List accounts"""
    sort: str = query["sort"]
    sign, field = sort[: sort.startswith("-")], sort.removeprefix("-")
    rows, total = services().admin.users(
        actor,
        UserQuery(
            text=query["q"],
            role=Role(query["role"]) if query["role"] else None,
            blocked=None if query["blocked"] is None else query["blocked"] == "true",
            plan=query["plan"],
            sort=sign + SORT_FIELDS[field],
            page=query["page"],
            limit=query["limit"],
        ),
    )
    return {"users": rows, "total": total, "page": query["page"], "limit": query["limit"]}


@blueprint.route("/user/<user_id>", methods=["GET"])
@authenticated("support")
@fails_with(404)
@blueprint.response(200, UserCard, description="The account with all its wallets")
def get_user(*, actor: Actor, user_id: str) -> dict[str, Any]:
    """Show an account

    With its tokens, and the credits that it may ask for now.
    """
    card = services().admin.card(actor, user_id)
    return {"account": card.account, "wallet": card.wallet, "credits": credits_body(card.credits)}


@blueprint.route("/user/<user_id>/block", methods=["POST"])
@authenticated("admin")
@fails_with(404)
@blueprint.response(200, AccountState, description="Blocked")
def block(*, actor: Actor, user_id: str) -> dict[str, Any]:
    """Block an account

    It can do nothing any more, from the next request on; its accepted jobs end as they would.
    """
    return _state(services().admin.set_blocked(actor, user_id, True))


@blueprint.route("/user/<user_id>/unblock", methods=["POST"])
@authenticated("admin")
@fails_with(404)
@blueprint.response(200, AccountState, description="Not blocked")
def unblock(*, actor: Actor, user_id: str) -> dict[str, Any]:
    """Unblock an account"""
    return _state(services().admin.set_blocked(actor, user_id, False))


@blueprint.route("/user/<user_id>/plan", methods=["POST"])
@authenticated("admin")
@fails_with(404, 409)
@blueprint.arguments(NewPlan)
@blueprint.response(200, AccountState, description="The account has this plan")
def set_plan(given: dict[str, Any], *, actor: Actor, user_id: str) -> dict[str, Any]:
    """Give an account a plan

    A month of the new plan begins now, with all its credits; what was left of the old one expires. The plan that the
    account has already changes nothing.
    """
    return _state(services().admin.set_plan(actor, user_id, Plan(given["plan"])))


@blueprint.route("/user/<user_id>/role", methods=["POST"])
@authenticated("admin")
@fails_with(404)
@blueprint.arguments(NewRole)
@blueprint.response(200, AccountState, description="The account has this role")
def set_role(given: dict[str, Any], *, actor: Actor, user_id: str) -> dict[str, Any]:
    """Give an account a role

    Not to oneself, so that the last admin can't be lost, and not to a guest.
    """
    return _state(services().admin.set_role(actor, user_id, Role(given["role"])))


@blueprint.route("/user/<user_id>", methods=["DELETE"])
@authenticated("admin")
@fails_with(404)
@blueprint.response(200, Success, description="The account is gone")
def delete(*, actor: Actor, user_id: str) -> dict[str, Any]:
    """Delete an account

    As if its owner had: for good, with its dialogs, names, keys, webhooks and links. Wallet and ledger stay. Not one's
    own.
    """
    services().farewells.dismiss(actor, user_id)
    return {"success": True}


def _state(account: Account) -> dict[str, Any]:
    return {
        "success": True,
        "user_id": account.id,
        "role": account.role.value,
        "plan": account.plan,
        "blocked": account.blocked,
    }
