"""Accounts with their login sessions. Login sessions are a bounded list inside the account, so that recognising a
token, with its revocations, is one read."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime, timedelta

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.errors import DuplicateKeyError

from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.documents import AccountDocument, ErasureDocument, WalletDocument
from service.adapters.mongo.money import MongoMoney
from service.adapters.mongo.wallets import to_wallet
from service.domain.accounts import Account, Role, fold_name
from service.domain.billing import LOSS_ACCOUNT_ID, EntryKind
from service.domain.errors import Unauthorized, Unavailable, UsernameTaken
from service.usecases.ports import Credentials, NewLogin, UserQuery, UserRow

# The oldest login session is forgotten when an account has more: a program that logs in for every call stays bounded.
MAX_LOGINS = 100
TOUCH_INTERVAL = timedelta(minutes=1)
COUNT_LIMIT = 10_000
ERASED_RETRY_SECONDS = 30
# So many accounts can be sorted by their balance in memory; in longer lists a filter hardly leaves anybody out.
FEW_MATCHES = 1_000
SORT_FIELDS = frozenset({"created_at", "username", "last_seen_at"})
_ACCOUNT_FIELDS = frozenset(field.name for field in fields(Account)) - {"id"}
# Never the password's hash or the logins.
PUBLIC_FIELDS = dict.fromkeys(_ACCOUNT_FIELDS, 1)


class MongoAccounts:
    def __init__(self, transactions: Transactions, money: MongoMoney, few_matches: int = FEW_MATCHES) -> None:
        self._transactions = transactions
        self._money = money
        self._few = few_matches
        self._accounts = collection(AccountDocument)
        self._wallets = collection(WalletDocument)
        self._erasures = collection(ErasureDocument)

    def create(self, account: Account, login_keys: Sequence[str], password_hash: str | None, grant_tokens: int) -> None:
        """See `ports.Accounts.create`."""
        row = {**_account_row(account), "password_hash": password_hash, "logins": []}
        if login_keys:
            row["login_keys"] = list(login_keys)
        kind = EntryKind.GUEST if account.role is Role.GUEST else EntryKind.SIGNUP

        def transaction(session: ClientSession) -> None:
            self._accounts.insert_one(row, session=session)
            self._money.open_wallet(session, account.id, kind, grant_tokens)

        self._named(transaction)

    def adopt_guest(self, account: Account, login_keys: Sequence[str], password_hash: str, grant_tokens: int) -> bool:
        """See `ports.Accounts.adopt_guest`. The guest's login sessions go on, with the new role."""
        adopted = False

        def transaction(session: ClientSession) -> None:
            nonlocal adopted
            changes = {
                **_account_row(account),
                "login_keys": list(login_keys),
                "password_hash": password_hash,
            }
            for kept in ("_id", "created_at", "expires_at", "token_version", "blocked", "last_seen_at"):
                del changes[kept]
            result = self._accounts.update_one(
                {"_id": account.id, "role": Role.GUEST.value},
                {"$set": changes, "$unset": {"expires_at": ""}},
                session=session,
            )
            adopted = result.matched_count == 1
            if adopted:
                self._money.grant(session, account.id, EntryKind.SIGNUP, grant_tokens)

        self._named(transaction)
        return adopted

    def get(self, account_id: str) -> Account | None:
        return _maybe(self._accounts.find_one({"_id": account_id}, PUBLIC_FIELDS))

    def ensure_end_user(self, account: Account) -> Account:
        """See `ports.Accounts.ensure_end_user`. One read, and one transaction on first use."""

        def transaction(session: ClientSession) -> None:
            self._accounts.insert_one({**_account_row(account), "logins": []}, session=session)
            self._money.open_wallet(session, account.id, EntryKind.SIGNUP, 0)

        existing = self.get(account.id)
        if existing is not None:
            return existing
        try:
            self._transactions.run(transaction)
        except DuplicateKeyError:
            # A twin's first request may have come first: then its account is as good.
            return self.get(account.id) or self._begin_anew(account)
        return account

    def _begin_anew(self, end_user: Account) -> Account:
        """One who was deleted is back, and finds the old wallet. Not while what they said is still being erased: their
        ids are the same. Raises Unavailable."""
        if self._erasures.find_one({"account_id": end_user.id}, {"_id": 1}) is not None:
            raise Unavailable("the end user is being erased", retry_after_seconds=ERASED_RETRY_SECONDS)

        def transaction(session: ClientSession) -> None:
            self._accounts.insert_one({**_account_row(end_user), "logins": []}, session=session)
            self._money.reopen(session, end_user.id)

        with suppress(DuplicateKeyError):
            self._transactions.run(transaction, account_id=end_user.id)
        return end_user

    def credentials(self, login_key: str) -> Credentials | None:
        row = self._accounts.find_one({"login_keys": login_key}, {**PUBLIC_FIELDS, "password_hash": 1})
        account = _maybe(row)
        if row is None or account is None:
            return None
        return Credentials(account, row["password_hash"])

    def with_login(self, account_id: str, login_id: str) -> Account | None:
        """See `ports.Accounts.with_login`."""
        return _maybe(self._accounts.find_one({"_id": account_id, "logins.id": login_id}, PUBLIC_FIELDS))

    def password_hash(self, account_id: str) -> str | None:
        row = self._accounts.find_one({"_id": account_id}, {"password_hash": 1})
        return None if row is None else row["password_hash"]

    def set_password(self, account_id: str, password_hash: str, login: NewLogin) -> int:
        """See `ports.Accounts.set_password`."""
        row = self._accounts.find_one_and_update(
            {"_id": account_id},
            {
                "$set": {"password_hash": password_hash, "logins": [asdict(login)]},
                "$inc": {"token_version": 1},
            },
            projection={"token_version": 1},
            return_document=ReturnDocument.AFTER,
        )
        if row is None:
            raise Unauthorized("the account has just been deleted")
        return int(row["token_version"])

    def set_locale(self, account_id: str, locale: str) -> Account:
        """See `ports.Accounts.set_locale`."""
        row = self._accounts.find_one_and_update(
            {"_id": account_id},
            {"$set": {"locale": locale}},
            projection=PUBLIC_FIELDS,
            return_document=ReturnDocument.AFTER,
        )
        account = _maybe(row)
        if account is None:
            raise Unauthorized("the account has just been deleted")
        return account

    def add_login(self, account_id: str, login: NewLogin) -> None:
        """See `ports.Accounts.add_login`."""
        push = {"logins": {"$each": [asdict(login)], "$slice": -MAX_LOGINS}}
        self._accounts.update_one({"_id": account_id}, {"$push": push})

    def rotate_login(self, account_id: str, login_id: str, old_refresh_id: str, new: NewLogin) -> bool:
        """See `ports.Accounts.rotate_login`."""
        valid = {"id": login_id, "refresh_id": old_refresh_id}
        result = self._accounts.update_one(
            {"_id": account_id, "logins": {"$elemMatch": valid}}, {"$set": {"logins.$": asdict(new)}}
        )
        return result.matched_count == 1

    def end_login(self, account_id: str, login_id: str) -> None:
        """See `ports.Accounts.end_login`."""
        self._accounts.update_one({"_id": account_id}, {"$pull": {"logins": {"id": login_id}}})

    def end_all_logins(self, account_id: str) -> None:
        """See `ports.Accounts.end_all_logins`."""
        self._accounts.update_one({"_id": account_id}, {"$set": {"logins": []}, "$inc": {"token_version": 1}})

    def set_blocked(self, account_id: str, blocked: bool) -> Account | None:
        return self._set({"_id": account_id}, {"blocked": blocked})

    def set_role(self, account_id: str, role: Role) -> Account | None:
        """See `ports.Accounts.set_role`."""
        nameless = [Role.GUEST.value, Role.END_USER.value]
        return self._set({"_id": account_id, "role": {"$nin": nameless}}, {"role": role.value})

    def set_plan(self, account_id: str, plan: str) -> Account | None:
        """See `ports.Accounts.set_plan`. The wallet comes first; the account says then from which plan it went."""

        def transaction(session: ClientSession) -> None:
            found = self._accounts.find_one({"_id": account_id}, {"plan": 1}, session=session)
            if found is not None and found["plan"] != plan:
                self._money.set_plan(session, account_id, plan)
                self._accounts.update_one({"_id": account_id}, {"$set": {"plan": plan}}, session=session)

        self._transactions.run(transaction, account_id=account_id)
        return self.get(account_id)

    def touch(self, account: Account) -> None:
        """See `ports.Accounts.touch`."""
        now = datetime.now(UTC)
        if account.last_seen_at is None or now - account.last_seen_at > TOUCH_INTERVAL:
            self._accounts.update_one({"_id": account.id}, {"$set": {"last_seen_at": now}})

    def search(self, query: UserQuery) -> tuple[list[UserRow], int]:
        """See `ports.Accounts.search`. The total is exact up to 10 000 matches of a filter."""
        criteria = _criteria(query)
        skip = (query.page - 1) * query.limit
        rows = (
            self._page_by_balance(criteria, query, skip)
            if _field(query) == "balance"
            else list(self._accounts.find(criteria, PUBLIC_FIELDS).sort(_order(query)).skip(skip).limit(query.limit))
        )
        wallets = {
            row["_id"]: to_wallet(row) for row in self._wallets.find({"_id": {"$in": [row["_id"] for row in rows]}})
        }
        users = [UserRow(to_account(row), wallets[row["_id"]]) for row in rows]
        if criteria:
            return users, self._accounts.count_documents(criteria, limit=COUNT_LIMIT)
        return users, self._accounts.estimated_document_count()

    def count_active(self, since: datetime) -> int:
        """See `ports.Accounts.count_active`."""
        return self._accounts.count_documents({"last_seen_at": {"$gte": since}})

    def _page_by_balance(self, criteria: Row, query: UserQuery, skip: int) -> list[Row]:
        """Few matches are sorted by their wallets; of many, the wallets are walked in the order of their balance."""
        direction = -1 if query.sort.startswith("-") else 1
        few = self._accounts.count_documents(criteria, limit=self._few + 1) <= self._few if criteria else False
        ids = [row["_id"] for row in self._accounts.find(criteria, {"_id": 1})] if few else []
        lookup = {"from": "accounts", "localField": "_id", "foreignField": "_id", "as": "account"}
        cut: list[Row] = [{"$skip": skip}, {"$limit": query.limit}]
        account: list[Row] = [{"$lookup": lookup}, {"$unwind": "$account"}, {"$replaceRoot": {"newRoot": "$account"}}]
        pipeline: list[Row] = [
            {"$match": {"_id": {"$in": ids} if few else {"$ne": LOSS_ACCOUNT_ID}, "closed": None}},
            {"$sort": {"available": direction, **({"_id": direction} if few else {})}},
            *([*account, {"$match": criteria}, *cut] if criteria and not few else [*cut, *account]),
            {"$project": PUBLIC_FIELDS},
        ]
        return list(self._wallets.aggregate(pipeline))

    def _set(self, criteria: Row, changes: Row) -> Account | None:
        return _maybe(
            self._accounts.find_one_and_update(
                criteria,
                {"$set": changes},
                projection=PUBLIC_FIELDS,
                return_document=ReturnDocument.AFTER,
            )
        )

    def _named(self, transaction: Callable[[ClientSession], None]) -> None:
        try:
            self._transactions.run(transaction)
        except DuplicateKeyError as error:
            raise UsernameTaken() from error


def _field(query: UserQuery) -> str:
    return query.sort.removeprefix("-")


def _order(query: UserQuery) -> list[tuple[str, int]]:
    direction = -1 if query.sort.startswith("-") else 1
    return [(_field(query), direction), ("_id", direction)]


def _criteria(query: UserQuery) -> Row:
    criteria: Row = {}
    if query.text:
        beginning = fold_name(query.text)
        # One and the same name: without $elemMatch a name before and another one after would match together.
        criteria["login_keys"] = {"$elemMatch": {"$gte": beginning, "$lt": beginning + "\U0010ffff"}}
    if query.role is not None:
        criteria["role"] = query.role.value
    if query.blocked is not None:
        criteria["blocked"] = query.blocked
    if query.plan is not None:
        criteria["plan"] = query.plan
    return criteria


def _account_row(account: Account) -> Row:
    row = asdict(account)
    row["_id"] = row.pop("id")
    row["role"] = account.role.value
    return row


def _maybe(row: Row | None) -> Account | None:
    return None if row is None else to_account(row)


def to_account(row: Row) -> Account:
    values = {name: value for name, value in row.items() if name in _ACCOUNT_FIELDS}
    values["role"] = Role(row["role"])
    return Account(id=row["_id"], **values)
