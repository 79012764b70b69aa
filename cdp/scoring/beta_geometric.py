"""BG/NBD and MBG/NBD: order days at random, and a chance of stopping after each of them.

While active a customer orders at a rate of their own (gamma: shape r, rate alpha); after an order
day they drop out with a chance of their own (beta: a, b). BG/NBD lets nobody drop out before the
first repeat (Fader, Hardie and Lee, Marketing Science 24, 2005); MBG/NBD also after the very first
order day (Batislam, Denizel and Filiztekin, International Journal of Research in Marketing 24,
2007), so that a customer of one order may be gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
from scipy.special import digamma, expit, gammaln

from cdp.scoring.counts import NEGLIGIBLE, Gammas, mean_of, number
from cdp.scoring.histories import Floats, Integers, Patterns
from cdp.scoring.maximise import Fence
from cdp.scoring.model import ModelName
from cdp.scoring.side_by_side import side_by_side

NEVER: Final = -700.0  # logarithm of odds so small that adding them to one changes nothing
MOST_BETA: Final = 100.0  # a and b beyond: all customers share one chance of dropping out, or none
LEAST_SHAPE: Final = 1e-3
LEAST_RATE: Final = 0.5  # days: below, customers order several times a day, which are one order day
MOST_SHAPE: Final = 100.0  # of the rates: beyond, all customers share one rate


@dataclass(frozen=True, slots=True)
class BetaGeometric:
    """Either model; `first_coins` is 1 where the first order day may be the last, else 0."""

    name: ModelName
    first_coins: int

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Shape and rate (days) of the rates of orders, and the two of the chance to drop out."""
        return ("r", "alpha", "a", "b")

    def starts(self, patterns: Patterns) -> Sequence[Floats]:
        """Few or many rates, short or long lives; the scale of time from the mean rate."""
        days = float(patterns.count @ patterns.age) + 1.0
        repeats = float(patterns.count @ patterns.repeats) + 1.0
        return [
            np.array([shape, shape * days / repeats / 2, chance, 1.0 + 2 * chance])
            for shape, chance in product((0.25, 1.0), (0.1, 0.8))
        ]

    def fence(self, patterns: Patterns) -> Fence:
        """See `Fence`."""
        longest = float(patterns.age.max(initial=1)) + 1.0
        return Fence(
            np.array([LEAST_SHAPE, LEAST_RATE, LEAST_SHAPE, LEAST_SHAPE]),
            np.array([MOST_SHAPE, MOST_SHAPE * longest, MOST_BETA, MOST_BETA]),
        )

    def log_likelihood(self, theta: Floats, patterns: Patterns) -> tuple[float, Floats]:
        """Of (r, alpha, a, b); what depends on one whole number alone is taken from a table."""
        r, alpha, a, b = parameters = np.exp(theta)
        by_x = np.bincount(patterns.repeats, weights=patterns.count)
        x, n = np.arange(len(by_x)), by_x.sum()
        kept, left = self._kept(b, x), self._left(b, x)
        value = (
            n * (r * np.log(alpha) - gammaln(r) + gammaln(a + b) - gammaln(b))
            + by_x @ (gammaln(r + x) + gammaln(kept) - gammaln(a + kept))
        )  # fmt: skip
        either, leaving = digamma(a + b), digamma(a + kept)
        by_parameter = np.array(
            [
                n * (np.log(alpha) - digamma(r)) + by_x @ digamma(r + x),
                n * r / alpha,
                n * either - by_x @ leaving,
                n * (either - digamma(b)) + by_x @ (digamma(kept) - leaving),
            ]
        )
        day = alpha + np.arange(patterns.age.max() + 1)
        tables = _Tables(r, np.log(day), 1.0 / day, _log_odds(a, left), 1.0 / left)
        blocks = side_by_side(tables.silence, patterns.blocks(), are_many=patterns.are_many)
        for more, by_r, by_alpha, gone, gone_by_left in blocks:
            value += more
            by_parameter += (by_r, by_alpha, gone / a, -gone_by_left)
        return float(value), by_parameter * parameters

    def future(self, parameters: Floats, patterns: Patterns, days: Floats | float) -> "_Future":
        """See `_Future`; P(alive) is one over one and the odds of being gone."""
        r, alpha, a, b = parameters
        rates = Gammas(r + patterns.repeats, alpha + patterns.age)
        silence = np.log(rates.rate / (alpha + patterns.recency))
        log_odds = _log_odds(a, self._left(b, patterns.repeats)) + rates.shape * silence
        return _Future(
            rates=rates,
            gone=float(a),
            kept=self._kept(b, patterns.repeats),
            alive=expit(-log_odds),
            days=np.broadcast_to(days, len(patterns)),
        )

    def _kept(self, b: float, repeats: Integers) -> Floats:
        """The second parameter of the beta for whoever is active after so many repeats."""
        kept: Floats = b + self.first_coins + repeats.astype(np.float64)
        return kept

    def _left(self, b: float, repeats: Integers) -> Floats:
        """The same for whoever stopped at the last order day; infinite where nobody can have."""
        left = self._kept(b, repeats) - 1.0
        if not self.first_coins:
            left[repeats == 0] = np.inf
        return left


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a likelihood takes from tables: by day since the first order, and by repeats."""

    r: float
    log_day: Floats  # ln(alpha + day)
    inverse_day: Floats
    log_odds: Floats  # of having stopped at the last order day, before the silence since speaks
    inverse_left: Floats

    def silence(self, patterns: Patterns) -> tuple[float, float, float, float, float]:
        """What the time up to now adds to the log-likelihood, and to its derivatives.

        Those by r and alpha, and the sums of P(gone) that those by a and b are made of.
        """
        x, count, shape = patterns.repeats, patterns.count, self.r + patterns.repeats
        log_age, inverse_age = self.log_day[patterns.age], self.inverse_day[patterns.age]
        silence = log_age - self.log_day[patterns.recency]
        log_odds = self.log_odds[x] + shape * silence
        # The odds of being gone may be too large for a float, their inverse never is.
        inverse_odds = np.exp(-log_odds)
        gone = count / (1.0 + inverse_odds)
        active_alpha = (gone - count) @ (shape * inverse_age)
        return (
            float(count @ (log_odds + np.log1p(inverse_odds) - shape * log_age)),
            float(gone @ silence - count @ log_age),
            float(active_alpha - gone @ (shape * self.inverse_day[patterns.recency])),
            float(gone.sum()),
            float(gone @ self.inverse_left[x]),
        )


def _log_odds(a: float, left: Floats) -> Floats:
    """Of having stopped at the last order day, before the silence since speaks."""
    odds: Floats = np.maximum(np.log(a) - np.log(left), NEVER)
    return odds


@dataclass(frozen=True, slots=True)
class _Future:
    """Order days to come: k if active, if the first k - 1 let the customer stay, and if in time.

    P(at least k) = P(alive) prod_{j < k-1} (b' + j) / (a + b' + j) P(k arrivals within the days):
    rate and chance are independent given that the customer is active. No series of hypergeometric
    functions, which lose all digits for frequent customers, and nothing simulated.
    """

    rates: Gammas
    gone: float
    kept: Floats
    alive: Floats
    days: Floats

    def within(self, days: float) -> "_Future":
        """The same with another horizon."""
        return replace(self, days=np.broadcast_to(days, len(self.alive)))

    def reach(self) -> Floats:
        """As if nobody dropped out any more."""
        return self.rates.reach(self.days, NEGLIGIBLE / np.maximum(self.alive, NEGLIGIBLE))

    def tails(self, rows: Integers, most: int) -> Floats:
        """P(at least k) for k = 1 .. most."""
        days = self.days[np.newaxis, rows]
        tails = self.rates.of(rows).tails(days, np.ones_like(days), most)
        stays, either = self.alive[rows], self.kept[rows] + self.gone
        ratio = np.empty_like(stays)
        for k in range(most):
            tails[k] *= stays
            np.divide(self.gone, either, out=ratio)
            ratio *= stays
            stays -= ratio
            either += 1.0
        return tails

    def mean(self) -> Floats:
        """The sum of the tails."""
        return mean_of(self, number, len(self.alive))

    def median_wait(self) -> Floats:
        """Solves P(alive) (1 - (alpha' / (alpha' + t)) ** r') = 1/2 for t."""
        wait = self.rates.quantile_of_wait(0.5 / self.alive)
        return np.where(wait <= self.days, wait, np.nan)


MBG_NBD: Final = BetaGeometric(ModelName.MBG_NBD, first_coins=1)
BG_NBD: Final = BetaGeometric(ModelName.BG_NBD, first_coins=0)
