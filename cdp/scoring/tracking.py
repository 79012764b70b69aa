"""Repeat order days over the calendar, as they were and as the fitted model makes of them.

A model without a calendar spreads them by the customers' age alone. Where the last months ran far
from that, a season or a trend is at work that the model does not know, and a forecast that starts
from there is off by as much.
"""

from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np

from cdp.scoring.histories import Floats, Histories, Integers, Patterns
from cdp.scoring.maximise import Fit
from cdp.scoring.model import OrderModel

PERIOD_DAYS: Final = 28
RECENT_PERIODS: Final = 3  # a season
AGES: Final = 128  # at which the repeats of newcomers are reckoned


@dataclass(frozen=True, slots=True)
class Period:
    """Four weeks: repeat order days of all customers."""

    starts_on: date
    expected: float
    actual: int


@dataclass(frozen=True, slots=True)
class Calendar:
    """How many customers ordered on each day, and how many of them for the first time.

    One element per day from `start`, the first with an order, to the moment.
    """

    start: int
    joined: Integers
    ordered: Integers


def calendar(histories: Histories, as_of: int, days: Integers, counts: Integers) -> Calendar:
    """From the histories, and how many ordered on some days; each day is there once."""
    length = int(histories.age.max(initial=0)) + 1
    start = as_of - length + 1
    joined = np.bincount(length - 1 - histories.age, minlength=length)
    ordered = np.zeros(length, dtype=np.int64)
    is_within = (days >= start) & (days <= as_of)
    ordered[days[is_within] - start] = counts[is_within]
    return Calendar(start, joined, ordered)


def track(model: OrderModel, fit: Fit, calendar: Calendar) -> tuple[Period, ...]:
    """The whole periods that end at the moment, from the earliest; of a history of days."""
    start, joined, days = calendar.start, calendar.joined, len(calendar.joined)
    repeats = calendar.ordered - joined
    by_day = np.cumsum(_expected(joined, _repeats_by_age(model, fit, days)))
    ends = np.arange(days - 1, PERIOD_DAYS - 2, -PERIOD_DAYS)[::-1]
    actual = np.cumsum(repeats)
    return tuple(
        Period(
            starts_on=date.fromordinal(start + int(end) - PERIOD_DAYS + 1),
            expected=float(_within(by_day, int(end))),
            actual=int(_within(actual, int(end))),
        )
        for end in ends
    )


def recent_excess(periods: tuple[Period, ...]) -> float | None:
    """By how much the last periods ran above what the model makes of them, as a share of that."""
    recent = periods[-RECENT_PERIODS:]
    expected = sum(period.expected for period in recent)
    if len(recent) < RECENT_PERIODS or not expected:
        return None
    return sum(period.actual for period in recent) / expected - 1.0


def _repeats_by_age(model: OrderModel, fit: Fit, days: int) -> Floats:
    """Expected repeats of a new customer on each day after the first order day (index 0: none)."""
    ages = np.unique(np.geomspace(1, days, AGES).round())
    so_far = model.future(fit.parameters, _newcomers(len(ages)), ages).mean()
    # They rise smoothly: between the ages that were reckoned they are taken as a line.
    by_day = np.interp(np.arange(days), np.append(0.0, ages), np.append(0.0, so_far))
    return np.diff(by_day, prepend=0.0)


def _newcomers(count: int) -> Patterns:
    none = np.zeros(count, dtype=np.int64)
    return Patterns(none, none, none, none, np.ones(count), np.arange(count))


def _expected(joined: Integers, by_age: Floats) -> Floats:
    """On each day, of all who joined before."""
    expected: Floats = np.convolve(joined, by_age)[: len(joined)]
    return expected


def _within(so_far: np.ndarray, end: int) -> float:
    """What a running total gained in the period that ends on a day."""
    before = end - PERIOD_DAYS
    return float(so_far[end]) - (float(so_far[before]) if before >= 0 else 0.0)
