"""`/api/admin/keys`: everybody's API keys. Secrets are nobody's to see."""

from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.fields import Input, Output, Record
from service.api.keys import Key, Scopes
from service.api.schemas import EXAMPLE_CURSOR, Cursor, Id, NextCursor
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import ApiKey, Scope
from service.usecases.ports import KeyQuery

blueprint = ApiBlueprint("admin-keys", __name__, url_prefix="/api/admin/keys", description="Operators: API keys")


class KeySearch(Cursor):
    user_id = Id(load_default=None, metadata={"description": "Whose keys; everybody's by default."})


class AllKeys(Output):
    EXAMPLE = {"keys": [Key.EXAMPLE], "nextCursor": EXAMPLE_CURSOR}

    keys = fields.List(Record(Key), required=True)
    next_cursor = NextCursor()


class NewScopes(Input):
    EXAMPLE = {"scopes": ["chat", "billing:topup"]}

    scopes = Scopes()


@blueprint.route("", methods=["GET"])
@authenticated("support")
@blueprint.arguments(KeySearch, location="query")
@blueprint.response(200, AllKeys, description="A page of keys, revoked ones too, newest first")
def list_keys(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List the API keys of all accounts"""
    page = services().keys.overview(actor, KeyQuery(query["user_id"], query["cursor"], query["limit"]))
    return {"keys": page.items, "next_cursor": page.next_cursor}


@blueprint.route("/<key_id>", methods=["DELETE"])
@authenticated("admin")
@fails_with(404)
@blueprint.response(200, Key, description="The key is revoked")
def revoke(*, actor: Actor, key_id: str) -> ApiKey:
    """Revoke somebody's API key

    It stops working at once and for good.
    """
    return services().keys.revoke_any(actor, key_id)


@blueprint.route("/<key_id>/scopes", methods=["POST"])
@authenticated("admin")
@fails_with(404)
@blueprint.arguments(NewScopes)
@blueprint.response(200, Key, description="The key has these scopes")
def grant(given: dict[str, Any], *, actor: Actor, key_id: str) -> ApiKey:
    """Set the scopes of somebody's API key

    The way to `billing:topup`, with which a program credits its own end users.
    """
    return services().keys.grant(actor, key_id, [Scope(scope) for scope in given["scopes"]])
