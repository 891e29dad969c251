"""`/api/keys`: one's own API keys, for programs."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.gateway.keys_schemas import IssuedKey, KeyChanges, KeyRotation, Keys, NewKey
from service.api.keys import Key
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import ApiKey, Scope
from service.usecases import keys as usecase

blueprint = ApiBlueprint("keys", __name__, url_prefix="/api/keys", description="API keys for programs")


@blueprint.route("", methods=["POST"])
@authenticated("self")
@blueprint.arguments(NewKey)
@blueprint.response(201, IssuedKey, description="The new key, with the secret that is shown only now")
def create(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Create an API key

    For a program that acts for this account and, under `userId`s of its own choice, for end users who each get a
    wallet of their own. The secret is stored as a hash only, so it can't be shown again.
    """
    wanted = usecase.NewKey(
        name=given["name"],
        scopes=[Scope(scope) for scope in given["scopes"]],
        wait_seconds=given.get("wait_seconds"),
        requests_per_minute=given.get("requests_per_minute"),
        tokens_per_minute=given.get("tokens_per_minute"),
        max_open_jobs=given.get("max_open_jobs"),
        assistant=given.get("assistant"),
        callback_hosts=given.get("callback_hosts", ()),
        part_characters=given.get("part_characters"),
        text_format=given.get("text_format"),
        locale=given.get("locale"),
        life=_life(given),
    )
    return _issued(services().keys.create(actor, wanted))


@blueprint.route("", methods=["GET"])
@authenticated("self")
@blueprint.response(200, Keys, description="The keys that are not revoked, newest first")
def list_keys(*, actor: Actor) -> dict[str, Any]:
    """List one's own API keys"""
    found = services().keys.own(actor)
    return {"keys": found, "total": len(found)}


@blueprint.route("/<key_id>", methods=["PATCH"])
@authenticated("private")
@fails_with(404)
@blueprint.arguments(KeyChanges)
@blueprint.response(200, Key, description="The key as it is now")
def change(given: dict[str, Any], *, actor: Actor, key_id: str) -> ApiKey:
    """Change an API key

    Only what is named changes, from the next request on; the secret stays. Where null is allowed, what is usual applies
    then.
    """
    changes = {name: value for name, value in given.items() if name != "expires_in_days"}
    if "scopes" in given:
        changes["scopes"] = [Scope(scope) for scope in given["scopes"]]
    if given.get("expires_in_days", 1) is None:
        changes["expires_at"] = None
    life = given.get("expires_in_days")
    return services().keys.change(actor, key_id, changes, None if life is None else timedelta(days=life))


@blueprint.route("/<key_id>/rotate", methods=["POST"])
@authenticated("private")
@fails_with(404)
@blueprint.arguments(KeyRotation, required=False)
@blueprint.response(200, IssuedKey, description="The key with a new secret, shown only now")
def rotate(given: dict[str, Any], *, actor: Actor, key_id: str) -> dict[str, Any]:
    """Give an API key a new secret

    The old one works on for `overlapSeconds`, a day by default, so that the program can change over without a pause.
    End users and their balances stay.
    """
    overlap = timedelta(seconds=given["overlap_seconds"])
    return _issued(services().keys.rotate(actor, key_id, overlap, _life(given)))


@blueprint.route("/<key_id>", methods=["DELETE"])
@authenticated("private")
@fails_with(404)
@blueprint.response(200, Key, description="The key is revoked")
def revoke(*, actor: Actor, key_id: str) -> ApiKey:
    """Revoke an API key

    It stops working at once and for good; no other key reaches its end users. After a leak rotate it instead, with
    `overlapSeconds` 0, and they stay.
    """
    return services().keys.revoke(actor, key_id)


def _life(given: dict[str, Any]) -> timedelta | None:
    days = given["expires_in_days"]
    return None if days is None else timedelta(days=days)


def _issued(issued: usecase.IssuedKey) -> dict[str, Any]:
    return {**asdict(issued.key), "secret": issued.secret}
