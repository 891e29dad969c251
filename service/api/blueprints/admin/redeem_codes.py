"""`/api/admin/redeem-codes`: codes that are worth tokens or credits to the first who enters them."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from marshmallow import fields

from service.api.auth import authenticated
from service.api.blueprint import ApiBlueprint, fails_with
from service.api.blueprints.admin.schemas import REASON_MAX_CHARACTERS
from service.api.fields import Choice, Input, Moment, Output, Record, Text, Whole
from service.api.schemas import EXAMPLE_CURSOR, EXAMPLE_ID, EXAMPLE_TIME, MAX_TOKENS, Cursor, Id, NextCursor
from service.api.state import services
from service.domain.accounts import Actor
from service.domain.billing import Unit
from service.domain.payments import RedeemCode
from service.usecases.ports import CodeQuery
from service.usecases.redeem import NewCodes

blueprint = ApiBlueprint(
    "admin-redeem-codes", __name__, url_prefix="/api/admin/redeem-codes", description="Operators: redeem codes"
)

MAX_CODES = 1_000
MAX_DAYS = 3_650
_EXAMPLE_CODE = {
    "codeId": EXAMPLE_ID,
    "batchId": "e4b1c7d0a9f25386b1c4d7e0f2a59386",
    "hint": "VT8W",
    "tokens": 100000,
    "unit": "tokens",
    "note": "Конференция в мае",
    "createdBy": EXAMPLE_ID,
    "createdAt": EXAMPLE_TIME,
    "expiresAt": None,
    "claimedBy": None,
    "claimedAt": None,
    "revokedAt": None,
}


class CodeBatch(Input):
    EXAMPLE = {"tokens": 100000, "count": 50, "expiresInDays": 90, "note": "Конференция в мае"}

    tokens = Whole(least=1, most=MAX_TOKENS, required=True, metadata={"description": "What each code is worth."})
    unit = Choice(
        tuple(Unit), load_default=Unit.TOKENS.value, metadata={"description": "Of what: tokens, or extra credits."}
    )
    count = Whole(least=1, most=MAX_CODES, load_default=1)
    expires_in_days = Whole(
        least=1, most=MAX_DAYS, load_default=None, metadata={"description": "Never expire by default."}
    )
    note = Text(load_default="", max_length=REASON_MAX_CHARACTERS)


class CodeSearch(Cursor):
    batch_id = Id(load_default=None, metadata={"description": "Codes that were made together."})


class Code(Output):
    EXAMPLE = _EXAMPLE_CODE

    id = fields.String(required=True, data_key="codeId")
    batch_id = fields.String(required=True)
    hint = fields.String(required=True, metadata={"description": "How the code ends."})
    tokens = fields.Integer(required=True, metadata={"description": "What it is worth, in its unit."})
    unit = fields.String(required=True, metadata={"enum": list(Unit)})
    note = fields.String(required=True)
    created_by = fields.String(required=True)
    created_at = Moment(required=True)
    expires_at = Moment(required=True, allow_none=True)
    claimed_by = fields.String(required=True, allow_none=True)
    claimed_at = Moment(required=True, allow_none=True)
    revoked_at = Moment(required=True, allow_none=True)


class IssuedCode(Code):
    EXAMPLE = {**_EXAMPLE_CODE, "code": "7F3K-9QXN-2M4P-VT8W"}

    secret = fields.String(required=True, data_key="code", metadata={"description": "The code. Shown this once."})


class IssuedCodes(Output):
    EXAMPLE = {"codes": [IssuedCode.EXAMPLE]}

    codes = fields.List(Record(IssuedCode), required=True)


class Codes(Output):
    EXAMPLE = {"codes": [Code.EXAMPLE], "nextCursor": EXAMPLE_CURSOR}

    codes = fields.List(Record(Code), required=True)
    next_cursor = NextCursor()


@blueprint.route("", methods=["POST"])
@authenticated("admin")
@blueprint.arguments(CodeBatch)
@blueprint.response(201, IssuedCodes, description="The new codes, shown only now")
def issue(given: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Make redeem codes

    At most 1000 at once. They are stored as hashes, so they can't be shown again.
    """
    days = given["expires_in_days"]
    life = None if days is None else timedelta(days=days)
    wanted = NewCodes(given["tokens"], given["count"], given["note"], life, Unit(given["unit"]))
    issued = services().paying.redeem.issue(actor, wanted)
    return {"codes": [{**asdict(each.code), "secret": each.secret} for each in issued]}


@blueprint.route("", methods=["GET"])
@authenticated("support")
@blueprint.arguments(CodeSearch, location="query")
@blueprint.response(200, Codes, description="A page of codes, used and revoked ones too, newest first")
def list_codes(query: dict[str, Any], *, actor: Actor) -> dict[str, Any]:
    """List redeem codes"""
    page = services().paying.redeem.page(actor, CodeQuery(query["batch_id"], query["cursor"], query["limit"]))
    return {"codes": page.items, "next_cursor": page.next_cursor}


@blueprint.route("/<code_id>", methods=["DELETE"])
@authenticated("admin")
@fails_with(404, 409)
@blueprint.response(200, Code, description="Nobody can redeem it any more")
def revoke(*, actor: Actor, code_id: str) -> RedeemCode:
    """Revoke a redeem code

    409 if somebody has redeemed it already.
    """
    return services().paying.redeem.revoke(actor, code_id)
