"""What tokens cost, how often payments are looked at, and how codes are read."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import ValidationFailed
from service.domain.payments import Price, as_decimal, hash_code, new_code, next_check, plain_code

PRICE = Price(units=10_000, kopecks=100, min_rubles=10, max_rubles=50_000)


@pytest.mark.parametrize(
    ("tokens", "kopecks"), [(100_000, 1_000), (100_001, 1_001), (100_100, 1_001), (1_000_000, 10_000)]
)
def test_a_price_is_rounded_up_to_a_kopeck(tokens: int, kopecks: int) -> None:
    assert PRICE.cost(tokens) == kopecks


@pytest.mark.parametrize("tokens", [0, -1, 99_999, 500_000_001])
def test_a_price_beyond_the_limits_is_refused(tokens: int) -> None:
    with pytest.raises(ValidationFailed) as refused:
        PRICE.cost(tokens)
    assert refused.value.details == {"amount": ["range:100000:500000000"]}


@given(st.integers(1, 10**9), st.integers(1, 1_000), st.integers(0, 10**9))
def test_tokens_are_never_given_away(per_ruble: int, rubles: int, extra: int) -> None:
    """What is paid buys at least the tokens, and less than a kopeck too much is asked."""
    price = Price(per_ruble, 100, rubles, rubles + 10**9)
    tokens = price.least + extra
    cost = price.cost(tokens)
    assert cost * per_ruble >= tokens * 100
    assert (cost - 1) * per_ruble < tokens * 100


@given(st.integers(0, 10**12))
def test_an_amount_as_text_is_the_amount(kopecks: int) -> None:
    shown = as_decimal(kopecks)
    assert re.fullmatch(r"\d+\.\d\d", shown)
    assert int(shown.replace(".", "")) == kopecks


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (timedelta(), 30),
        (timedelta(minutes=9), 30),
        (timedelta(minutes=10), 120),
        (timedelta(hours=2), 900),
        (timedelta(days=2), 3_600),
    ],
)
def test_the_older_a_payment_the_later_it_is_looked_at(age: timedelta, pause: int) -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert next_check(now - age, now, timedelta(seconds=30)) == now + timedelta(seconds=pause)


def test_codes_are_readable_and_all_different() -> None:
    codes = {new_code() for _ in range(1_000)}
    assert len(codes) == 1_000
    assert all(re.fullmatch(r"([0-9A-HJKMNP-Z]{4}-){3}[0-9A-HJKMNP-Z]{4}", code) for code in codes)


def test_letters_that_look_like_digits_are_digits() -> None:
    assert plain_code("o0iL-1111-2222-3333") == "0011111122223333"


@pytest.mark.parametrize("typed", ["", "7F3K", "7F3K-9QXN-2M4P-VT8", "7F3K-9QXN-2M4P-VT8W-0", "7F3K-9QXN-2M4P-ЖЖЖЖ"])
def test_what_can_be_no_code_is_none(typed: str) -> None:
    assert plain_code(typed) is None


def test_a_typed_code_has_the_hash_of_the_shown_one() -> None:
    code = new_code()
    shown, typed = plain_code(code), plain_code(code.lower().replace("-", " "))
    assert shown is not None
    assert typed is not None
    assert hash_code(shown) == hash_code(typed)
