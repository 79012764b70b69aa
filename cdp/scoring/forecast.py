"""From fitted models to what is expected of each customer: orders, spend, and their bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import ndtr, ndtri

from cdp.scoring.counts import number, summarise_counts
from cdp.scoring.gamma_gamma import GammaGamma, SpendFit, spend_model
from cdp.scoring.histories import Floats, Histories, Patterns
from cdp.scoring.maximise import Fit
from cdp.scoring.model import Future, OrderModel

DAYS_A_YEAR: Final = 365.0
LOWER: Final = 0.1  # the bounds of the central 80 %
UPPER: Final = 0.9
LEAST_CHANCE: Final = 1e-12  # of an order: below, what it would be worth does not matter
MANY: Final = 20_000  # customers, from whom parameters are exact: the mean is known to 2 %
LONGEST_STEP: Final = 1.0  # of a logarithm
DISCOUNT_NODES: Final = 4  # expected orders rise smoothly over a horizon: six digits


@dataclass(frozen=True, slots=True)
class Terms:
    """How far ahead, and what a future unit of currency is worth.

    `discount_rate` is that of a year (0.1: money in a year is worth a tenth less than now),
    `margin` the share of net spend that counts as value.
    """

    horizon_days: int = 365
    discount_rate: float = 0.0
    margin: float = 1.0


@dataclass(frozen=True, slots=True)
class OrderForecast:
    """Order days within the horizon, one element per customer (or pattern).

    `worth` is the mean with each order day discounted to now; `none` the probability of not one;
    `low` and `high` bound the central 80 % (whole numbers: they cover more). `median_wait` are days
    until an order is as likely as not, not a number where none within the horizon is more likely.
    The logarithmic moments are of what the order days sum up to at scale one, over the cases with
    an order, times their probability. `log_variance` is that of the mean's logarithm for want of
    exact parameters.
    """

    alive: Floats
    expected: Floats
    squared: Floats
    worth: Floats
    none: Floats
    low: Floats
    high: Floats
    median_wait: Floats
    log_total: Floats
    log_total_squared: Floats
    log_variance: Floats

    def of_customers(self, patterns: Patterns) -> "OrderForecast":
        """From one element per pattern to one per customer."""
        return OrderForecast(
            *(getattr(self, name)[patterns.of_customer] for name in self.__slots__)
        )


def forecast_orders(
    model: OrderModel, fit: Fit, spend: GammaGamma, patterns: Patterns, terms: Terms
) -> OrderForecast:
    """One element per pattern."""
    weights = (number, np.square, at_all, spend.log_total, spend.log_total_squared)
    future = model.future(fit.parameters, patterns, float(terms.horizon_days))
    summary = summarise_counts(future, weights, (LOWER, UPPER))
    expected, squared, some, log_total, log_total_squared = summary.means
    return OrderForecast(
        alive=future.alive,
        expected=expected,
        squared=squared,
        worth=_worth(future, expected, terms),
        none=1.0 - some,
        low=summary.quantiles[0],
        high=summary.quantiles[1],
        median_wait=future.median_wait(),
        log_total=log_total,
        log_total_squared=log_total_squared,
        log_variance=_variance_of_orders(model, fit, patterns, terms),
    )


def at_all(counts: Floats) -> Floats:
    """The weight whose mean is the chance of at least one."""
    return np.minimum(counts, 1.0)


def _variance_of_orders(model: OrderModel, fit: Fit, patterns: Patterns, terms: Terms) -> Floats:
    if patterns.customer_count > MANY:
        return np.zeros(len(patterns))
    days = float(terms.horizon_days)
    return log_variance(fit, lambda parameters: model.future(parameters, patterns, days).mean())


def log_variance(fit: Fit, mean: Callable[[Floats], Floats]) -> Floats:
    """Variance of the logarithm of a mean, as the parameters vary by their errors.

    The delta method by central differences along the axes of the covariance. Along an axis that the
    data do not tell the step is bounded: what lies beyond is no forecast of the same kind.
    """
    variances, axes = np.linalg.eigh(fit.log_covariance)
    steps = axes * np.minimum(np.sqrt(np.maximum(variances, 0.0)), LONGEST_STEP)
    total = np.zeros(1)
    for step in steps.T:
        up, down = (mean(fit.parameters * np.exp(sign * step)) for sign in (1.0, -1.0))
        change = np.log(np.maximum(up, LEAST_CHANCE) / np.maximum(down, LEAST_CHANCE)) / 2.0
        total = total + change**2
    return total


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


@dataclass(frozen=True, slots=True)
class SpendForecast:
    """Spend within the horizon, one element per customer: none, or a log-normal amount.

    The log-normal has the mean and variance that the logarithm has under the models (given that
    there is an order); `location` and `spread` are its mean and standard deviation.
    """

    expected: Floats
    none: Floats
    location: Floats
    spread: Floats

    def quantile(self, level: float) -> Floats:
        """What the spend stays below with that probability."""
        share = (level - self.none) / np.maximum(1.0 - self.none, LEAST_CHANCE)
        amount = np.exp(self.location + self.spread * ndtri(np.clip(share, 0.0, 1.0)))
        return np.where(share > 0, amount, 0.0)

    def probability_up_to(self, spend: Floats) -> Floats:
        """The inverse: how likely it was to spend no more than that."""
        with np.errstate(divide="ignore"):
            deviation = (np.log(spend) - self.location) / self.spread
        return self.none + (1.0 - self.none) * ndtr(deviation)


def forecast_spend(orders: OrderForecast, spend: SpendFit, histories: Histories) -> SpendForecast:
    """One element per customer, from the forecast of each customer's orders."""
    priced, total = histories.priced, histories.spend
    some = np.maximum(1.0 - orders.none, LEAST_CHANCE)
    mean = orders.log_total / some
    of_scale, variance = spend.model.log_scale(priced, total)
    variance = variance + orders.log_total_squared / some - mean**2 + orders.log_variance
    if len(histories) <= MANY:
        variance = variance + log_variance(
            spend.fit, lambda parameters: spend_model(parameters).expected(priced, total)
        )
    return SpendForecast(
        expected=orders.expected * spend.model.expected(priced, total),
        none=orders.none,
        location=mean + of_scale,
        spread=np.sqrt(np.maximum(variance, 0.0)),
    )
