"""Plans: how many answers a month somebody gets, and which month that is.

A period is a month of the subscription's own: the k-th begins k months after the anchor, at the anchor's time of day on
the clocks of the billing zone. It is computed from the anchor and never from the period before, so that one who began
on a 31st has periods from the last day of February and from the 31st of March. Credits are whole numbers.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta  # type: ignore[import-untyped]

# What an answered message costs.
ANSWER_CREDITS = 1
MONTHS_A_YEAR = 12


class Plan(StrEnum):
    FREE = "FREE"
    BASIC = "BASIC"
    PREMIUM = "PREMIUM"


# Credits a month; None is as many as one likes.
ALLOWANCES: dict[Plan, int | None] = {Plan.FREE: 5, Plan.BASIC: 50, Plan.PREMIUM: None}


@dataclass(frozen=True, slots=True)
class Period:
    """The `number`-th month of a subscription, from 0: from `starts_at` until just before `ends_at`, both in UTC."""

    number: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class PlanPolicy:
    """`zone` is where months begin and end. `end_user_credits` says whether the free plan's credits are also given to
    end users of API keys, of whom a program may have as many as it likes."""

    zone: ZoneInfo
    end_user_credits: bool

    def allowance(self, plan: str, *, is_end_user: bool) -> int | None:
        """Credits a month, None for any number. Raises ValueError for a plan that doesn't exist."""
        known = Plan(plan)
        if known is Plan.FREE and is_end_user and not self.end_user_credits:
            return 0
        return ALLOWANCES[known]


@dataclass(frozen=True, slots=True)
class Credits:
    """What an account may still ask for: `monthly` of its plan until `period_ends_at`, then `extra`, which don't end.

    `held` are reserved for questions that are being answered, of both kinds.
    """

    plan: str
    unlimited: bool
    monthly: int
    extra: int
    held: int
    period_ends_at: datetime

    @property
    def remaining(self) -> int | None:
        """None if there is no limit."""
        return None if self.unlimited else self.monthly + self.extra


def period_at(anchor: datetime, moment: datetime, zone: ZoneInfo) -> Period:
    """The period that a moment is in. One before the anchor, as a host's slow clock may tell it, is in the first."""
    local, at = anchor.astimezone(zone), moment.astimezone(zone)
    number = max(0, (at.year - local.year) * MONTHS_A_YEAR + at.month - local.month)
    starts_at = period_start(anchor, number, zone)
    if number and starts_at > moment:
        number, starts_at = number - 1, period_start(anchor, number - 1, zone)
    return Period(number, starts_at, period_start(anchor, number + 1, zone))


def period_start(anchor: datetime, number: int, zone: ZoneInfo) -> datetime:
    """When the `number`-th period begins, in UTC.

    A time of day that a change of the clocks leaves out is as much later as they are put forward; of one that comes
    twice it is the first.
    """
    if number == 0:
        return anchor.astimezone(UTC)
    local: datetime = anchor.astimezone(zone) + relativedelta(months=number)
    return local.replace(fold=0).astimezone(UTC)
