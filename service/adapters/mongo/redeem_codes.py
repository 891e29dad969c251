"""Redeem codes: found by the hash of what they say, claimed by a conditional update together with the credit."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo import cursors
from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.documents import RedeemCodeDocument
from service.adapters.mongo.idempotency import claim_key, refuse_replay
from service.adapters.mongo.money import MongoMoney
from service.domain.billing import EntryKind, Unit, Wallet, wallet_id_of
from service.domain.payments import RedeemCode
from service.usecases.ports import CodeQuery, IdempotencyKey, Movement, Page

_FIELDS = frozenset(field.name for field in fields(RedeemCode)) - {"id"}
_NEWEST_FIRST = [("created_at", -1), ("_id", -1)]


class MongoRedeemCodes:
    def __init__(self, transactions: Transactions, money: MongoMoney) -> None:
        self._transactions = transactions
        self._money = money
        self._codes = collection(RedeemCodeDocument)

    def add(self, codes: Sequence[tuple[RedeemCode, str]]) -> None:
        """See `ports.RedeemCodes.add`."""
        rows = [{**_row(code), "code_hash": code_hash} for code, code_hash in codes]
        self._transactions.run(lambda session: self._codes.insert_many(rows, session=session))

    def by_hash(self, code_hash: str) -> RedeemCode | None:
        return _maybe(self._codes.find_one({"code_hash": code_hash}))

    def get(self, code_id: str) -> RedeemCode | None:
        return _maybe(self._codes.find_one({"_id": code_id}))

    def page(self, query: CodeQuery) -> Page[RedeemCode]:
        """See `ports.RedeemCodes.page`."""
        criteria: Row = {} if query.batch_id is None else {"batch_id": query.batch_id}
        if query.cursor is not None:
            created_at, row_id = cursors.decode(query.cursor, *cursors.TIME_AND_ID)
            criteria.update(cursors.older_than(created_at, row_id))
        rows = list(self._codes.find(criteria).sort(_NEWEST_FIRST).limit(query.limit + 1))
        found = [_to_code(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return Page(found, cursors.encode(found[-1].created_at, found[-1].id) if more else None)

    def claim(self, code: RedeemCode, account_id: str, idempotency: IdempotencyKey | None) -> Wallet | None:
        """See `ports.RedeemCodes.claim`. The code comes first: rivals for it seldom share a wallet."""
        wallet_id = wallet_id_of(account_id, code.unit)
        movement = Movement(code.entry, wallet_id, EntryKind.CODE, account_id, f"code …{code.hint}")

        def transaction(session: ClientSession) -> Wallet | None:
            claimed = {"claimed_by": account_id, "claimed_at": datetime.now(UTC)}
            found = self._codes.update_one(_free(code.id), {"$set": claimed}, session=session)
            if not found.matched_count:
                session.abort_transaction()
                return None
            if idempotency is not None:
                claim_key(session, idempotency, movement.entry_id)
            return self._money.move(session, movement, code.tokens)

        try:
            wallet = self._transactions.run(transaction, account_id=account_id)
        except DuplicateKeyError:
            wallet = None
        if wallet is None:
            refuse_replay(idempotency)
        return wallet

    def revoke(self, code_id: str, now: datetime) -> RedeemCode | None:
        """See `ports.RedeemCodes.revoke`."""
        return _maybe(
            self._codes.find_one_and_update(
                _free(code_id), {"$set": {"revoked_at": now}}, return_document=ReturnDocument.AFTER
            )
        )


def _free(code_id: str) -> Row:
    return {"_id": code_id, "claimed_by": None, "revoked_at": None}


def _row(code: RedeemCode) -> Row:
    row = asdict(code)
    row["_id"] = row.pop("id")
    row["unit"] = code.unit.value
    return row


def _maybe(row: Row | None) -> RedeemCode | None:
    return None if row is None else _to_code(row)


def _to_code(row: Row) -> RedeemCode:
    values = {name: value for name, value in row.items() if name in _FIELDS}
    return RedeemCode(id=row["_id"], **{**values, "unit": Unit(row["unit"])})
