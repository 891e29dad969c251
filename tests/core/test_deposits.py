"""Deposits and corrections: each is one ledger entry, and a repeated one changes nothing."""

from functools import partial

import pytest
from pymongo.database import Database

from service.bootstrap import Container
from service.domain.accounts import Actor, Role
from service.domain.billing import Wallet
from service.domain.errors import (
    BalanceChanged,
    BalanceTooLow,
    Forbidden,
    IdempotencyMismatch,
    NotFound,
    TopUpUnavailable,
)
from service.usecases.ports import IdempotencyKey
from tests.core.checker import check_money
from tests.core.support import ROOT, NewActor, at_once, key, kinds, spread, submit, wallet


def top_up(process: Container, actor: Actor, named: IdempotencyKey | None) -> Wallet:
    return process.billing.top_up(ROOT, actor.account_id, 250, named)


def withdraw(process: Container, actor: Actor, named: IdempotencyKey | None = None) -> Wallet:
    return process.admin.adjust_balance(ROOT, actor.account_id, -100, "refund", named)


def entries(db: Database, actor: Actor, kind: str) -> list[dict]:
    return list(db.ledger.find({"account_id": actor.account_id, "kind": kind}).sort("seq", 1))


def test_a_top_up_is_an_entry_by_who_made_it(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(100)

    after = container.billing.top_up(ROOT, actor.account_id, 250, None)

    assert (after.available, after.held) == (350, 0)
    (entry,) = entries(db, actor, "topup")
    assert (entry["amount"], entry["actor_id"], entry["balance_after"]) == (250, ROOT.account_id, 350)
    assert entry["job_id"] is None
    check_money(db)


def test_a_top_up_with_a_known_key_adds_nothing(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(100)
    for _ in range(3):
        after = container.billing.top_up(ROOT, actor.account_id, 250, key(ROOT))
        assert after.available == 350
    assert len(entries(db, actor, "topup")) == 1

    with pytest.raises(IdempotencyMismatch):
        container.billing.top_up(ROOT, actor.account_id, 999, key(ROOT, fingerprint="another body"))
    container.billing.top_up(ROOT, actor.account_id, 250, key(ROOT, "another key"))
    assert wallet(container, actor) == (600, 0)
    check_money(db)


def test_parallel_top_ups_with_one_key_add_once(processes: list[Container], db: Database, new_actor: NewActor) -> None:
    actor = new_actor(100)
    results = at_once(spread(top_up, processes, 10, actor, key(ROOT)))
    assert {result.available for result in results} == {350}
    assert len(entries(db, actor, "topup")) == 1
    check_money(db)


def test_parallel_top_ups_with_different_bodies_add_once(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(0)
    one, other = (key(ROOT, fingerprint=body) for body in ("one body", "another"))
    results = at_once(spread(top_up, processes, 5, actor, one) + spread(top_up, processes, 5, actor, other))
    assert kinds(results) == {"Wallet": 5, "IdempotencyMismatch": 5}
    assert wallet(container, actor) == (250, 0)
    check_money(db)


def test_parallel_withdrawals_with_one_key_take_once_what_was_there_once(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(100)
    results = at_once(spread(withdraw, processes, 10, actor, key(ROOT)))
    assert kinds(results) == {"Wallet": 10}
    assert wallet(container, actor) == (0, 0)
    assert len(entries(db, actor, "adjust")) == 1
    check_money(db)


def test_a_withdrawal_takes_no_more_than_there_is(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(3_000)
    hold = submit(container, actor).hold
    available = 3_000 - hold

    with pytest.raises(BalanceTooLow) as refused:
        container.admin.adjust_balance(ROOT, actor.account_id, -available - 1, "", None)

    assert refused.value.extra == {"currentBalance": available, "held": hold}
    assert wallet(container, actor) == (available, hold)
    assert container.admin.adjust_balance(ROOT, actor.account_id, -available, "", None).available == 0
    check_money(db)


def test_parallel_withdrawals_never_go_below_zero(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(700)
    results = at_once(spread(withdraw, processes, 20, actor))
    assert kinds(results) == {"Wallet": 7, "BalanceTooLow": 13}
    assert wallet(container, actor) == (0, 0)
    check_money(db)


def test_a_balance_is_set_as_a_difference(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(3_000)
    hold = submit(container, actor).hold

    after = container.admin.set_balance(ROOT, actor.account_id, 50, "correction", 3_000 - hold)

    assert (after.available, after.held) == (50, hold)
    entry = entries(db, actor, "set")[-1]
    assert (entry["amount"], entry["reason"], entry["held_delta"]) == (50 - 3_000 + hold, "correction", 0)
    check_money(db)


def test_a_balance_that_is_not_as_expected_is_not_set(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(100)
    with pytest.raises(BalanceChanged) as refused:
        container.admin.set_balance(ROOT, actor.account_id, 50, "", 99)
    assert refused.value.extra == {"currentBalance": 100, "held": 0}
    with pytest.raises(BalanceTooLow):
        container.admin.set_balance(ROOT, actor.account_id, -1, "", None)
    assert wallet(container, actor) == (100, 0)
    check_money(db)


def test_a_repeated_setting_changes_nothing_that_came_between(
    container: Container, db: Database, new_actor: NewActor
) -> None:
    actor, once = new_actor(100), key(ROOT)
    assert container.admin.set_balance(ROOT, actor.account_id, 50, "", 100, once).available == 50
    container.admin.adjust_balance(ROOT, actor.account_id, 7, "", None)
    assert container.admin.set_balance(ROOT, actor.account_id, 50, "", 100, once).available == 57
    assert [entry["amount"] for entry in entries(db, actor, "set")] == [-99_900, -50]
    check_money(db)


def set_to(processes: list[Container], actor: Actor, amounts: range, expected: int | None) -> list[Wallet]:
    """Set the balance to each of these amounts at once."""
    return at_once(
        [
            partial(processes[n % len(processes)].admin.set_balance, ROOT, actor.account_id, n, "", expected)
            for n in amounts
        ]
    )


def test_one_of_parallel_settings_with_the_same_expectation_wins(
    processes: list[Container], db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(100)
    amounts = range(200, 212)
    results = set_to(processes, actor, amounts, expected=100)
    assert kinds(results) == {"Wallet": 1, "BalanceChanged": len(amounts) - 1}
    check_money(db)


def test_parallel_settings_without_expectation_all_happen_in_some_order(
    container: Container, processes: list[Container], db: Database, new_actor: NewActor
) -> None:
    actor = new_actor(100)
    amounts = range(200, 212)
    results = set_to(processes, actor, amounts, expected=None)
    assert [result.available for result in results] == list(amounts)
    assert wallet(container, actor)[0] in amounts
    check_money(db)


def test_nobody_has_no_wallet(container: Container, db: Database) -> None:
    with pytest.raises(NotFound):
        container.billing.top_up(ROOT, "nobody", 1, key(ROOT))
    with pytest.raises(NotFound):
        container.admin.adjust_balance(ROOT, "nobody", 1, "", None)
    with pytest.raises(NotFound):
        container.admin.set_balance(ROOT, "nobody", 1, "", None)
    assert db.idempotency.count_documents({}) == 0, "a key is only used by what it led to"
    assert db.wallets.count_documents({}) == 0


@pytest.mark.parametrize("role", [Role.GUEST, Role.USER, Role.SUPPORT])
def test_only_an_admin_credits_at_once(container: Container, db: Database, new_actor: NewActor, role: Role) -> None:
    actor, other = new_actor(100, role), new_actor(100)
    with pytest.raises(TopUpUnavailable):
        container.billing.top_up(actor, None, 10, None)
    with pytest.raises(Forbidden):
        container.billing.top_up(actor, other.account_id, 10, None)
    assert wallet(container, actor) == wallet(container, other) == (100, 0)


def test_a_ledger_is_read_in_pages_newest_first(container: Container, db: Database, new_actor: NewActor) -> None:
    actor = new_actor(0)
    for amount in range(1, 8):
        container.billing.top_up(ROOT, actor.account_id, amount, None)

    seen, cursor = [], None
    while True:
        page = container.billing.ledger(actor, None)(cursor, 3)
        seen += page.items
        # What comes in meanwhile is newer than every page that is still to come.
        container.billing.top_up(ROOT, actor.account_id, 100, None)
        cursor = page.next_cursor
        if cursor is None:
            break

    assert [entry.amount for entry in seen if entry.kind == "topup"] == [7, 6, 5, 4, 3, 2, 1]
    assert [entry.seq for entry in seen] == sorted((entry.seq for entry in seen), reverse=True)
    with pytest.raises(Forbidden):
        container.billing.ledger(actor, new_actor().account_id)
