"""Redeem codes: each is worth its tokens once, to the first who enters it, and can't be guessed."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.billing import Unit, Wallet
from service.domain.errors import (
    CodeUsed,
    Forbidden,
    IdempotencyMismatch,
    InvalidCode,
    NotFound,
    RegistrationRequired,
    TooManyAttempts,
)
from service.usecases.ports import CodeQuery, IdempotencyKey
from service.usecases.redeem import FAILURES_PER_ACCOUNT, FAILURES_PER_ADDRESS, IssuedCode, NewCodes
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, at_once, key, kinds, wallet

TOKENS = 5_000
WRONG = "0000-0000-0000-0000"


def issue(container: Container, count: int = 1, life: timedelta | None = None) -> list[IssuedCode]:
    return container.paying.redeem.issue(ROOT, NewCodes(TOKENS, count, "fair", life))


def redeem(container: Container, actor: Actor, code: str, named: IdempotencyKey | None = None) -> Wallet:
    return container.paying.redeem.redeem(actor, code, named)


def test_a_code_credits_once(container: Container, db: Database, new_actor: NewActor) -> None:
    actor, other = new_actor(100), new_actor(0)
    (issued,) = issue(container)

    assert redeem(container, actor, issued.secret).available == 100 + TOKENS

    for who in (actor, other):
        with pytest.raises(CodeUsed):
            redeem(container, who, issued.secret)
    entry = db.ledger.find_one({"_id": f"code:{issued.code.id}"})
    assert (entry["kind"], entry["amount"], entry["account_id"]) == ("code", TOKENS, actor.account_id)
    assert wallet(container, other) == (0, 0)
    check_money(db)


def test_a_code_of_credits_is_claimed_once(processes: list[Container], db: Database, new_actor: NewActor) -> None:
    people = [new_actor(0), new_actor(0)]
    (issued,) = processes[0].paying.redeem.issue(ROOT, NewCodes(7, 1, "fair", None, Unit.CREDITS))
    calls = [partial(redeem, processes[n % len(processes)], people[n % 2], issued.secret) for n in range(8)]
    results = at_once(calls)
    assert kinds(results)["Wallet"] == 1
    assert sorted(processes[0].billing.credits(who, None).extra for who in people) == [0, 7]
    check_money(db)


def test_twenty_at_once_credit_one(processes: list[Container], db: Database, new_actor: NewActor) -> None:
    """From two accounts, so that no queue of one account puts them in order."""
    people = [new_actor(0), new_actor(0)]
    (issued,) = issue(processes[0])
    calls = [partial(redeem, processes[n % len(processes)], people[n % 2], issued.secret) for n in range(20)]
    results = at_once(calls)
    assert kinds(results)["Wallet"] == 1
    assert set(kinds(results)) <= {"Wallet", "CodeUsed", "TooManyAttempts"}
    assert sum(wallet(processes[0], who)[0] for who in people) == TOKENS
    check_money(db)


def test_a_known_idempotency_key_credits_once_and_is_answered_again(
    processes: list[Container], db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(0)
    first, second = issue(processes[0], 2)
    calls = [partial(redeem, process, actor, first.secret, key(actor)) for process in processes]
    assert {result.available for result in at_once(calls)} == {TOKENS}
    with pytest.raises(IdempotencyMismatch):
        redeem(processes[0], actor, second.secret, key(actor, fingerprint="another body"))
    assert redeem(processes[0], actor, second.secret, key(actor, "another key")).available == 2 * TOKENS
    check_money(db)


@pytest.mark.parametrize("dash", ["", " ", " - ", "-"])
def test_a_code_may_be_typed_as_people_type(container: Container, db: Database, new_actor: NewActor, dash: str) -> None:
    (issued,) = issue(container)
    assert redeem(container, new_actor(0), f" {issued.secret.lower()} ".replace("-", dash)).available == TOKENS


def test_what_a_code_says_is_not_stored(container: Container, db: Database) -> None:
    (issued,) = issue(container)
    stored = str(list(db.redeem_codes.find()) + list(db.audit.find()))
    assert issued.secret not in stored
    assert issued.secret.replace("-", "") not in stored
    assert issued.code.hint == issued.secret[-4:]


@pytest.mark.parametrize("harm", ["expired", "revoked", "unknown"])
def test_a_code_that_is_not_valid_is_refused_alike(
    container: Container, db: Database, new_actor: NewActor, harm: str
) -> None:
    actor = new_actor(0)
    (issued,) = issue(container, life=timedelta(days=1))
    if harm == "expired":
        db.redeem_codes.update_one({}, {"$set": {"expires_at": datetime.now(UTC) - timedelta(seconds=1)}})
    elif harm == "revoked":
        container.paying.redeem.revoke(ROOT, issued.code.id)
    else:
        db.redeem_codes.delete_many({})
    with pytest.raises(InvalidCode):
        redeem(container, actor, issued.secret)
    assert wallet(container, actor) == (0, 0)
    check_money(db)


def test_guessing_is_throttled_per_account(container: Container, db: Database, new_actor: NewActor) -> None:
    actor, other = new_actor(0), new_actor(0)
    (issued,) = issue(container)
    for _ in range(FAILURES_PER_ACCOUNT):
        with pytest.raises(InvalidCode):
            redeem(container, actor, WRONG)
    with pytest.raises(TooManyAttempts) as refused:
        redeem(container, actor, issued.secret)
    assert refused.value.retry_after_seconds > 0
    assert wallet(container, actor) == (0, 0)
    assert redeem(container, other, issued.secret).available == TOKENS


def test_guessing_is_throttled_per_address(container: Container, db: Database, new_actor: NewActor) -> None:
    per_account = FAILURES_PER_ACCOUNT // 2
    for _ in range(FAILURES_PER_ADDRESS // per_account):
        actor = new_actor(0)
        for _ in range(per_account):
            with pytest.raises(InvalidCode):
                redeem(container, actor, WRONG)
    with pytest.raises(TooManyAttempts):
        redeem(container, new_actor(0), WRONG)


def test_a_used_code_is_not_revoked(container: Container, db: Database, new_actor: NewActor) -> None:
    (issued,) = issue(container)
    redeem(container, new_actor(0), issued.secret)
    with pytest.raises(CodeUsed):
        container.paying.redeem.revoke(ROOT, issued.code.id)
    with pytest.raises(NotFound):
        container.paying.redeem.revoke(ROOT, "nothing")
    check_money(db)


def test_revoking_twice_changes_nothing(container: Container, db: Database) -> None:
    (issued,) = issue(container)
    first = container.paying.redeem.revoke(ROOT, issued.code.id)
    assert container.paying.redeem.revoke(ROOT, issued.code.id).revoked_at == first.revoked_at


def test_who_may(container: Container, db: Database, new_actor: NewActor) -> None:
    user, support, guest = new_actor(0), new_actor(0, Role.SUPPORT), new_actor(0, Role.GUEST)
    codes = container.paying.redeem
    (issued,) = issue(container)
    for who in (user, support):
        with pytest.raises(Forbidden):
            codes.issue(who, NewCodes(1, 1, "", None))
        with pytest.raises(Forbidden):
            codes.revoke(who, issued.code.id)
    with pytest.raises(Forbidden):
        codes.page(user, CodeQuery())
    with pytest.raises(RegistrationRequired):
        codes.redeem(guest, issued.secret, None)


def test_a_batch_is_listed_in_pages_and_audited(container: Container, db: Database) -> None:
    batch, other = issue(container, 5), issue(container, 1)
    codes = container.paying.redeem
    first = codes.page(ROOT, CodeQuery(batch[0].code.batch_id, None, 3))
    second = codes.page(ROOT, CodeQuery(batch[0].code.batch_id, first.next_cursor, 3))
    assert {code.id for code in first.items + second.items} == {each.code.id for each in batch}
    assert len(codes.page(ROOT, CodeQuery()).items) == 6
    assert len({each.secret for each in batch + other}) == 6
    line = db.audit.find_one({"action": "codes.issue", "subject_id": batch[0].code.batch_id})
    assert (line["outcome"], line["details"]["count"], line["details"]["tokens"]) == ("done", 5, TOKENS)
