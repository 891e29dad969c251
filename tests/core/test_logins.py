"""Logging in and out, refreshing, passwords, and how guessing is slowed down."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from pymongo.database import Database

from service.adapters.mongo.accounts import MAX_LOGINS
from service.bootstrap import Container
from service.domain.accounts import Actor
from service.domain.errors import AccountBlocked, BadCredentials, TooManyAttempts, Unauthorized, ValidationFailed
from service.usecases import ports
from service.usecases.accounts import (
    FAILURES_PER_ADDRESS,
    FAILURES_PER_NAME_AND_ADDRESS,
    AccountService,
    LoggedIn,
    Registration,
)
from tests.core.support import ROOT, at_once, kinds
from tests.core.test_accounts import HERE, PASSWORD, actor_of, recognised, register

ELSEWHERE = "198.51.100.7"


def log_in(container: Container, name: str = "anna", password: str = PASSWORD, address: str = HERE) -> LoggedIn:
    return container.accounts.log_in(name, password, address=address)


def refresh(container: Container, logged_in: LoggedIn) -> LoggedIn:
    account, login = logged_in.account, logged_in.login
    return container.accounts.refresh(account.id, login.id, login.refresh_id, account.token_version)


def test_each_login_is_a_session_of_its_own(container: Container, db: Database) -> None:
    first = register(container)
    second = log_in(container)
    assert first.login.id != second.login.id
    assert recognised(container, first)
    assert recognised(container, second)


@pytest.mark.parametrize(("name", "password"), [("anna", "wrong"), ("anna", ""), ("bob", PASSWORD), ("", "")])
def test_a_wrong_name_and_a_wrong_password_are_refused_alike(
    container: Container, db: Database, name: str, password: str
) -> None:
    register(container)
    with pytest.raises(BadCredentials) as refused:
        log_in(container, name, password)
    assert str(refused.value) == str(BadCredentials())
    assert (refused.value.details, refused.value.extra, refused.value.params) == ({}, {}, {})


class CountingPasswords:
    """Says how much work each answer took, instead of doing it."""

    def __init__(self) -> None:
        self.checked: list[str | None] = []

    def hash(self, password: str) -> str:
        return password

    def matches(self, password_hash: str | None, password: str) -> bool:
        self.checked.append(password_hash)
        return password_hash == password


def accounts_with_passwords(container: Container, passwords: ports.Passwords) -> AccountService:
    real = container.accounts
    return AccountService(
        accounts=real._accounts,
        passwords=passwords,
        rate_limits=real._rate_limits,
        clock=real._clock,
        policy=real._policy,
    )


def test_an_unknown_name_costs_a_password_check_too(container: Container, db: Database) -> None:
    passwords = CountingPasswords()
    accounts = accounts_with_passwords(container, passwords)
    accounts.register(Registration(password=PASSWORD, username="anna"), address=HERE)
    for name in ("anna", "nobody"):
        with pytest.raises(BadCredentials):
            accounts.log_in(name, "wrong password", address=HERE)
    assert passwords.checked == [PASSWORD, None]


def test_the_password_check_of_an_unknown_name_is_a_whole_one(container: Container) -> None:
    """Nobody's hash costs what everybody's does, and nobody's password is no way in."""
    passwords = container.accounts._passwords
    assert not passwords.matches(None, "anything")
    nobodys = passwords._hash_of_nobody
    assert nobodys.split("$")[:4] == passwords.hash(PASSWORD).split("$")[:4], "the same parameters"
    assert not passwords.matches(None, "nobody's password")


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$v=19$broken", "$2b$12$bcrypt"])
def test_a_broken_hash_matches_nothing(container: Container, stored: str) -> None:
    assert not container.accounts._passwords.matches(stored, PASSWORD)


def test_a_refresh_exchanges_the_token(container: Container, db: Database) -> None:
    first = register(container)
    second = refresh(container, first)
    third = refresh(container, second)
    assert first.login.id == second.login.id == third.login.id
    assert len({login.login.refresh_id for login in (first, second, third)}) == 3
    assert recognised(container, first), "access tokens of a living session stay good"


@pytest.mark.parametrize("age", [0, 1])
def test_a_refresh_token_used_twice_ends_its_family_and_no_other(container: Container, db: Database, age: int) -> None:
    other = register(container)
    family = [log_in(container)]
    for _ in range(2):
        family.append(refresh(container, family[-1]))

    with pytest.raises(Unauthorized):
        refresh(container, family[age])

    assert not recognised(container, family[-1])
    with pytest.raises(Unauthorized):
        refresh(container, family[-1])
    assert recognised(container, other)
    assert refresh(container, other)


def test_of_parallel_refreshes_one_gets_through_and_the_family_ends(container: Container, db: Database) -> None:
    first = register(container)
    results = at_once([partial(refresh, container, first)] * 8)
    assert kinds(results) == {"LoggedIn": 1, "Unauthorized": 7}
    assert not recognised(container, first)


def test_refresh_tokens_of_somebody_else_or_of_nothing_are_refused(container: Container, db: Database) -> None:
    anna, bob = register(container), register(container, "bob")
    mixed = [
        replace(anna, login=bob.login),
        replace(anna, account=bob.account),
        replace(anna, login=replace(anna.login, id="nothing")),
        replace(anna, account=replace(anna.account, id="nobody")),
        replace(anna, account=replace(anna.account, token_version=1)),
    ]
    for stolen in mixed:
        with pytest.raises(Unauthorized):
            refresh(container, stolen)
    assert recognised(container, anna)
    assert recognised(container, bob)


def test_logging_out_ends_this_session_only(container: Container, db: Database) -> None:
    first, second = register(container), log_in(container)
    container.accounts.log_out(actor_of(first), everywhere=False)
    assert not recognised(container, first)
    with pytest.raises(Unauthorized):
        refresh(container, first)
    assert recognised(container, second)
    container.accounts.log_out(actor_of(first), everywhere=False)


def test_logging_out_everywhere_ends_all_sessions(container: Container, db: Database) -> None:
    first, second = register(container), log_in(container)
    container.accounts.log_out(actor_of(first), everywhere=True)
    for ended in (first, second):
        assert not recognised(container, ended)
        with pytest.raises(Unauthorized):
            refresh(container, ended)
    assert recognised(container, log_in(container))


def test_a_new_password_ends_all_sessions_but_the_one_it_begins(container: Container, db: Database) -> None:
    first, second = register(container), log_in(container)

    third = container.accounts.change_password(actor_of(second), PASSWORD, "battery staple")

    assert [recognised(container, login) for login in (first, second, third)] == [False, False, True]
    assert recognised(container, refresh(container, third))
    with pytest.raises(BadCredentials):
        log_in(container)
    assert log_in(container, password="battery staple").account.token_version == third.account.token_version


def test_a_wrong_or_weak_password_changes_nothing(container: Container, db: Database) -> None:
    first = register(container)
    with pytest.raises(BadCredentials):
        container.accounts.change_password(actor_of(first), "wrong", "battery staple")
    with pytest.raises(ValidationFailed):
        container.accounts.change_password(actor_of(first), PASSWORD, "short")
    assert recognised(container, first)
    assert log_in(container)


def test_a_login_begun_with_the_old_password_is_worth_nothing_after_the_change(
    container: Container, db: Database
) -> None:
    """It was checked before the change and stored after it."""
    first = register(container)
    checked = container.accounts._accounts.credentials("anna").account
    container.accounts.change_password(actor_of(first), PASSWORD, "battery staple")
    late = LoggedIn(checked, ports.NewLogin("late", "late", first.login.expires_at))
    container.accounts._accounts.add_login(checked.id, late.login)
    assert not recognised(container, late)


def test_sessions_of_an_account_are_bounded_and_the_oldest_goes(container: Container, db: Database) -> None:
    first, second = register(container), log_in(container)
    for number in range(MAX_LOGINS - 1):
        login = replace(first.login, id=f"login-{number}")
        container.accounts._accounts.add_login(first.account.id, login)
    assert not recognised(container, first)
    assert recognised(container, second)
    assert len(db.accounts.find_one({"_id": first.account.id})["logins"]) == MAX_LOGINS


def test_a_blocked_account_can_do_nothing_until_it_is_unblocked(container: Container, db: Database) -> None:
    anna = register(container)
    container.admin.set_blocked(ROOT, anna.account.id, True)
    for act in (lambda: recognised(container, anna), lambda: log_in(container), lambda: refresh(container, anna)):
        with pytest.raises(AccountBlocked):
            act()
    with pytest.raises(BadCredentials):
        log_in(container, password="wrong")

    container.admin.set_blocked(ROOT, anna.account.id, False)
    assert recognised(container, anna)
    assert refresh(container, anna)


def fail(container: Container, name: str, address: str, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BadCredentials):
            log_in(container, name, "wrong", address)


def test_guessing_at_a_name_from_an_address_is_stopped_there_and_nowhere_else(
    container: Container, db: Database
) -> None:
    register(container)
    register(container, "bob")
    fail(container, "anna", HERE, FAILURES_PER_NAME_AND_ADDRESS)

    for name in ("anna", "ANNA", " Ａnna"):
        with pytest.raises(TooManyAttempts) as refused:
            log_in(container, name)
        assert 0 < refused.value.retry_after_seconds <= 300

    assert log_in(container, address=ELSEWHERE), "nobody can lock anna out of her own place"
    assert log_in(container, "bob"), "nor others who share the guesser's address"


def test_guessing_at_many_names_from_an_address_is_stopped_there(container: Container, db: Database) -> None:
    register(container)
    for number in range(FAILURES_PER_ADDRESS // 5):
        fail(container, f"nobody-{number}", HERE, 5)
    with pytest.raises(TooManyAttempts):
        log_in(container)
    assert log_in(container, address=ELSEWHERE)


def test_good_logins_are_never_counted(container: Container, db: Database) -> None:
    register(container)
    for _ in range(FAILURES_PER_NAME_AND_ADDRESS + 5):
        log_in(container)


def test_guessing_at_a_password_with_a_stolen_token_is_stopped_too(container: Container, db: Database) -> None:
    actor = actor_of(register(container))

    def change(who: Actor, current: str) -> LoggedIn:
        return container.accounts.change_password(who, current, "battery staple")

    for _ in range(FAILURES_PER_NAME_AND_ADDRESS):
        with pytest.raises(BadCredentials):
            change(actor, "wrong")
    with pytest.raises(TooManyAttempts):
        change(actor, PASSWORD)
    assert change(replace(actor, address=ELSEWHERE), PASSWORD)


def test_of_guesses_sent_at_once_only_the_first_learn_anything(container: Container, db: Database) -> None:
    register(container)
    results = at_once([partial(log_in, container, "anna", "wrong")] * 40)
    assert kinds(results) == {
        "BadCredentials": FAILURES_PER_NAME_AND_ADDRESS,
        "TooManyAttempts": 40 - FAILURES_PER_NAME_AND_ADDRESS,
    }


class SlowPasswords(CountingPasswords):
    """While the right password is checked, wrong ones are too."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    def matches(self, password_hash: str | None, password: str) -> bool:
        right = super().matches(password_hash, password)
        if right:
            self.meanwhile()
        return right


def test_a_right_guess_among_many_learns_nothing(container: Container, db: Database) -> None:
    def guess() -> None:
        for _ in range(FAILURES_PER_NAME_AND_ADDRESS):
            with pytest.raises(BadCredentials):
                accounts.log_in("anna", "wrong", address=HERE)

    accounts = accounts_with_passwords(container, SlowPasswords(guess))
    accounts.register(Registration(password=PASSWORD, username="anna"), address=HERE)
    with pytest.raises(TooManyAttempts):
        accounts.log_in("anna", PASSWORD, address=HERE)
