"""Gamma-Gamma: what a customer spends on an order day.

Each day's spend is gamma-distributed (shape p) around a mean of the customer's own, the means being
spread by an inverse gamma (q, gamma): Fader and Hardie, "The Gamma-Gamma Model of Monetary Value",
2013. It is fitted on all order days, the first included, so that a customer of one order has a
value of their own; spend and frequency are taken as independent (`correlation` tells how far).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import digamma, gammaln

from cdp.scoring.histories import BLOCK, SAMPLE, Booleans, Floats, Histories, Integers
from cdp.scoring.maximise import Fence, Fit, Problem, maximise, refine, remembered

PARAMETER_NAMES: Final = ("p", "q", "gamma")
WINSORISED: Final = 0.999  # of the mean spends: what lies above counts as that quantile in the fit
LEAST_SHAPE: Final = 1e-2
MOST_SHAPE: Final = 1e3
LEAST_CORRELATED: Final = 3  # customers: two points always lie on a line


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """The fitted model. `q` is above one, so that the mean of the customers' means exists.

    The arguments of its methods are the priced order days and their total spend, per customer.
    """

    p: float
    q: float
    gamma: float

    def expected(self, priced: Integers, spend: Floats) -> Floats:
        """Spend per order day to come: the own mean, drawn to that of all the more, the fewer days.

        Without a priced day it is the mean of all, p gamma / (q - 1).
        """
        return self.p * (self.gamma + spend) / (self.p * priced + self.q - 1.0)

    def scale(self, priced: Integers, spend: Floats) -> Floats:
        """A customer's own scale: a sum of their days is that times what `Sums` tells."""
        shape = self.q + self.p * np.arange(priced.max(initial=0) + 1)
        scale: Floats = (self.gamma + spend) * np.exp(-digamma(shape))[priced]
        return scale


@dataclass(frozen=True, slots=True)
class SpendFit:
    """The model, how it was fitted (by p, q - 1 and gamma), and how independent spend is.

    `correlation` is that of repeats and mean spend among customers with a repeat; null where there
    is nothing to correlate.
    """

    model: GammaGamma
    fit: Fit
    correlation: float | None


def fit_spend(histories: Histories) -> SpendFit:
    """Fit on every customer whose priced days have a spend above zero."""
    mean = histories.mean_spend
    is_spender = mean > 0
    days, highest = histories.priced[is_spender], np.quantile(mean[is_spender], WINSORISED)
    fit = maximise_spend(days, np.minimum(mean[is_spender], highest))
    return SpendFit(spend_model(fit.parameters), fit, _correlation(histories, is_spender))


def spend_model(parameters: Floats) -> GammaGamma:
    """From the parameters of a fit: p, q - 1 and gamma."""
    p, beyond, gamma = parameters
    return GammaGamma(float(p), 1.0 + float(beyond), float(gamma))


def maximise_spend(days: Integers, mean: Floats) -> Fit:
    """The optimum for customers with so many priced days of so much spend in the mean."""
    middle = float(np.median(mean))
    fence = Fence(
        np.array([LEAST_SHAPE, LEAST_SHAPE, middle * LEAST_SHAPE]),
        np.array([MOST_SHAPE, MOST_SHAPE, middle * MOST_SHAPE]),
    )
    starts = [np.array([p, 2.0, middle * 2.0 / p]) for p in (1.0, 6.0)]
    stride = max(len(days) // SAMPLE, 1)
    some = _Spends.of(days[::stride], mean[::stride])
    near = maximise(Problem(remembered(some.log_likelihood), fence, some.customer_count), starts)
    if stride == 1:
        return near
    spends = _Spends.of(days, mean)
    log_likelihood = remembered(spends.log_likelihood)
    return refine(Problem(log_likelihood, fence, spends.customer_count), near)


@dataclass(frozen=True, slots=True)
class _Spends:
    """What the likelihood needs: totals per customer, and sums that no parameter changes."""

    days: Floats
    total: Floats
    by_days: Floats  # customers by their number of days, from one
    constant: float
    per_shape: float

    @classmethod
    def of(cls, days: Integers, mean: Floats) -> "_Spends":
        weight, log_mean = days.astype(np.float64), np.log(mean)
        by_days = np.bincount(days)[1:].astype(np.float64)
        per_shape = float(np.sum(weight * (log_mean + np.log(weight))))
        return cls(weight, mean * weight, by_days, -float(log_mean.sum()), per_shape)

    @property
    def customer_count(self) -> int:
        return len(self.days)

    def log_likelihood(self, theta: Floats) -> tuple[float, Floats]:
        """Of p, q - 1 and gamma."""
        p, beyond, gamma = parameters = np.exp(theta)
        n, customers, q = np.arange(len(self.by_days)) + 1.0, self.customer_count, 1.0 + beyond
        shape, by_days = p * n, self.by_days
        either = digamma(shape + q)
        value = (
            self.constant + p * self.per_shape + customers * (q * np.log(gamma) - gammaln(q))
            + by_days @ (gammaln(shape + q) - gammaln(shape))
        )  # fmt: skip
        by_parameter = np.array(
            [
                by_days @ (n * (either - digamma(shape))) + self.per_shape,
                by_days @ either + customers * (np.log(gamma) - digamma(q)),
                customers * q / gamma,
            ]
        )
        for start in range(0, customers, BLOCK):
            days = self.days[start : start + BLOCK]
            scale = gamma + self.total[start : start + BLOCK]
            log_scale, inverse = np.log(scale), 1.0 / scale
            logs, days_logs = log_scale.sum(), days @ log_scale
            value -= p * days_logs + q * logs
            by_parameter -= (days_logs, logs, p * (days @ inverse) + q * inverse.sum())
        return float(value), by_parameter * parameters


def _correlation(histories: Histories, is_spender: Booleans) -> float | None:
    chosen = is_spender & (histories.repeats > 0)
    repeats, mean = histories.repeats[chosen], histories.mean_spend[chosen]
    if len(repeats) < LEAST_CORRELATED or not (np.ptp(repeats) and np.ptp(mean)):
        return None
    return float(np.corrcoef(repeats, mean)[0, 1])
