"""The ledger as JSON pages and as one CSV file, for the account itself and for operators."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flask import Response, request, stream_with_context
from marshmallow import fields

from service.api.errors import NotAcceptable
from service.api.fields import Choice, Moment, Output
from service.api.schemas import EXAMPLE_JOB_ID, EXAMPLE_TIME, PAGE_MAX_ITEMS, Cursor, OwnerQuery
from service.domain.billing import EntryKind, Unit, WalletName
from service.usecases import ports

CSV = "text/csv"
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

LedgerPage = ports.Page[ports.LedgerEntry]

EXAMPLE_ENTRY = {
    "id": f"{EXAMPLE_JOB_ID}:final",
    "seq": 7,
    "kind": "final",
    "amount": -38,
    "heldChange": -600,
    "balanceAfter": 99962,
    "heldAfter": 0,
    "jobId": EXAMPLE_JOB_ID,
    "reason": "",
    "createdAt": EXAMPLE_TIME,
    "wallet": "tokens",
}


class LedgerPageQuery(Cursor):
    """A page of a ledger."""

    unit = Choice(
        tuple(Unit),
        load_default=Unit.TOKENS.value,
        metadata={"description": "Of tokens, or of the month's and the extra credits as one list."},
    )


class LedgerQuery(LedgerPageQuery, OwnerQuery):
    """A page of the ledger of an account."""


class LedgerEntry(Output):
    """`amount` is the change of balance and holds together, so that the amounts of a wallet add up to what it has."""

    id = fields.String(required=True)
    seq = fields.Integer(required=True, metadata={"description": "Counts the entries of the wallet."})
    kind = fields.String(required=True, metadata={"enum": list(EntryKind)})
    amount = fields.Integer(required=True)
    held_delta = fields.Integer(required=True, data_key="heldChange")
    balance_after = fields.Integer(required=True)
    held_after = fields.Integer(required=True)
    job_id = fields.String(required=True, allow_none=True)
    reason = fields.String(required=True)
    created_at = Moment(required=True)
    wallet = fields.String(
        required=True,
        metadata={
            "enum": list(WalletName),
            "description": "`monthly` and `extra` are of credits, each with its balance.",
        },
    )


_ENTRY = LedgerEntry()
_COLUMNS = (
    "seq",
    "id",
    "createdAt",
    "kind",
    "amount",
    "heldChange",
    "balanceAfter",
    "heldAfter",
    "jobId",
    "reason",
    "wallet",
)
CSV_EXAMPLE = f"{','.join(_COLUMNS)}\r\n"


def ledger_body(page: LedgerPage) -> dict[str, Any]:
    return {"entries": page.items, "next_cursor": page.next_cursor}


def wants_csv() -> bool:
    """Whether the client prefers CSV to JSON. Raises NotAcceptable if it wants neither."""
    if not request.accept_mimetypes:
        return False
    best = request.accept_mimetypes.best_match(("application/json", CSV))
    if best is None:
        raise NotAcceptable()
    return best == CSV


def as_csv(page: ports.LedgerReader) -> Response:
    """All entries, newest first; `page` gives those after a cursor. A failure half-way cuts the file off visibly."""
    # The first page is read before anything is sent, so that a refusal is still an error and not an empty file.
    lines = _lines(page(None, PAGE_MAX_ITEMS), page)
    response = Response(stream_with_context(lines), content_type=f"{CSV}; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="ledger.csv"'
    return response


def _lines(first: LedgerPage, page: ports.LedgerReader) -> Iterator[str]:
    """One piece of text per page."""
    yield _text([_COLUMNS])
    current = first
    while True:
        yield _text([_row(entry) for entry in current.items])
        if current.next_cursor is None:
            return
        current = page(current.next_cursor, PAGE_MAX_ITEMS)


def _row(entry: ports.LedgerEntry) -> list[Any]:
    dumped = _ENTRY.dump(entry)
    return [_cell(dumped[column]) for column in _COLUMNS]


def _cell(value: Any) -> Any:
    """Numbers as they are; text that a spreadsheet would compute is made plain by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value


def _text(rows: Iterable[Sequence[Any]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
