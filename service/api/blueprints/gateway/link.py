"""`/api/link`: tie what a bot calls somebody to that person's own account, by a one-time code."""

from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.fields import Input, Moment, Output, Record, Text
from service.api.schemas import EXAMPLE_ID, EXAMPLE_KEY_ID, EXAMPLE_TIME, Id, Success
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.keys import Scope

blueprint = ApiBlueprint("link", __name__, url_prefix="/api/link", description="Bots that are linked to an account")

EXAMPLE_CODE = "7KQ2-M9XA"


class LinkCode(Output):
    EXAMPLE = {"code": EXAMPLE_CODE, "expiresAt": "2024-01-15T10:10:00Z"}

    code = fields.String(required=True, metadata={"description": "To be typed into the bot's chat."})
    expires_at = Moment(required=True)


class Confirmation(Input):
    EXAMPLE = {"userId": "4242", "code": EXAMPLE_CODE}

    user_id = Id(required=True, metadata={"description": "What the program calls its end user."})
    code = Text(
        required=True,
        min_length=1,
        max_length=32,
        metadata={"description": "As it was typed: case, blanks and dashes don't matter."},
    )


class Linked(Success):
    EXAMPLE = {"success": True, "movedTokens": 1500, "currentBalance": 101500}

    moved_tokens = fields.Integer(
        required=True, metadata={"description": "What the end user had; 0 if the link was there already."}
    )
    current_balance = fields.Integer(required=True, metadata={"description": "Of the account, for bot and web alike."})


class Link(Output):
    EXAMPLE = {
        "linkId": EXAMPLE_ID,
        "externalId": "4242",
        "keyId": EXAMPLE_KEY_ID,
        "name": "Бот в Telegram",
        "linkedAt": EXAMPLE_TIME,
    }

    id = fields.String(required=True, data_key="linkId")
    external_id = fields.String(required=True, metadata={"description": "What the bot calls the person."})
    key_id = fields.String(required=True)
    name = fields.String(required=True, metadata={"description": "Of the bot's key."})
    linked_at = Moment(required=True)


class Links(Output):
    EXAMPLE = {"links": [Link.EXAMPLE], "total": 1}

    links = fields.List(Record(Link), required=True)
    total = fields.Integer(required=True)


@blueprint.route("/code", methods=["POST"])
@authenticated("self")
@fails_with(429)
@blueprint.response(201, LinkCode, description="The code, which is shown only now")
def issue_code(*, actor: Actor) -> Any:
    """Get a code that links a bot to this account

    Type it into the bot's chat within ten minutes. It works once, and a new one ends the one before it. A linked bot
    spends this account's balance, so link only bots that you trust.
    """
    return services().links.issue(actor)


@blueprint.route("/confirm", methods=["POST"])
@authenticated("owner", Scope.BOT)
@fails_with(409, 429)
@blueprint.arguments(Confirmation)
@blueprint.response(200, Linked, description="Linked; the same once more changes nothing")
def confirm(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Link an end user to the account of a code

    For an API key. The end user's balance is added to the account's, and from now on its questions are paid by the
    account, in a dialog of their own there. 409 while a question of the end user is open (`JOB_RUNNING`) or if it is
    linked to another account (`ACCOUNT_LINKED`). The program reaches nothing of the account but what it asks itself.
    """
    confirmed = services().links.confirm(actor, given["user_id"], given["code"])
    return {
        "success": True,
        "moved_tokens": confirmed.moved_tokens,
        "current_balance": confirmed.wallet.available,
    }


@blueprint.route("", methods=["GET"])
@authenticated("self")
@blueprint.response(200, Links, description="The bots that are linked, newest first")
def list_links(*, actor: Actor) -> dict[str, Any]:
    """List the bots that are linked to one's own account"""
    found = services().links.own(actor)
    return {"links": found, "total": len(found)}


@blueprint.route("/<link_id>", methods=["DELETE"])
@authenticated("private")
@fails_with(404)
@blueprint.response(200, Success, description="The link has ended")
def remove(*, actor: Actor, link_id: str) -> dict[str, Any]:
    """Remove a link

    The bot's user has an empty wallet of its own again; the balance and the dialog stay with this account.
    """
    services().links.remove(actor, link_id)
    return {"success": True}
