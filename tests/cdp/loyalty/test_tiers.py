"""Tiers: reached on the day, kept through grace, lost as the policy says."""

from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cdp.loyalty.programme import Level, Tiers
from cdp.loyalty.tiers import NO_TIER, Period, Standing, standing

DAY = date(2026, 1, 1)
LEVELS = [Level(name="A", threshold=Decimal(10)), Level(name="B", threshold=Decimal(20))]
BASE = Tiers(levels=LEVELS, months=1)


def at(days: int, amounts: dict[int, int], **changes: Any) -> Standing:  # noqa: ANN401  # fields of Tiers
    tiers = msgspec.structs.replace(BASE, **changes)
    dated = {DAY + timedelta(days=day): Decimal(amount) for day, amount in amounts.items()}
    return standing(dated, tiers, DAY, DAY + timedelta(days=days))


def test_a_tier_is_held_from_the_day_that_reaches_it_until_the_window_has_passed() -> None:
    assert at(4, {5: 10}).rank == NO_TIER
    held = at(5, {5: 10})
    assert (held.rank, held.since) == (0, DAY + timedelta(days=5))
    assert held.until == DAY + timedelta(days=36)  # 6 February: a month after
    assert at(35, {5: 10}).rank == 0
    assert at(36, {5: 10}).rank == NO_TIER


def test_grace_keeps_a_tier_and_a_purchase_within_it_saves_it() -> None:
    assert at(40, {5: 10}, grace_days=10).rank == 0
    assert at(46, {5: 10}, grace_days=10).rank == NO_TIER
    saved = at(50, {5: 10, 44: 10}, grace_days=10)
    assert (saved.rank, saved.since) == (0, DAY + timedelta(days=5))


def test_a_downgrade_goes_to_what_is_earned_or_one_step_with_grace_anew_or_never() -> None:
    assert at(60, {0: 20}, grace_days=10).rank == NO_TIER
    stepwise = at(45, {0: 20}, grace_days=10, downgrade="one_step")
    assert (stepwise.rank, stepwise.until) == (0, DAY + timedelta(days=51))
    assert at(51, {0: 20}, grace_days=10, downgrade="one_step").rank == NO_TIER
    for_ever = at(900, {0: 20}, downgrade="never")
    assert (for_ever.rank, for_ever.until) == (1, None)


def test_calendar_windows_end_with_their_year_or_quarter_and_a_lifetime_never() -> None:
    assert at(364, {5: 10}, window="year").rank == 0
    assert at(365, {5: 10}, window="year").rank == NO_TIER
    assert at(89, {5: 10}, window="quarter").rank == 0
    assert at(90, {5: 10}, window="quarter").rank == NO_TIER
    assert at(5_000, {5: 10}, window="lifetime").until is None


def test_the_history_names_each_tier_with_its_days() -> None:
    found = at(40, {0: 10, 3: 10})
    day = [DAY + timedelta(days=n) for n in (0, 3, 31, 34)]
    assert found.history == [
        Period(0, day[0], day[1]),
        Period(1, day[1], day[2]),
        Period(0, day[2], day[3]),
    ]
    assert found.rank == NO_TIER


@given(
    amounts=st.dictionaries(st.integers(0, 200), st.integers(1, 25), max_size=8),
    grace_days=st.sampled_from([0, 7, 40]),
    window=st.sampled_from(["rolling", "year", "quarter", "lifetime"]),
    downgrade=st.sampled_from(["to_earned", "one_step", "never"]),
)
def test_standing_changes_only_on_the_days_that_were_announced(
    amounts: dict[int, int], grace_days: int, window: str, downgrade: str
) -> None:
    rules = {"grace_days": grace_days, "window": window, "downgrade": downgrade}
    days = [at(day, amounts, **rules) for day in range(260)]
    for number, (before, after) in enumerate(pairwise(days), 1):
        today = DAY + timedelta(days=number)
        if before.next_change_on is None or today < before.next_change_on:
            same = (before.rank, before.since, before.until, before.qualifying)
            assert same == (after.rank, after.since, after.until, after.qualifying)
        if before.until is not None and today == before.until:
            assert after.rank < before.rank
        for one, other in pairwise(after.history):
            assert one.until is not None
            assert one.since < one.until <= other.since
