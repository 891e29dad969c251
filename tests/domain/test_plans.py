"""Months of a subscription: every moment is in exactly one, whatever the calendar and the clocks do."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.plans import Credits, Plan, PlanPolicy, period_at, period_start

ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Paris",
        "Europe/Moscow",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
        "Pacific/Apia",
        "America/Sao_Paulo",
    )
]
PARIS = ZoneInfo("Europe/Paris")
MOMENTS = st.timedeltas(timedelta(0), timedelta(days=36_500)).map(lambda age: datetime(2000, 1, 1, tzinfo=UTC) + age)
AFTER = st.timedeltas(timedelta(0), timedelta(days=4000))
SHORTEST, LONGEST = timedelta(days=27), timedelta(days=32)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS)


@given(anchor=MOMENTS, zone=st.sampled_from(ZONES), number=st.integers(0, 400))
@example(anchor=utc("2011-11-30T10:00"), zone=ZoneInfo("Pacific/Apia"), number=0)
def test_periods_follow_each_other_without_gap_or_overlap(anchor: datetime, zone: ZoneInfo, number: int) -> None:
    starts = [period_start(anchor, each, zone) for each in range(number, number + 3)]
    for start, end in pairwise(starts):
        assert SHORTEST < end - start < LONGEST
        last = end - timedelta(microseconds=1)
        for moment in (start, start + (end - start) / 2, last):
            found = period_at(anchor, moment, zone)
            assert (found.starts_at, found.ends_at) == (start, end)
        assert period_at(anchor, end, zone).starts_at == end


@given(anchor=MOMENTS, after=AFTER, zone=st.sampled_from(ZONES))
def test_every_moment_is_in_the_one_period_that_says_so(anchor: datetime, after: timedelta, zone: ZoneInfo) -> None:
    moment = anchor + after
    found = period_at(anchor, moment, zone)
    assert found.starts_at <= moment < found.ends_at
    around = [period_start(anchor, number, zone) for number in range(found.number + 3)]
    assert sum(start <= moment < end for start, end in pairwise(around)) == 1
    assert found.starts_at == around[found.number]


@given(anchor=MOMENTS, zone=st.sampled_from(ZONES), number=st.integers(1, 400))
def test_a_period_begins_on_the_anchors_day_or_the_months_last(anchor: datetime, zone: ZoneInfo, number: int) -> None:
    begun, local = anchor.astimezone(zone), period_start(anchor, number, zone).astimezone(zone)
    months = (local.year - begun.year) * 12 + local.month - begun.month
    next_day = (local + timedelta(days=1)).day
    # A day that clocks leave out is the next one.
    late = local.replace(fold=0).utcoffset() != (local - timedelta(days=1)).replace(fold=0).utcoffset()
    assert late or (months == number and (local.day == begun.day or (local.day < begun.day and next_day == 1)))
    assert late or local.time() == begun.time()


def test_it_is_counted_from_the_anchor_and_not_from_the_period_before() -> None:
    anchor = utc("2023-10-31T12:00")
    starts = [period_start(anchor, number, ZoneInfo("UTC")).date().isoformat() for number in range(6)]
    assert starts == ["2023-10-31", "2023-11-30", "2023-12-31", "2024-01-31", "2024-02-29", "2024-03-31"]
    assert period_start(anchor, 16, ZoneInfo("UTC")).date().isoformat() == "2025-02-28"


def test_the_twenty_ninth_of_february_comes_back() -> None:
    anchor = utc("2024-02-29T00:00")
    assert period_start(anchor, 12, ZoneInfo("UTC")) == utc("2025-02-28T00:00")
    assert period_start(anchor, 48, ZoneInfo("UTC")) == utc("2028-02-29T00:00")


def test_the_time_of_day_is_the_zones() -> None:
    anchor = paris("2024-01-15T09:00")
    assert period_start(anchor, 5, PARIS) == utc("2024-06-15T07:00"), "an hour earlier in UTC, the same in Paris"
    # The last of the month in Paris is the day before in UTC.
    assert period_start(paris("2024-01-31T00:30"), 1, PARIS) == paris("2024-02-29T00:30")


def test_a_time_of_day_that_is_left_out_is_as_much_later() -> None:
    # On 31 March 2024 clocks went from 02:00 to 03:00.
    found = period_at(paris("2024-01-31T02:30"), paris("2024-04-01T00:00"), PARIS)
    assert found.starts_at == paris("2024-03-31T03:30")
    assert found.ends_at == paris("2024-04-30T02:30"), "only that one period begins later"


def test_of_a_time_that_comes_twice_it_is_the_first() -> None:
    # On 27 October 2024 02:30 was at 00:30 and at 01:30 in UTC.
    assert period_start(paris("2024-09-27T02:30"), 1, PARIS) == utc("2024-10-27T00:30")
    second = utc("2024-10-27T01:30")
    assert period_start(second, 0, PARIS) == second, "the anchor is the moment that it is"
    assert period_at(second, utc("2024-10-27T01:29"), PARIS).number == 0
    assert period_start(second, 1, PARIS) == paris("2024-11-27T02:30")


def test_a_slow_clock_is_in_the_first_period() -> None:
    anchor = utc("2024-01-15T00:00")
    assert period_at(anchor, anchor - timedelta(days=40), ZoneInfo("UTC")).number == 0


@pytest.mark.parametrize(("plan", "allowance"), [("FREE", 5), ("BASIC", 50), ("PREMIUM", None)])
def test_plans_and_their_credits(plan: str, allowance: int | None) -> None:
    policy = PlanPolicy(ZoneInfo("UTC"), end_user_credits=False)
    assert policy.allowance(plan, is_end_user=False) == allowance
    assert policy.allowance(plan, is_end_user=True) == (0 if plan == "FREE" else allowance)
    assert PlanPolicy(ZoneInfo("UTC"), end_user_credits=True).allowance(plan, is_end_user=True) == allowance


def test_a_plan_that_does_not_exist_allows_nothing() -> None:
    with pytest.raises(ValueError, match="GOLD"):
        PlanPolicy(ZoneInfo("UTC"), end_user_credits=False).allowance("GOLD", is_end_user=False)


def test_what_remains_is_of_both_kinds_unless_there_is_no_limit() -> None:
    assert Credits(Plan.FREE, False, 3, 4, 1, utc("2024-02-15T00:00")).remaining == 7
    assert Credits(Plan.PREMIUM, True, 0, 4, 0, utc("2024-02-15T00:00")).remaining is None
