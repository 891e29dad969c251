"""The checker is worth its name: it finds every defect that is put into a sound database."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from pymongo.database import Database

from devstack.upstream_control import UpstreamControl
from service.bootstrap import Container
from service.domain.billing import LOSS_ACCOUNT_ID
from service.usecases.redeem import NewCodes
from tests.core.checker import check_money
from tests.core.paying import start, sweep
from tests.core.support import ROOT, NewActor, ask, submit

Row = dict
DEFECTS: dict[str, Callable[[Database, Row, Row], object]] = {
    "a balance that drifted": lambda db, done, _: db.wallets.update_one(
        {"_id": done["account_id"]}, {"$inc": {"available": 1}}
    ),
    "a leaked hold": lambda db, done, _: db.wallets.update_one({"_id": done["account_id"]}, {"$inc": {"held": 1}}),
    "a lost entry": lambda db, done, _: db.ledger.delete_one({"_id": f"{done['_id']}:final"}),
    "a lost deposit": lambda db, done, _: db.ledger.delete_one({"account_id": done["account_id"], "kind": "set"}),
    "an entry of a random id": lambda db, done, _: _move(db, done, "ledger", "random"),
    "a changed amount": lambda db, done, _: db.ledger.update_one(
        {"_id": f"{done['_id']}:final"}, {"$inc": {"available_delta": 1, "amount": 1}}
    ),
    "an entry without an actor": lambda db, done, _: db.ledger.update_one(
        {"_id": f"{done['_id']}:final"}, {"$set": {"actor_id": ""}}
    ),
    "an entry of no wallet": lambda db, done, _: db.ledger.update_one(
        {"_id": f"{done['_id']}:final"}, {"$set": {"account_id": "nobody"}}
    ),
    "a second settlement": lambda db, done, _: db.ledger.insert_one(
        {**db.ledger.find_one({"_id": f"{done['_id']}:final"}), "_id": f"{done['_id']}:final:2", "seq": 99}
    ),
    "a wrong charge": lambda db, done, _: db.jobs.update_one({"_id": done["_id"]}, {"$inc": {"charged": 1}}),
    "a usage that doesn't explain the charge": lambda db, done, _: db.jobs.update_one(
        {"_id": done["_id"]}, {"$inc": {"usage.completion_tokens": 5}}
    ),
    "a final job that is open again": lambda db, done, _: db.jobs.update_one(
        {"_id": done["_id"]}, {"$set": {"status": "queued"}}
    ),
    "an open job that is final without a settlement": lambda db, _, waiting: db.jobs.update_one(
        {"_id": waiting["_id"]}, {"$set": {"status": "failed", "finished_at": datetime.now(UTC)}}
    ),
    "a job of no known state": lambda db, _, waiting: db.jobs.update_one(
        {"_id": waiting["_id"]}, {"$set": {"status": "lost"}}
    ),
    "a running job without a lease": lambda db, _, waiting: db.jobs.update_one(
        {"_id": waiting["_id"]}, {"$set": {"status": "running"}}
    ),
    "a lost job": lambda db, _, waiting: db.jobs.delete_one({"_id": waiting["_id"]}),
    "a lost message": lambda db, done, _: db.messages.delete_one({"_id": f"{done['_id']}:assistant"}),
    "another answer than the job's": lambda db, done, _: db.messages.update_one(
        {"_id": f"{done['_id']}:assistant"}, {"$set": {"content": "other"}}
    ),
    "a message of an open job": lambda db, done, waiting: db.messages.update_one(
        {"_id": f"{done['_id']}:user"}, {"$set": {"job_id": waiting["_id"]}}
    ),
    "a miscounted dialog": lambda db, done, _: db.sessions.update_one(
        {"_id": done["session_id"]}, {"$inc": {"message_count": 2}}
    ),
    "a miscounted chat": lambda db, done, _: db.chats.update_one({"_id": done["chat_id"]}, {"$inc": {"length": 1}}),
    "a message out of place": lambda db, done, _: db.messages.update_one(
        {"_id": f"{done['_id']}:user"}, {"$set": {"parent_id": None}}
    ),
    "a message off its branch": lambda db, done, _: db.messages.update_one(
        {"_id": f"{done['_id']}:user"}, {"$set": {"branch": "other"}}
    ),
    "a chat that waits for a final job": lambda db, done, _: db.chats.update_one(
        {"_id": done["chat_id"]}, {"$set": {"open_job_id": done["_id"]}}
    ),
    "a system message in a context": lambda db, done, _: db.chats.update_one(
        {"_id": done["chat_id"]}, {"$set": {"context.0.role": "system"}}
    ),
    "a job that the sums don't know": lambda db, done, _: db.usage.update_one({}, {"$inc": {"jobs": -1}}),
    "sums of no job": lambda db, done, _: db.usage.insert_one(
        {"_id": "x", "account_id": "x", "day": "2026-01-01", "model": "m", "jobs": 1}
    ),
    "a loss that nobody booked": lambda db, _, __: _forget_losses(db),
}
CREDIT_DEFECTS: dict[str, Callable[[Database, Row, Row], object]] = {
    "a balance that drifted": lambda db, done, _: _in_credits(db, done["wallet_id"], {"$inc": {"available": 1}}),
    "a leaked hold": lambda db, done, _: _in_credits(db, done["wallet_id"], {"$inc": {"held": 1}}),
    "a job of another wallet": lambda db, _, waiting: db.jobs.update_one(
        {"_id": waiting["_id"]}, {"$set": {"wallet_id": f"{waiting['account_id']}:extra"}}
    ),
    "a job that is paid in tokens": lambda db, done, _: db.jobs.update_one(
        {"_id": done["_id"]}, {"$set": {"meter": "tokens"}}
    ),
    "a job that was free": lambda db, done, _: db.jobs.update_one({"_id": done["_id"]}, {"$set": {"meter": "free"}}),
    "a wrong charge": lambda db, done, _: db.jobs.update_one({"_id": done["_id"]}, {"$set": {"charged": 0}}),
    "an answer that cost nothing": lambda db, done, _: _uncharged(db, done),
    "a lost entry": lambda db, done, _: db.ledger.delete_one({"_id": f"{done['_id']}:final"}),
    "a second settlement": lambda db, done, _: db.ledger.insert_one(
        {**db.ledger.find_one({"_id": f"{done['_id']}:final"}), "_id": f"{done['_id']}:final:2", "seq": 99}
    ),
    "a lost wallet": lambda db, done, _: db.credits.delete_one({"_id": f"{done['account_id']}:extra"}),
    "a wallet of nobody": lambda db, done, _: db.credits.update_one(
        {"_id": done["wallet_id"]}, {"$set": {"account_id": "nobody"}}
    ),
    "an account that doesn't know of its credits": lambda db, done, _: db.wallets.update_one(
        {"_id": done["account_id"]}, {"$unset": {"credits": ""}}
    ),
    "a month that was granted twice": lambda db, done, _: _grant(db, done["wallet_id"], 5, done["account_id"]),
    "a month that never ended": lambda db, done, _: _grant(db, done["wallet_id"], 5, ""),
    "a grant of another amount": lambda db, done, _: db.ledger.update_one(
        {"account_id": done["wallet_id"], "kind": "grant"}, {"$set": {"reason": "BASIC"}}
    ),
    "a plan without a limit by mistake": lambda db, done, _: _in_credits(
        db, done["wallet_id"], {"$set": {"unlimited": True}}
    ),
    "a month that ends before it begins": lambda db, done, _: _in_credits(
        db, done["wallet_id"], {"$set": {"period_ends_at": datetime(2000, 1, 1, tzinfo=UTC)}}
    ),
    "tokens that nobody counted": lambda db, done, _: db.wallets.update_one(
        {"_id": done["account_id"]}, {"$inc": {"total_tokens": -1}}
    ),
    "credits among the sums of tokens": lambda db, done, _: db.usage.update_one({}, {"$inc": {"charged": 1}}),
}
PAYING_DEFECTS: dict[str, Callable[[Database, str], object]] = {
    "a payment that was not credited": lambda db, payment: db.payments.update_one(
        {"_id": payment}, {"$set": {"status": "pending"}}
    ),
    "a credit of no payment": lambda db, payment: db.payments.delete_one({"_id": payment}),
    "a credit of another amount": lambda db, payment: db.payments.update_one({"_id": payment}, {"$inc": {"tokens": 1}}),
    "a credit to somebody else": lambda db, payment: db.payments.update_one(
        {"_id": payment}, {"$set": {"account_id": "nobody"}}
    ),
    "a credit in another unit": lambda db, payment: db.payments.update_one(
        {"_id": payment}, {"$set": {"unit": "credits"}}
    ),
    "a refund that took nothing": lambda db, payment: db.payments.update_one(
        {"_id": payment}, {"$set": {"status": "refunded"}}
    ),
    "a closed payment that is looked at": lambda db, payment: db.payments.update_one(
        {"_id": payment}, {"$set": {"next_check_at": datetime.now(UTC)}}
    ),
    "a code that was not credited": lambda db, _: db.redeem_codes.update_one(
        {"claimed_by": None}, {"$set": {"claimed_by": "nobody"}}
    ),
    "a code of another unit": lambda db, _: db.redeem_codes.update_many({}, {"$set": {"unit": "credits"}}),
    "a credit of a code that nobody claimed": lambda db, _: db.redeem_codes.update_many(
        {}, {"$set": {"claimed_by": None}}
    ),
}


def _move(db: Database, job: Row, collection: str, new_id: str) -> None:
    entry = db[collection].find_one_and_delete({"_id": f"{job['_id']}:final"})
    db[collection].insert_one({**entry, "_id": new_id})


def _in_credits(db: Database, wallet_id: str, update: Row) -> None:
    assert db.credits.update_one({"_id": wallet_id}, update).modified_count == 1


def _uncharged(db: Database, job: Row) -> None:
    """All agrees that the answer cost nothing."""
    final = {"amount": 0, "available_delta": 1}
    db.ledger.update_one({"_id": f"{job['_id']}:final"}, {"$set": final, "$inc": {"balance_after": 1}})
    db.ledger.update_many({"account_id": job["wallet_id"], "seq": {"$gt": 3}}, {"$inc": {"balance_after": 1}})
    _in_credits(db, job["wallet_id"], {"$inc": {"available": 1}})
    db.jobs.update_one({"_id": job["_id"]}, {"$set": {"charged": 0}})


def _grant(db: Database, wallet_id: str, amount: int, month: str) -> None:
    """Another grant that the balance agrees with: of a month that is granted already, or of one before it ended."""
    wallet = db.credits.find_one({"_id": wallet_id})
    first = db.ledger.find_one({"account_id": wallet_id, "kind": "grant"})
    begun = wallet["period_starts_at"].isoformat(timespec="milliseconds")
    begun = begun if month else wallet["anchor_at"].replace(year=2100).isoformat(timespec="milliseconds")
    after = {"seq": wallet["seq"] + 1, "balance_after": wallet["available"] + amount, "held_after": wallet["held"]}
    db.ledger.insert_one({**first, "_id": f"{wallet_id}:again:grant:{begun}", **after})
    _in_credits(db, wallet_id, {"$inc": {"available": amount, "seq": 1}})


def _forget_losses(db: Database) -> None:
    db.wallets.delete_one({"_id": LOSS_ACCOUNT_ID})
    db.ledger.delete_many({"account_id": LOSS_ACCOUNT_ID})


@pytest.mark.parametrize("defect", list(DEFECTS))
def test_a_defect_is_found(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, defect: str
) -> None:
    upstream.rule(contains="dear", usage={"prompt_tokens": 10, "completion_tokens": 1_000_000})
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    actor = new_actor()
    ask(container, actor, "a dear one")
    done = ask(container, actor, "a cheap one")
    waiting = submit(container, actor)
    check_money(db)

    DEFECTS[defect](db, db.jobs.find_one({"_id": done.id}), db.jobs.find_one({"_id": waiting.id}))

    with pytest.raises(AssertionError):
        check_money(db)


@pytest.mark.parametrize("defect", list(CREDIT_DEFECTS))
def test_a_defect_of_credits_is_found(
    container: Container, db: Database, new_actor: NewActor, upstream: UpstreamControl, defect: str
) -> None:
    upstream.rule(answer="pong", usage={"prompt_tokens": 20, "completion_tokens": 18})
    actor = new_actor()
    done = ask(container, actor, assistant="coach")
    waiting = submit(container, actor, assistant="coach")
    check_money(db)

    CREDIT_DEFECTS[defect](db, db.jobs.find_one({"_id": done.id}), db.jobs.find_one({"_id": waiting.id}))

    with pytest.raises(AssertionError):
        check_money(db)


@pytest.mark.parametrize("defect", list(PAYING_DEFECTS))
def test_a_defect_of_payments_is_found(container: Container, db: Database, new_actor: NewActor, defect: str) -> None:
    actor = new_actor()
    payment, page = start(container, actor), container.paying.test_payments
    assert page is not None
    page.decide(payment.provider_id or "", pay=True)
    sweep(container, db)
    used, _ = container.paying.redeem.issue(ROOT, NewCodes(5, 2, "", None))
    container.paying.redeem.redeem(actor, used.secret, None)
    check_money(db)

    PAYING_DEFECTS[defect](db, payment.id)

    with pytest.raises(AssertionError):
        check_money(db)
