"""Prices, holds and charges, in whole tokens. Pure arithmetic: integers only, rounded up once."""

from dataclasses import dataclass
from enum import StrEnum

from service.domain.chat import Usage

# The smallest answer that is worth starting: an account that can't pay for it gets a 402.
OUTPUT_FLOOR_TOKENS = 64
# Weights are thousandths, so that 1000 means one token of balance for one token of use.
WEIGHT_UNIT = 1000
LOSS_ACCOUNT_ID = "operator:loss"
SYSTEM_ACTOR_ID = "system"


class EntryKind(StrEnum):
    """Why a ledger entry exists."""

    SIGNUP = "signup"
    GUEST = "guest"
    HOLD = "hold"
    FINAL = "final"
    TOPUP = "topup"
    REFUND = "refund"
    CODE = "code"
    ADJUST = "adjust"
    SET = "set"
    LOSS = "loss"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class PriceWeights:
    """How many thousandths of a balance token one used token costs. `version` is kept on each job."""

    version: int = 1
    input_milli: int = WEIGHT_UNIT
    cached_milli: int = WEIGHT_UNIT
    output_milli: int = WEIGHT_UNIT


@dataclass(frozen=True, slots=True)
class Wallet:
    """`available` can be spent; `held` is reserved for jobs that are not final yet. Both in tokens, never negative."""

    account_id: str
    available: int
    held: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What a job costs its account, and what it cost beyond the hold, which the operator bears."""

    tokens: int
    loss_tokens: int = 0


def price(usage: Usage, weights: PriceWeights) -> int:
    """The price of this usage in tokens, rounded up."""
    milli = (
        (usage.prompt_tokens - usage.cached_tokens) * weights.input_milli
        + usage.cached_tokens * weights.cached_milli
        + usage.completion_tokens * weights.output_milli
    )
    return _round_up(milli)


def hold_tokens(prompt: int, output: int, weights: PriceWeights) -> int:
    """What to reserve so that no usage within these limits can cost more."""
    dearest_input = max(weights.input_milli, weights.cached_milli)
    return _round_up(prompt * dearest_input + output * weights.output_milli)


def affordable_output(hold: int, prompt: int, weights: PriceWeights) -> int:
    """How many output tokens a hold pays for once the prompt is paid."""
    if weights.output_milli == 0:
        return 2**31
    dearest_input = max(weights.input_milli, weights.cached_milli)
    return max(0, (hold * WEIGHT_UNIT - prompt * dearest_input) // weights.output_milli)


def charge(usage: Usage, weights: PriceWeights, hold: int) -> Charge:
    """The charge for an answer: its price, capped by the hold."""
    full = price(usage, weights)
    return Charge(tokens=min(full, hold), loss_tokens=max(0, full - hold))


def _round_up(milli: int) -> int:
    return -(-milli // WEIGHT_UNIT)
