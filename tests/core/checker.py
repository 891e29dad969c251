"""The invariants of money, jobs and dialogs, read from the database alone. Used by every test that could break them.

It knows none of the service's code but the name of the loss account, so that it can't share a mistake with it.
"""

from collections import Counter
from datetime import datetime
from typing import Any

from pymongo.database import Database

from service.adapters.mongo.jobs import to_job
from service.domain.billing import LOSS_ACCOUNT_ID

Row = dict[str, Any]
OPEN = ("queued", "running")
FINAL = ("succeeded", "failed", "cancelled")
MONTHLY = {"FREE": 5, "BASIC": 50}
USAGE_SUMS = ("prompt_tokens", "cached_tokens", "completion_tokens", "total_tokens")


def check_money(db: Database) -> None:
    """Fail unless every wallet is the sum of its ledger, at rest nothing is held, and each job was settled once."""
    accounts = {row["_id"]: row for row in db.wallets.find()}
    wallets = {**accounts, **{row["_id"]: row for row in db.credits.find()}}
    check_ledger(db, wallets)
    open_holds: Counter[str] = Counter()
    used: Counter[str] = Counter()
    losses = 0
    for job in db.jobs.find():
        check_job(db, job)
        losses += loss_of(job)
        used[job["account_id"]] += total_of(job)
        if job["status"] in OPEN:
            open_holds[job["wallet_id"]] += job["hold"]
    for wallet_id, wallet in wallets.items():
        assert wallet["held"] == open_holds[wallet_id], f"a leaked hold of {wallet_id}"
    for account_id, wallet in accounts.items():
        if account_id != LOSS_ACCOUNT_ID:
            assert wallet["total_tokens"] == used[account_id], f"{account_id} used {used[account_id]}: {wallet}"
    assert losses == wallets.get(LOSS_ACCOUNT_ID, {"available": 0})["available"], "losses that nobody booked"
    check_credits(db)
    check_usage(db)
    check_dialogs(db)
    check_payments(db)
    check_codes(db)


def check_ledger(db: Database, wallets: dict[str, Row]) -> None:
    """Fail unless each wallet's entries are numbered without a gap and add up to its balances, never below zero."""
    sums: dict[str, list[int]] = {account_id: [0, 0, 0] for account_id in wallets}
    for entry in db.ledger.find().sort([("account_id", 1), ("seq", 1)]):
        assert entry["account_id"] in sums, f"an entry of no wallet: {entry}"
        total = sums[entry["account_id"]]
        total[0] += entry["available_delta"]
        total[1] += entry["held_delta"]
        total[2] += 1
        assert entry["actor_id"], f"an entry of nobody: {entry}"
        assert entry["amount"] == entry["available_delta"] + entry["held_delta"], entry
        assert entry["seq"] == total[2], f"a gap in the ledger before {entry}"
        assert [entry["balance_after"], entry["held_after"]] == total[:2], f"balances drifted at {entry}"
        assert total[0] >= 0, f"a negative balance at {entry}"
        assert total[1] >= 0, f"a negative hold at {entry}"
    for account_id, wallet in wallets.items():
        assert [wallet["available"], wallet["held"], wallet["seq"]] == sums[account_id], f"not its ledger: {wallet}"


def check_job(db: Database, job: Row) -> None:
    """Fail unless the job's ledger, charge, lease and dialog agree with its state."""
    name, status = job["_id"], job["status"]
    assert status in OPEN + FINAL, f"job {name} is {status}"
    entries = {e["_id"]: e for e in db.ledger.find({"job_id": name, "account_id": {"$ne": LOSS_ACCOUNT_ID}})}
    expected = {f"{name}:hold", f"{name}:final"} if status in FINAL else {f"{name}:hold"}
    assert set(entries) == expected, f"job {name} is {status} with entries {sorted(entries)}"
    assert {e["account_id"] for e in entries.values()} == {job["wallet_id"]}
    assert job["wallet_id"] in wallets_of(job), f"job {name} is paid from {job['wallet_id']}"
    assert job["hold"] in (0, 1) or job["meter"] == "tokens", f"job {name} holds {job['hold']}"
    assert job["hold"] == 0 or job["meter"] != "free", f"job {name} is free and holds {job['hold']}"
    assert entries[f"{name}:hold"]["held_delta"] == job["hold"]
    assert (job.get("finished_at") is not None) == (status in FINAL), f"job {name} is {status}"
    assert (job.get("lease_until") is not None) == (status == "running"), f"the lease of job {name}, {status}"
    if status in FINAL:
        assert entries[f"{name}:final"]["amount"] == -job["charged"]
        assert entries[f"{name}:final"]["held_delta"] == -job["hold"]
    assert 0 <= job["charged"] <= job["hold"]
    if status not in ("succeeded", "cancelled"):
        assert job["charged"] == 0, f"job {name} is {status} and was charged"
    else:
        assert job["charged"] == cost_of(job), f"the charge of job {name}"
    if job.get("erased_at") is not None:
        assert status in FINAL, f"job {name} is {status} and erased"
        texts = [job["prompt"], job["answer"], job.get("shown"), job.get("options"), job["metadata"]]
        assert texts == [[], None, None, None, {}], f"not erased: job {name}"
        assert db.messages.count_documents({"job_id": name}) == 0, f"erased job {name} left messages"
        return
    turn = list(db.messages.find({"job_id": name}).sort("position", 1))
    if status != "succeeded" and not (status == "cancelled" and job["answer"] is not None):
        assert turn == [], f"job {name} is {status} and left messages"
    elif turn or db.chats.count_documents({"_id": job["chat_id"]}):
        said = [(message["role"], message["content"]) for message in turn]
        expected = [("user", job["prompt"][-1]["content"]), ("assistant", to_job(job).said)]
        keeps_question = job["fork"] is not None and job["fork"]["keeps_question"]
        adds_question = not keeps_question and not job.get("unasked")
        assert said == (expected if adds_question else expected[1:]), f"the turn of job {name}"


def wallets_of(job: Row) -> tuple[str, ...]:
    """From which wallets a job of this meter may be paid."""
    account_id = job["account_id"]
    return (f"{account_id}:credits", f"{account_id}:extra") if job["meter"] == "credits" else (account_id,)


def cost_of(job: Row) -> int:
    """What a job with this usage costs; one that has none showed nothing, or lost the count with its worker."""
    if job["meter"] == "tokens":
        return min(price_of(job), int(job["hold"]))
    return int(job["hold"]) if job.get("usage") else 0


def price_of(job: Row) -> int:
    """What the job's usage costs by the weights that it was accepted with, rounded up."""
    usage, weights = job.get("usage"), job["weights"]
    if not usage:
        return 0
    milli = (
        usage["prompt_tokens"] * weights["input_milli"]
        + usage["cached_tokens"] * (weights["cached_milli"] - weights["input_milli"])
        + usage["completion_tokens"] * weights["output_milli"]
    )
    return (milli + 999) // 1000


def loss_of(job: Row) -> int:
    if job["meter"] != "tokens":
        return 0
    return max(0, price_of(job) - job["hold"]) if job["status"] in ("succeeded", "cancelled") else 0


def total_of(job: Row) -> int:
    usage = job.get("usage") or {"prompt_tokens": 0, "completion_tokens": 0}
    return int(usage["prompt_tokens"] + usage["completion_tokens"])


def check_credits(db: Database) -> None:
    """Fail unless each account has both wallets or none, and each month of a plan was granted once and ended once."""
    for wallet in db.credits.find():
        pair = {f"{wallet['account_id']}:credits", f"{wallet['account_id']}:extra"}
        assert wallet["_id"] in pair, f"a wallet of nobody: {wallet}"
        assert db.credits.count_documents({"_id": {"$in": list(pair)}}) == 2, f"alone: {wallet}"
        kinds = db.ledger.distinct("kind", {"account_id": wallet["_id"]})
        if wallet["_id"].endswith(":extra"):
            assert not {"grant", "expire"}.intersection(kinds), f"what was paid for was granted or expired: {wallet}"
            continue
        assert not set(kinds) - {"grant", "expire", "hold", "final"}, f"{kinds} of {wallet}"
        assert wallet["unlimited"] == (wallet["plan"] == "PREMIUM"), wallet
        assert wallet["anchor_at"] <= wallet["period_starts_at"] < wallet["period_ends_at"], wallet
        grants = list(db.ledger.find({"account_id": wallet["_id"], "kind": "grant"}).sort("seq", 1))
        begun = [datetime.fromisoformat(grant["_id"].split(":grant:")[1]) for grant in grants]
        assert begun == sorted(set(begun)), f"a month was granted twice: {begun}"
        assert not begun or begun[-1] <= wallet["period_starts_at"], f"a month was granted in advance: {begun}"
        assert [grant["amount"] for grant in grants] == [MONTHLY[grant["reason"]] for grant in grants], grants
        available = 0
        for entry in db.ledger.find({"account_id": wallet["_id"]}).sort("seq", 1):
            assert entry["kind"] != "grant" or available == 0, f"what was left did not expire before {entry}"
            available = entry["balance_after"]
        assert available <= MONTHLY.get(wallet["plan"], 0), f"more than a month's credits: {wallet}"
    marked = {row["_id"] for row in db.wallets.find({"credits": True})}
    assert marked == set(db.credits.distinct("account_id")), "accounts with wallets of credits"


def check_usage(db: Database) -> None:
    """Fail unless the sums per account, day and model are those of the final jobs."""
    expected: dict[tuple[str, str, str], Counter[str]] = {}
    for job in db.jobs.find({"status": {"$in": FINAL}}):
        day = job["finished_at"].date().isoformat()
        sums = expected.setdefault((job["account_id"], day, job["model"]), Counter())
        sums.update(
            {
                "jobs": 1,
                "failed": int(job["status"] == "failed"),
                "charged": job["charged"] if job["meter"] == "tokens" else 0,
            }
        )
        usage = job.get("usage") or {}
        sums.update({name: usage.get(name, 0) for name in USAGE_SUMS if name != "total_tokens"})
        sums["total_tokens"] += total_of(job)
    stored = {(row["account_id"], row["day"], row["model"]): row for row in db.usage.find()}
    assert set(stored) == set(expected), "days and models of the usage sums"
    for place, sums in expected.items():
        assert {name: stored[place].get(name, 0) for name in sums} == dict(sums), f"usage of {place}"


def check_dialogs(db: Database) -> None:
    """Fail unless sessions and chats count their messages, and each shown branch is a whole line of them."""
    for session in db.sessions.find():
        stored = db.messages.count_documents({"session_id": session["_id"]})
        assert session["message_count"] == stored, f"session {session['_id']} of {stored} messages"
    for chat in db.chats.find():
        check_chat(db, chat)


def check_chat(db: Database, chat: Row) -> None:
    """Fail unless the chat's messages hang together and its open job is open."""
    messages = {message["_id"]: message for message in db.messages.find({"chat_id": chat["_id"]})}
    assert chat["message_count"] == len(messages), f"chat {chat['_id']} of {len(messages)} messages"
    assert all(message["role"] in ("user", "assistant") for message in chat["context"])
    for message in messages.values():
        parent = messages.get(message["parent_id"], {"position": -1})
        assert message["position"] == parent["position"] + 1, f"out of place: {message}"
    line, name = [], chat["leaf_id"]
    while name is not None:
        line.append(messages[name])
        name = messages[name]["parent_id"]
    assert len(line) == chat["length"], f"chat {chat['_id']} shows {len(line)} messages, not {chat['length']}"
    segments = [*chat["path"], {"branch": chat["branch"], "until": chat["length"]}]
    for message in line:
        place = next(segment for segment in segments if segment["until"] > message["position"])
        assert message["branch"] == place["branch"], f"off the path: {message}"
    if chat["open_job_id"] is not None:
        job = db.jobs.find_one({"_id": chat["open_job_id"]})
        assert job is not None, f"chat {chat['_id']} waits for no job"
        assert job["status"] in OPEN, f"chat {chat['_id']} waits for a final job"


def check_payments(db: Database) -> None:
    """Fail unless each payment has exactly the entries that its state says, and no entry is of no payment."""
    entries = {row["_id"]: row for row in db.ledger.find({"_id": {"$regex": "^payment:"}})}
    for payment in db.payments.find():
        expected = expected_amounts(payment)
        own = {name: entry for name, entry in entries.items() if name.split(":")[1] == payment["_id"]}
        amounts = {name: entry["amount"] for name, entry in own.items()}
        earlier = {name for name in amounts if name not in expected}
        # Refunds before the last one have failed: what they took was given back.
        assert all(":refund:" in name for name in earlier), f"entries of payment {payment['_id']}: {amounts}"
        assert sum(amounts[name] for name in earlier) == 0, f"a failed refund of {payment['_id']} kept something"
        assert {name: amounts.get(name) for name in expected} == expected, f"{payment['status']} payment: {amounts}"
        paid_into = payment["account_id"] if payment["unit"] == "tokens" else f"{payment['account_id']}:extra"
        assert {entry["account_id"] for entry in own.values()} <= {paid_into}
        for name in own:
            del entries[name]
        settled = payment["status"] in ("succeeded", "refunded")
        assert not settled or payment.get("next_check_at") is None, f"looked at though it is settled: {payment}"
    assert not entries, f"credits of no payment: {entries}"


def expected_amounts(payment: Row) -> dict[str, int]:
    """The ledger entries of the credit and of the last refund."""
    credit, refund = f"payment:{payment['_id']}", payment.get("refund")
    if payment["status"] in ("pending", "cancelled"):
        return {}
    assert refund is not None or payment["status"] == "succeeded", f"a refund of nothing: {payment}"
    amounts = {credit: payment["tokens"]}
    if refund is not None:
        amounts[f"{credit}:refund:{refund['number']}"] = -refund["tokens"]
        assert refund["tokens"] + refund["shortfall_tokens"] == payment["tokens"], f"a refund of a part: {payment}"
        states = {"refunding": "pending", "refunded": "succeeded", "succeeded": "failed"}
        assert refund["status"] == states[payment["status"]], f"the refund of {payment}"
        if refund["status"] == "failed":
            amounts[f"{credit}:refund:{refund['number']}:undone"] = refund["tokens"]
    return amounts


def check_codes(db: Database) -> None:
    """Fail unless each claimed redeem code was credited once, to who claimed it, and no other one was."""
    claimed = {
        f"code:{code['_id']}": (f"{code['claimed_by']}{':extra' * (code['unit'] == 'credits')}", code["tokens"])
        for code in db.redeem_codes.find({"claimed_by": {"$ne": None}})
    }
    credited = {row["_id"]: (row["account_id"], row["amount"]) for row in db.ledger.find({"_id": {"$regex": "^code:"}})}
    assert credited == claimed, "claimed codes and their credits"
