"""Bounds that cover what they promise: the levels at which past forecasts had their tenth outside.

The models' own bounds are too narrow where people change in ways that no model knows, and too wide
where they are steadier than it thinks. Where the backtests show it, the bounds are moved to the
levels at which a tenth of the customers ended above and, of those who were all but sure to order,
a tenth below: the conformal quantiles of Romano, Patterson and Candes (NeurIPS 2019), each tail by
itself, on the scale of the forecast's own probability.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cdp.scoring.forecast import LOWER, UPPER, SpendForecast
from cdp.scoring.histories import Floats

LEAST_CUSTOMERS: Final = 100  # of a tail, to move a level that lies at a tenth
LOWER_LEVELS: Final = (0.2, 0.15, 0.125, LOWER, 0.075, 0.05, 0.035, 0.02, 0.01, 0.005)
UPPER_LEVELS: Final = (0.8, 0.85, 0.875, UPPER, 0.925, 0.95, 0.965, 0.98, 0.99, 0.995)
"""The levels that a bound may be read at, from the narrowest."""
TRIED_LEVELS: Final = (*LOWER_LEVELS, *UPPER_LEVELS)
KEPT: Final = (0.8, 0.9)
"""Covered by bounds at 80 %. Where the lower one is zero nothing lies below it, so that bounds
which are exactly right cover up to 90 %."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The probabilities at which the lower and the upper bound are read off a forecast."""

    lower: float = LOWER
    upper: float = UPPER


NOMINAL: Final = Levels()


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of customers whose spend ended within the bounds, above and below."""

    within: float
    above: float
    below: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Forecasts of spend, and what came; one element per customer."""

    forecast: SpendForecast
    spend: Floats


def calibrated(outcomes: Sequence[Outcome]) -> Levels:
    """The nominal levels where they kept the promise, else the nearest that do.

    Where too few were covered, each bound moves out until a tenth at most is beyond it; where too
    many were, it moves in for as long as a tenth at most is. The lower bound counts customers
    whose nominal one is above zero.
    """
    lowest, highest = KEPT
    covered = coverage(outcomes, NOMINAL).within
    if lowest <= covered <= highest:
        return NOMINAL
    lower = _first_kept(LOWER_LEVELS, lambda level: _below(outcomes, level), LOWER)
    upper = _first_kept(UPPER_LEVELS, lambda level: _above(outcomes, level), 1.0 - UPPER)
    if covered < lowest:
        return Levels(min(lower, LOWER), max(upper, UPPER))
    return Levels(max(lower, LOWER), min(upper, UPPER))


def _first_kept(levels: Sequence[float], beyond: Callable[[float], float], most: float) -> float:
    """The narrowest level beyond which no more than so many are; the widest where none keeps it."""
    return next((level for level in levels if beyond(level) <= most), levels[-1])


def coverage(outcomes: Sequence[Outcome], levels: Levels) -> Coverage:
    """Measure the bounds at some levels."""
    above = _above(outcomes, levels.upper)
    low = _joined([outcome.forecast.quantiles[levels.lower] for outcome in outcomes])
    below = float((_joined([outcome.spend for outcome in outcomes]) < low).mean())
    return Coverage(1.0 - above - below, above, below)


def _above(outcomes: Sequence[Outcome], level: float) -> float:
    high = _joined([outcome.forecast.quantiles[level] for outcome in outcomes])
    return float((_joined([outcome.spend for outcome in outcomes]) > high).mean())


def _below(outcomes: Sequence[Outcome], level: float) -> float:
    """Of the customers whose nominal lower bound is above zero; the nominal share of too few."""
    low = _joined([outcome.forecast.quantiles[level] for outcome in outcomes])
    is_sure = _joined([outcome.forecast.quantiles[LOWER] for outcome in outcomes]) > 0
    spend = _joined([outcome.spend for outcome in outcomes])[is_sure]
    return float((spend < low[is_sure]).mean()) if len(spend) >= LEAST_CUSTOMERS else level


def _joined(parts: Sequence[Floats]) -> Floats:
    return np.concatenate(parts)
