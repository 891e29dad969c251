"""Credits: two wallets of an account with ledgers of their own, both made when they are first needed.

`<account>:credits` has what is left of the plan's month. The first transaction that needs it after the month's end
lets the rest expire and grants the next month's; months in which nobody asked are not made up for. `<account>:extra`
has what was paid for, which doesn't end and is spent after the other. Everything here is part of a transaction of
`money`, but for what only reads.
"""

from datetime import datetime, timedelta

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession

from service.adapters.mongo.connection import Row, collection
from service.adapters.mongo.documents import AccountDocument
from service.adapters.mongo.wallets import Wallets, check_not_linked
from service.domain.accounts import Account, Role
from service.domain.billing import (
    SYSTEM_ACTOR_ID,
    EntryKind,
    extra_wallet_id,
    monthly_wallet_id,
)
from service.domain.errors import NoCredits, NotFound
from service.domain.jobs import Job
from service.domain.plans import ANSWER_CREDITS, Credits, Period, Plan, PlanPolicy, period_at
from service.usecases.ports import Clock, Movement

# The database keeps times to the millisecond; a plan's change is after what was before it by any clock.
_TICK = timedelta(milliseconds=1)


class CreditWallets:
    def __init__(self, wallets: Wallets, policy: PlanPolicy, clock: Clock) -> None:
        self._wallets = wallets
        self._policy = policy
        self._clock = clock
        self._accounts = collection(AccountDocument)

    def hold(self, session: ClientSession, account_id: str) -> Row:
        """Hold what an answer costs, of the month's credits or else of the extra ones; the wallet as it is then.

        Of a plan without a limit nothing is held. Raises NoCredits, NotFound, AccountLinked.
        """
        now = self._clock.now()
        held = self._hold_monthly(session, account_id, now)
        if held is not None:
            return held
        monthly = self.current(session, account_id, now)
        held = self._hold_monthly(session, account_id, now) or self._hold_extra(session, account_id)
        if held is not None:
            return held
        extra = self._found(session, extra_wallet_id(account_id))
        raise NoCredits(
            required=ANSWER_CREDITS,
            available=monthly["available"] + extra["available"],
            held=monthly["held"] + extra["held"],
        )

    def current(self, session: ClientSession, account_id: str, now: datetime | None = None) -> Row:
        """The account's monthly wallet in its current month, after whatever that takes.

        Raises NotFound if there never was such an account, AccountLinked.
        """
        now = now or self._clock.now()
        row = self._wallets.get(monthly_wallet_id(account_id), session) or self._open(session, account_id, now)
        check_not_linked(row)
        if row["period_ends_at"] <= now:
            period = period_at(row["anchor_at"], now, self._policy.zone)
            row = self._begin(session, row, row["plan"], row["anchor_at"], period)
        return row

    def expire_late(self, session: ClientSession, job: Job, paid: Row, release: int) -> None:
        """What comes back to the wallet is of the month in which it was held: if that has ended, it has too."""
        late = _late(job, paid, release)
        if late:
            movement = Movement(f"{job.id}:expired", paid["_id"], EntryKind.EXPIRE, SYSTEM_ACTOR_ID)
            self._wallets.move(session, movement, -late)

    def set_plan(self, session: ClientSession, account_id: str, plan: str) -> None:
        """A new plan has its own month, from now on, and its own credits. Raises NotFound, AccountLinked."""
        row = self.current(session, account_id)
        anchor = max(self._clock.now(), row["period_starts_at"] + _TICK)
        self._begin(session, row, plan, anchor, period_at(anchor, anchor, self._policy.zone))

    def left(self, session: ClientSession, job: Job, paid: Row, release: int) -> int | None:
        """What the account of a job has when the job has paid; None if there is no limit."""
        of_plan = paid["_id"] == monthly_wallet_id(job.account_id)
        other_id = extra_wallet_id(job.account_id) if of_plan else monthly_wallet_id(job.account_id)
        other = self._found(session, other_id)
        in_time = {**paid, "available": paid["available"] - _late(job, paid, release)}
        return self._credits(*((in_time, other) if of_plan else (other, in_time))).remaining

    def of_account(self, account: Account, session: ClientSession | None = None) -> Credits:
        """What the account has now, also if no transaction has had to write it down yet."""
        ids = [monthly_wallet_id(account.id), extra_wallet_id(account.id)]
        found = {row["_id"]: row for row in self._wallets.credits.find({"_id": {"$in": ids}}, session=session)}
        if ids[0] in found:
            return self._credits(found[ids[0]], found[ids[1]])
        is_end_user = account.role is Role.END_USER
        allowance = self._policy.allowance(account.plan, is_end_user=is_end_user)
        period = period_at(account.created_at, self._clock.now(), self._policy.zone)
        return Credits(account.plan, allowance is None, allowance or 0, 0, 0, period.ends_at)

    def merge(self, session: ClientSession, source_id: str, target_id: str, cause: str, actor_id: str) -> None:
        """Part of a link: the extra credits become the target's; the month's stay, and nobody can ask for them."""
        amount = self._found(session, extra_wallet_id(source_id))["available"]
        if amount:
            self.current(session, target_id)
            for account_id, delta in ((source_id, -amount), (target_id, amount)):
                wallet_id = extra_wallet_id(account_id)
                movement = Movement(f"{cause}:{wallet_id}", wallet_id, EntryKind.LINK, actor_id, reason=cause)
                self._wallets.move(session, movement, delta)
        self.mark(session, source_id, {"$set": {"linked_to": target_id}})

    def part(self, session: ClientSession, source_id: str) -> None:
        """Part of the end of a link."""
        self.mark(session, source_id, {"$unset": {"linked_to": ""}})

    def held(self, session: ClientSession, account_id: str) -> int:
        """How much is held in both wallets."""
        ids = [monthly_wallet_id(account_id), extra_wallet_id(account_id)]
        rows = self._wallets.credits.find({"_id": {"$in": ids}}, {"held": 1}, session=session)
        return sum(int(row["held"]) for row in rows)

    def _credits(self, monthly: Row, extra: Row) -> Credits:
        now, ends_at = self._clock.now(), monthly["period_ends_at"]
        allowance, available = self._allowance(monthly, monthly["plan"]), monthly["available"]
        if ends_at <= now:
            available, ends_at = allowance or 0, period_at(monthly["anchor_at"], now, self._policy.zone).ends_at
        held = monthly["held"] + extra["held"]
        return Credits(monthly["plan"], allowance is None, available, extra["available"], held, ends_at)

    def _allowance(self, monthly: Row, plan: str) -> int | None:
        return self._policy.allowance(plan, is_end_user=monthly["end_user"])

    def _hold_monthly(self, session: ClientSession, account_id: str, now: datetime) -> Row | None:
        """Nothing is written unless the month is the current one and has a credit left, or needs none."""
        enough = {"$or": [{"unlimited": True}, {"available": {"$gte": ANSWER_CREDITS}}]}
        hold = {"$cond": ["$unlimited", 0, ANSWER_CREDITS]}
        changes = {
            "available": {"$subtract": ["$available", hold]},
            "held": {"$add": ["$held", hold]},
            "seq": {"$add": ["$seq", 1]},
        }
        row: Row | None = self._wallets.credits.find_one_and_update(
            {"_id": monthly_wallet_id(account_id), "period_ends_at": {"$gt": now}, "linked_to": None, **enough},
            [{"$set": changes}],
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return row

    def _hold_extra(self, session: ClientSession, account_id: str) -> Row | None:
        row: Row | None = self._wallets.credits.find_one_and_update(
            {"_id": extra_wallet_id(account_id), "available": {"$gte": ANSWER_CREDITS}},
            {"$inc": {"available": -ANSWER_CREDITS, "held": ANSWER_CREDITS, "seq": 1}},
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        return row

    def _found(self, session: ClientSession, wallet_id: str) -> Row:
        row = self._wallets.get(wallet_id, session)
        if row is None:
            raise NotFound("wallet")
        return row

    def mark(self, session: ClientSession, account_id: str, update: Row) -> None:
        """Change both wallets, if there are any, but not what is in them."""
        ids = [monthly_wallet_id(account_id), extra_wallet_id(account_id)]
        self._wallets.credits.update_many({"_id": {"$in": ids}}, update, session=session)

    def _open(self, session: ClientSession, account_id: str, now: datetime) -> Row:
        """Make both wallets. The account's own is marked first: so rivals meet, also one that links it meanwhile."""
        marked = self._wallets.tokens.find_one_and_update(
            {"_id": account_id}, {"$set": {"credits": True}}, session=session
        )
        account = self._accounts.find_one({"_id": account_id}, {"plan": 1, "role": 1, "created_at": 1}, session=session)
        if marked is None:
            raise NotFound("account")
        check_not_linked(marked)
        # What somebody paid for who has left meanwhile must be in the books, to be given back.
        account = account or {"role": None, "plan": Plan.FREE.value, "created_at": now}
        empty = {"account_id": account_id, "available": 0, "held": 0, "seq": 0}
        if marked.get("closed"):
            empty["closed"] = True
        monthly = {
            "_id": monthly_wallet_id(account_id),
            **empty,
            "end_user": account["role"] == Role.END_USER.value,
        }
        self._wallets.credits.insert_many([monthly, {"_id": extra_wallet_id(account_id), **empty}], session=session)
        anchor = account["created_at"]
        return self._begin(session, monthly, account["plan"], anchor, period_at(anchor, now, self._policy.zone))

    def _begin(self, session: ClientSession, row: Row, plan: str, anchor: datetime, period: Period) -> Row:
        """End the month that the wallet is in, and begin this one of this plan."""
        wallet_id, left = row["_id"], row["available"]
        if left:
            name = f"{wallet_id}:expire:{_stamp(row['period_starts_at'])}"
            self._wallets.move(session, Movement(name, wallet_id, EntryKind.EXPIRE, SYSTEM_ACTOR_ID), -left)
        allowance = 0 if row.get("closed") else self._allowance(row, plan)
        month = {
            "plan": plan,
            "unlimited": allowance is None,
            "anchor_at": anchor,
            "period_starts_at": period.starts_at,
            "period_ends_at": period.ends_at,
        }
        begun: Row | None = self._wallets.credits.find_one_and_update(
            {"_id": wallet_id}, {"$set": month}, return_document=ReturnDocument.AFTER, session=session
        )
        if allowance:
            name = f"{wallet_id}:grant:{_stamp(period.starts_at)}"
            begun = self._wallets.move(
                session, Movement(name, wallet_id, EntryKind.GRANT, SYSTEM_ACTOR_ID, reason=plan), allowance
            )
        if begun is None:
            raise NotFound("wallet")
        return begun


def _late(job: Job, paid: Row, release: int) -> int:
    """How much of what is given back to a wallet is of a month that has ended."""
    return release if paid.get("period_starts_at") != job.period_starts_at else 0


def _stamp(moment: datetime) -> str:
    """A month's name in ids of ledger entries."""
    return moment.isoformat(timespec="milliseconds")
