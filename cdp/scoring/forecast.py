"""From fitted models to what is expected of each customer: orders, spend, and their bounds."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from cdp.scoring.counts import Means, at_all, number, visit
from cdp.scoring.gamma_gamma import GammaGamma
from cdp.scoring.histories import Floats, Histories, Patterns
from cdp.scoring.model import Future
from cdp.scoring.sums import Sums

DAYS_A_YEAR: Final = 365.0
LOWER: Final = 0.1  # the bounds of the central 80 %
UPPER: Final = 0.9
DISCOUNT_NODES: Final = 4  # expected orders rise smoothly over a horizon: six digits


@dataclass(frozen=True, slots=True)
class Terms:
    """How far ahead, and what a future unit of currency is worth.

    `discount_rate` is that of a year (0.1: what comes in a year is divided by 1.1), `margin` the
    share of net spend that counts as value.
    """

    horizon_days: int = 365
    discount_rate: float = 0.0
    margin: float = 1.0


@dataclass(frozen=True, slots=True)
class OrderForecast:
    """Order days within the horizon, one element per pattern.

    `worth` is the mean with each order day discounted to now; `none` the probability of not one.
    `median_wait` are days until an order is as likely as not, not a number where none within the
    horizon is more likely.
    """

    alive: Floats
    expected: Floats
    variance: Floats
    worth: Floats
    none: Floats
    median_wait: Floats


@dataclass(frozen=True, slots=True)
class SpendForecast:
    """Net spend within the horizon, one element per customer, with its quantiles by level."""

    expected: Floats
    quantiles: dict[float, Floats]


def forecast_orders(future: Future, sums: Sums, patterns: Patterns, terms: Terms) -> OrderForecast:
    """What is to come of each pattern; fills the quantiles of its sums too."""
    means = Means(len(patterns), number, np.square, at_all)
    visit(future, [means, sums], sums.kinds)
    expected, squared, some = means.values
    return OrderForecast(
        alive=future.alive,
        expected=expected,
        variance=squared - expected**2,
        worth=_worth(future, expected, terms),
        none=1.0 - some,
        median_wait=future.median_wait(),
    )


def forecast_spend(
    orders: OrderForecast, sums: Sums, spend: GammaGamma, histories: Histories, patterns: Patterns
) -> SpendForecast:
    """From what is to come of each pattern to what each customer will spend."""
    scale = spend.scale(histories.priced, histories.spend)
    by_customer = zip(sums.levels, sums.values, strict=True)
    return SpendForecast(
        expected=orders.expected[patterns.of_customer]
        * spend.expected(histories.priced, histories.spend),
        quantiles={level: of[patterns.of_customer] * scale for level, of in by_customer},
    )


def _worth(future: Future, expected: Floats, terms: Terms) -> Floats:
    """The integral of exp(-delta t) over the expected orders M(t), by parts.

    exp(-delta H) M(H) + delta times the integral of exp(-delta t) M(t), by Gauss-Legendre.
    """
    if terms.discount_rate == 0:
        return expected
    horizon = float(terms.horizon_days)
    delta = np.log1p(terms.discount_rate) / DAYS_A_YEAR
    worth: Floats = np.exp(-delta * horizon) * expected
    places, weights = np.polynomial.legendre.leggauss(DISCOUNT_NODES)
    for place, weight in zip((places + 1.0) / 2.0, weights / 2.0, strict=True):
        share = delta * horizon * weight * np.exp(-delta * horizon * place)
        worth += share * future.within(float(horizon * place)).mean()
    return worth
