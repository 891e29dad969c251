"""Deleted accounts: what ends at once, and what is removed piece by piece. Wallets, ledger, usage and payments stay."""

from datetime import UTC, datetime

from pymongo.client_session import ClientSession

from service.adapters.mongo.connection import Row, Transactions, collection
from service.adapters.mongo.documents import (
    AccountDocument,
    DeliveryDocument,
    EndpointDocument,
    ErasureDocument,
    KeyDocument,
    LinkCodeDocument,
    ModuleDocument,
    SuccessorDocument,
    TrackDocument,
    TutorConfigDocument,
)
from service.adapters.mongo.erasures import erasure_row, store_erasure, to_erasure
from service.adapters.mongo.money import MongoMoney
from service.domain.accounts import Role
from service.domain.erasures import Erasure, ErasureKind
from service.domain.errors import ValidationFailed

TRACKS_BATCH = 20
_UNLINKED: Row = dict.fromkeys(("linked_account_id", "link_id", "linked_at"))


class MongoAccountErasures:
    def __init__(self, transactions: Transactions, money: MongoMoney) -> None:
        self._transactions = transactions
        self._money = money
        self._accounts = collection(AccountDocument)
        self._keys = collection(KeyDocument)
        self._erasures = collection(ErasureDocument)

    def begin(self, account_id: str, *, expired_guest: bool = False) -> Erasure | None:
        """See `ports.AccountErasures.begin`."""
        now = datetime.now(UTC)
        this: Row = {"_id": account_id}
        if expired_guest:
            this.update({"role": Role.GUEST.value, "$expr": {"$lt": ["$expires_at", "$$NOW"]}})
        row = erasure_row(ErasureKind.ACCOUNT, account_id, account_id, now)

        def transaction(session: ClientSession) -> bool:
            account = self._accounts.find_one_and_delete(this, session=session)
            if account is None:
                return False
            if account["role"] == Role.ADMIN.value:
                self._keep_an_admin(session, account_id)
            self._unlink(session, account)
            self._money.close(session, account_id)
            living = {"account_id": account_id, "revoked_at": None}
            self._keys.update_many(living, {"$set": {"revoked_at": now}}, session=session)
            collection(EndpointDocument).delete_many({"account_id": account_id}, session=session)
            collection(LinkCodeDocument).delete_one({"_id": account_id}, session=session)
            store_erasure(session, row)
            return True

        return to_erasure(row) if self._transactions.run(transaction, account_id=account_id) else None

    def expired_guests(self, limit: int) -> list[str]:
        """See `ports.AccountErasures.expired_guests`."""
        over = {"role": Role.GUEST.value, "$expr": {"$lt": ["$expires_at", "$$NOW"]}}
        return [row["_id"] for row in self._accounts.find(over, {"_id": 1}).sort("expires_at", 1).limit(limit)]

    def end_users(self, account_id: str, limit: int) -> list[str]:
        """See `ports.AccountErasures.end_users`."""
        key_ids = [row["_id"] for row in self._keys.find({"account_id": account_id}, {"_id": 1})]
        rows = self._accounts.find({"key_id": {"$in": key_ids, "$gt": ""}}, {"_id": 1}).limit(limit)
        return [row["_id"] for row in rows]

    def remove_belongings(self, account_id: str, limit: int) -> int:
        """See `ports.AccountErasures.remove_belongings`."""
        # What a request that was under way when the account ended may have added.
        collection(EndpointDocument).delete_many({"account_id": account_id})
        collection(LinkCodeDocument).delete_one({"_id": account_id})
        collection(TutorConfigDocument).delete_one({"_id": account_id})
        rows = collection(TrackDocument).find({"account_id": account_id}, {"_id": 1}).limit(TRACKS_BATCH)
        track_ids = [row["_id"] for row in rows]
        if track_ids:
            collection(ModuleDocument).delete_many({"track_id": {"$in": track_ids}})
            collection(TrackDocument).delete_many({"_id": {"$in": track_ids}})
        rows = collection(DeliveryDocument).find({"account_id": account_id}, {"_id": 1}).limit(limit)
        delivery_ids = [row["_id"] for row in rows]
        if delivery_ids:
            collection(DeliveryDocument).delete_many({"_id": {"$in": delivery_ids}})
        return len(track_ids) + len(delivery_ids)

    def is_alone(self, erasure: Erasure) -> bool:
        """See `ports.AccountErasures.is_alone`. The last step, so that nothing is left that needs the keys."""
        others = {"account_id": erasure.account_id, "_id": {"$ne": erasure.id}}
        if self._erasures.find_one(others, {"_id": 1}) is not None:
            return False
        collection(SuccessorDocument).delete_many({"account_id": erasure.account_id})
        self._keys.delete_many({"account_id": erasure.account_id})
        return True

    def _keep_an_admin(self, session: ClientSession, account_id: str) -> None:
        """The one that stays is written too: of two who go at the same moment, one repeats and is the last."""
        another = {"role": Role.ADMIN.value, "_id": {"$ne": account_id}, "blocked": False}
        if not self._accounts.update_one(another, {"$inc": {"stayed": 1}}, session=session).matched_count:
            raise ValidationFailed(details={"userId": ["last_admin"]})

    def _unlink(self, session: ClientSession, account: Row) -> None:
        """Of both kinds: an end user from its person, and a person from all end users."""
        if account.get("linked_account_id") is not None:
            self._money.part(session, account["_id"])
        linked = {"linked_account_id": account["_id"]}
        for row in self._accounts.find(linked, {"_id": 1}, session=session).to_list():
            self._money.part(session, row["_id"])
        self._accounts.update_many(linked, {"$set": _UNLINKED}, session=session)
