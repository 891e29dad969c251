"""Prices, holds and charges: whatever is used within the limits of a hold, the hold pays for it."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.billing import (
    OUTPUT_FLOOR_TOKENS,
    WEIGHT_UNIT,
    Charge,
    PriceWeights,
    affordable_output,
    charge,
    hold_tokens,
    price,
)
from service.domain.chat import Usage

TOKENS = st.integers(0, 2_000_000)
MILLI = st.integers(0, 50_000)
WEIGHTS = st.builds(PriceWeights, version=st.just(1), input_milli=MILLI, cached_milli=MILLI, output_milli=MILLI)
FREE_OF_CHARGE = PriceWeights(version=2, input_milli=0, cached_milli=0, output_milli=0)


@st.composite
def usages(draw: st.DrawFn, prompt: int = 2_000_000, completion: int = 2_000_000) -> Usage:
    """What a provider may count within these limits."""
    used = draw(st.integers(0, prompt))
    return Usage(
        prompt_tokens=used,
        cached_tokens=draw(st.integers(0, used)),
        completion_tokens=draw(st.integers(0, completion)),
    )


@given(data=st.data(), prompt=TOKENS, output=TOKENS, weights=WEIGHTS)
def test_a_hold_pays_for_any_usage_within_its_limits(
    data: st.DataObject, prompt: int, output: int, weights: PriceWeights
) -> None:
    usage = data.draw(usages(prompt, output))
    hold = hold_tokens(prompt, output, weights)
    assert charge(usage, weights, hold) == Charge(amount=price(usage, weights), loss_tokens=0)


@given(usage=usages(), weights=WEIGHTS, hold=TOKENS)
def test_a_charge_never_exceeds_its_hold_and_the_rest_is_loss(usage: Usage, weights: PriceWeights, hold: int) -> None:
    charged = charge(usage, weights, hold)
    assert 0 <= charged.amount <= hold
    assert charged.loss_tokens >= 0
    assert charged.amount + charged.loss_tokens == price(usage, weights)


@given(usage=usages(), weights=WEIGHTS)
def test_a_price_is_rounded_up_once(usage: Usage, weights: PriceWeights) -> None:
    exact = Fraction(
        (usage.prompt_tokens - usage.cached_tokens) * weights.input_milli
        + usage.cached_tokens * weights.cached_milli
        + usage.completion_tokens * weights.output_milli,
        WEIGHT_UNIT,
    )
    assert 0 <= price(usage, weights) - exact < 1


@given(usage=usages())
def test_with_weights_of_one_tokens_used_are_tokens_charged(usage: Usage) -> None:
    assert price(usage, PriceWeights()) == usage.total_tokens


@given(hold=TOKENS, prompt=TOKENS, weights=WEIGHTS.filter(lambda weights: weights.output_milli > 0))
def test_affordable_output_is_the_most_that_the_hold_pays_for(hold: int, prompt: int, weights: PriceWeights) -> None:
    output = affordable_output(hold, prompt, weights)
    assert hold_tokens(prompt, output + 1, weights) > hold
    if hold_tokens(prompt, 0, weights) <= hold:
        assert hold_tokens(prompt, output, weights) <= hold
    else:
        assert output == 0


@given(data=st.data(), prompt=TOKENS, output=st.integers(1, 200_000), weights=WEIGHTS, available=TOKENS)
def test_whoever_can_pay_for_the_floor_gets_at_least_the_floor(
    data: st.DataObject, prompt: int, output: int, weights: PriceWeights, available: int
) -> None:
    """As `reserve` does it: hold what is there up to the full price, and clamp the output to it."""
    floor_output = min(OUTPUT_FLOOR_TOKENS, output)
    full = hold_tokens(prompt, output, weights)
    available = max(available, hold_tokens(prompt, floor_output, weights))
    hold = min(full, available)
    clamped = min(output, affordable_output(hold, prompt, weights))
    assert floor_output <= clamped <= output
    usage = data.draw(usages(prompt, clamped))
    assert charge(usage, weights, hold).loss_tokens == 0
    if available >= full:
        assert clamped == output


@given(usage=usages(), prompt=TOKENS, output=TOKENS)
def test_weights_of_zero_cost_nothing(usage: Usage, prompt: int, output: int) -> None:
    assert price(usage, FREE_OF_CHARGE) == 0
    assert hold_tokens(prompt, output, FREE_OF_CHARGE) == 0
    assert charge(usage, FREE_OF_CHARGE, 0) == Charge(0)


@given(hold=TOKENS, prompt=TOKENS, output=st.integers(0, 200_000), input_milli=MILLI)
def test_free_output_is_not_limited_by_the_hold(hold: int, prompt: int, output: int, input_milli: int) -> None:
    weights = PriceWeights(version=2, input_milli=input_milli, cached_milli=0, output_milli=0)
    assert min(output, affordable_output(hold, prompt, weights)) == output


@pytest.mark.parametrize(("input_milli", "cached_milli"), [(1000, 100), (100, 1000)])
def test_a_hold_expects_the_dearer_of_fresh_and_cached_input(input_milli: int, cached_milli: int) -> None:
    weights = PriceWeights(version=2, input_milli=input_milli, cached_milli=cached_milli, output_milli=4000)
    assert hold_tokens(100, 10, weights) == 100 + 40


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        (Usage(prompt_tokens=1), 1),
        (Usage(prompt_tokens=10, cached_tokens=10), 1),
        (Usage(prompt_tokens=10, cached_tokens=9, completion_tokens=3), 3),
        (Usage(), 0),
    ],
)
def test_prices_by_example(usage: Usage, tokens: int) -> None:
    weights = PriceWeights(version=3, input_milli=250, cached_milli=25, output_milli=750)
    assert price(usage, weights) == tokens
