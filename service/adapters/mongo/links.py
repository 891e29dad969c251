"""Links between end users and accounts, and the codes that make them. A link is part of the end user's account.

Making and ending one moves money and state, so each is one transaction, wallet first.
"""

from datetime import UTC, datetime

from pymongo.client_session import ClientSession

from service.adapters.mongo.accounts import PUBLIC_FIELDS, to_account
from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.dialogs import chat_row, session_row
from service.adapters.mongo.documents import AccountDocument, ChatDocument, LinkCodeDocument, SessionDocument
from service.adapters.mongo.money import MongoMoney
from service.domain.accounts import Account
from service.domain.chat import ChatMessage
from service.domain.dialogs import default_session_id, new_dialog
from service.domain.errors import JobRunning, LinkCodeInvalid, NotFound
from service.domain.links import LinkCode

CHANNEL = "link"


class MongoLinks:
    def __init__(self, transactions: Transactions, money: MongoMoney) -> None:
        self._transactions = transactions
        self._money = money
        self._accounts = collection(AccountDocument)
        self._codes = collection(LinkCodeDocument)
        self._sessions = collection(SessionDocument)
        self._chats = collection(ChatDocument)

    def put_code(self, code: LinkCode) -> None:
        """See `ports.Links.put_code`."""
        row = {"code_hash": code.code_hash, "expires_at": code.expires_at, "used_by": None}
        self._codes.update_one({"_id": code.account_id}, {"$set": row}, upsert=True)

    def code(self, code_hash: str) -> LinkCode | None:
        row = self._codes.find_one({"code_hash": code_hash})
        return None if row is None else LinkCode(row["_id"], row["code_hash"], row["expires_at"], row["used_by"])

    def link(self, end_user_id: str, code: LinkCode, link_id: str, actor_id: str) -> int | None:
        """See `ports.Links.link`."""

        def transaction(session: ClientSession) -> int | None:
            before = self._money.merge(session, end_user_id, code.account_id, f"link:{link_id}", actor_id)
            if before.get("linked_to") is not None:
                session.abort_transaction()
                return None
            if before["held"]:
                raise JobRunning("a question is open")
            self._use(session, code, end_user_id)
            now = datetime.now(UTC)
            linked = {"linked_account_id": code.account_id, "link_id": link_id, "linked_at": now}
            if not self._accounts.update_one({"_id": end_user_id}, {"$set": linked}, session=session).matched_count:
                raise NotFound("end user")
            self._continue(session, end_user_id, code.account_id, link_id)
            return int(before["available"])

        return self._transactions.run(transaction, account_id=end_user_id)

    def unlink(self, end_user: Account) -> bool:
        """See `ports.Links.unlink`."""

        def transaction(session: ClientSession) -> bool:
            this_link = {"_id": end_user.id, "link_id": end_user.link_id}
            nothing = dict.fromkeys(("linked_account_id", "link_id", "linked_at"))
            found = self._accounts.update_one(this_link, {"$set": nothing}, session=session).matched_count == 1
            if found:
                self._money.part(session, end_user.id)
            return found

        return self._transactions.run(transaction, account_id=end_user.id)

    def get(self, link_id: str) -> Account | None:
        row = self._accounts.find_one({"link_id": link_id}, PUBLIC_FIELDS)
        return None if row is None else to_account(row)

    def of_account(self, account_id: str) -> list[Account]:
        """See `ports.Links.of_account`."""
        rows = self._accounts.find({"linked_account_id": account_id}, PUBLIC_FIELDS)
        found = [to_account(row) for row in rows]
        return sorted(found, key=lambda account: (account.linked_at or account.created_at, account.id), reverse=True)

    def _use(self, session: ClientSession, code: LinkCode, end_user_id: str) -> None:
        """Once: of two end users with the same code at the same time one gets it."""
        unused = {"_id": code.account_id, "code_hash": code.code_hash, "used_by": None}
        if not self._codes.update_one(unused, {"$set": {"used_by": end_user_id}}, session=session).matched_count:
            raise LinkCodeInvalid("used meanwhile")

    def _continue(self, session: ClientSession, end_user_id: str, account_id: str, link_id: str) -> None:
        """The link's dialog, of the account: it goes on from the context that the end user has."""
        default = {"_id": default_session_id(end_user_id)}
        said: Row = self._chats.find_one(default, {"context": 1}, session=session) or {"context": ()}
        end_user: Row = self._accounts.find_one({"_id": end_user_id}, {"external_id": 1}, session=session) or {}
        dialog = new_dialog(
            link_id,
            account_id,
            CHANNEL,
            datetime.now(UTC),
            context=tuple(ChatMessage(**message) for message in said["context"]),
            end_user_id=end_user_id,
            external_user_id=end_user.get("external_id"),
        )
        self._sessions.insert_one(session_row(dialog.session), session=session)
        self._chats.insert_one(chat_row(dialog.chat), session=session)
