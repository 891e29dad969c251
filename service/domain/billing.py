"""Prices, holds and charges, in whole tokens or credits. Pure arithmetic: integers only, rounded up once."""

from dataclasses import dataclass
from enum import StrEnum

from service.domain.chat import Usage

# The smallest answer that is worth starting: an account that can't pay for it gets a 402.
OUTPUT_FLOOR_TOKENS = 64
# Weights are thousandths, so that 1000 means one token of balance for one token of use.
WEIGHT_UNIT = 1000
LOSS_ACCOUNT_ID = "operator:loss"
SYSTEM_ACTOR_ID = "system"
# Ends of the ids of wallets; no account id has a colon but the loss account's.
_MONTHLY = ":credits"
_EXTRA = ":extra"


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
    GRANT = "grant"
    EXPIRE = "expire"


class Meter(StrEnum):
    """What an answer costs: the tokens that it used, one credit, or nothing."""

    TOKENS = "tokens"
    CREDITS = "credits"
    FREE = "free"


class WalletName(StrEnum):
    """What the wallets of an account are called: of its tokens, of its plan's credits, of its extra ones."""

    TOKENS = "tokens"
    MONTHLY = "monthly"
    EXTRA = "extra"


class Unit(StrEnum):
    """What a wallet is counted in."""

    TOKENS = "tokens"
    CREDITS = "credits"


@dataclass(frozen=True, slots=True)
class PriceWeights:
    """How many thousandths of a balance token one used token costs. `version` is kept on each job."""

    version: int = 1
    input_milli: int = WEIGHT_UNIT
    cached_milli: int = WEIGHT_UNIT
    output_milli: int = WEIGHT_UNIT


@dataclass(frozen=True, slots=True)
class Wallet:
    """`available` can be spent; `held` is reserved for jobs that are not final yet. Both never negative.

    `account_id` is the wallet's id: the account's own for tokens; those of credits are named after it.
    """

    account_id: str
    available: int
    held: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What a job costs its account, in its meter's unit, and the tokens beyond the hold, which the operator bears."""

    amount: int
    loss_tokens: int = 0


def meter_of(meter: str, *, is_guest: bool) -> Meter:
    """What a question costs by its assistant's meter and by who asks. `free` is free for guests, within limits that
    bound it; for whoever can have a balance it costs tokens."""
    wanted = Meter(meter)
    return Meter.TOKENS if wanted is Meter.FREE and not is_guest else wanted


def monthly_wallet_id(account_id: str) -> str:
    """The wallet of a plan's credits."""
    return f"{account_id}{_MONTHLY}"


def extra_wallet_id(account_id: str) -> str:
    """The wallet of credits that were paid for."""
    return f"{account_id}{_EXTRA}"


def wallet_id_of(account_id: str, unit: Unit) -> str:
    """Where what somebody buys goes."""
    return account_id if unit is Unit.TOKENS else extra_wallet_id(account_id)


def wallet_name(wallet_id: str) -> WalletName:
    if wallet_id.endswith(_MONTHLY):
        return WalletName.MONTHLY
    return WalletName.EXTRA if wallet_id.endswith(_EXTRA) else WalletName.TOKENS


def unit_of(wallet_id: str) -> Unit:
    return Unit.CREDITS if wallet_id.endswith((_MONTHLY, _EXTRA)) else Unit.TOKENS


def owner_of(wallet_id: str) -> str:
    """Whose wallet it is."""
    return wallet_id.removesuffix(_MONTHLY).removesuffix(_EXTRA)


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
    return Charge(amount=min(full, hold), loss_tokens=max(0, full - hold))


def _round_up(milli: int) -> int:
    return -(-milli // WEIGHT_UNIT)
