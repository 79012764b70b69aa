"""Bounds that cover what they promise: the levels at which past forecasts had their tenth outside.

The models' own bounds are too narrow where people change in ways that no model knows, and too wide
where they are steadier than it thinks. Where the backtests show it, the bounds are moved to the
levels at which a tenth of the customers ended above and, of those who were all but sure to order,
a tenth below: the conformal quantiles of Romano, Patterson and Candes (NeurIPS 2019), each tail by
itself, on the scale of the forecast's own probability.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from cdp.scoring.forecast import LOWER, UPPER, SpendForecast
from cdp.scoring.histories import Floats

LEAST_CUSTOMERS: Final = 100  # of a tail, to move a level that lies at a tenth
LOWEST: Final = (0.005, 0.2)  # how far the level of the lower bound may move
HIGHEST: Final = (0.8, 0.99)
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
    """The nominal levels where they kept the promise, else those that left a tenth on either side.

    A spend of zero is never above, and always below a bound that is not zero. The lower level
    counts customers whose nominal lower bound is above zero.
    """
    lowest, highest = KEPT
    covered = coverage(outcomes, NOMINAL).within
    if lowest <= covered <= highest:
        return NOMINAL
    reached = np.concatenate([_reached(outcome) for outcome in outcomes])
    is_sure = np.concatenate([outcome.forecast.none < LOWER for outcome in outcomes])
    lower, upper = _level(reached[is_sure], LOWER, LOWEST), _level(reached, UPPER, HIGHEST)
    if covered < lowest:
        return Levels(min(lower, LOWER), max(upper, UPPER))
    return Levels(max(lower, LOWER), min(upper, UPPER))


def coverage(outcomes: Sequence[Outcome], levels: Levels) -> Coverage:
    """Measure the bounds at some levels."""
    spend = np.concatenate([outcome.spend for outcome in outcomes])
    low = np.concatenate([outcome.forecast.quantile(levels.lower) for outcome in outcomes])
    high = np.concatenate([outcome.forecast.quantile(levels.upper) for outcome in outcomes])
    above, below = float((spend > high).mean()), float((spend < low).mean())
    return Coverage(1.0 - above - below, above, below)


def _reached(outcome: Outcome) -> Floats:
    """How likely each was to spend no more than they did; 0 for those who spent nothing."""
    reached = outcome.forecast.probability_up_to(outcome.spend)
    return np.where(outcome.spend > 0, reached, 0.0)


def _level(reached: Floats, nominal: float, within: tuple[float, float]) -> float:
    if len(reached) < LEAST_CUSTOMERS:
        return nominal
    return float(np.clip(np.quantile(reached, nominal), *within))
