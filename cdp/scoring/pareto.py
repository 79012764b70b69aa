"""Pareto/NBD: order days at random, and a life that ends at random, whether or not one orders.

While active a customer orders at a rate of their own (gamma: shape r, rate alpha) and drops out at
another of their own (gamma: s, beta); Schmittlein, Morrison and Colombo, Management Science 33,
1987. The integrals over the moment of dropping out are done by Gauss-Legendre quadrature in
w = ln(m + t), m the lesser of alpha and beta, in which both alpha + t and beta + t are smooth
whatever their sizes; the usual hypergeometric series lose all digits for frequent customers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
from scipy.special import digamma, expit, exprel, gammaln

from cdp.scoring.counts import NEGLIGIBLE, Gammas
from cdp.scoring.histories import BLOCK, MANY_ROWS, Floats, Integers, Patterns
from cdp.scoring.maximise import Fence
from cdp.scoring.model import ModelName
from cdp.scoring.side_by_side import side_by_side

NODES: Final = 16  # relative error below 1e-9 for all parameters and histories that shops have
FADED: Final = 34.0  # exp(-34) of the integrand is left where the integration stops
TINY: Final = 1e-300
MOST_SHAPE: Final = 100.0  # of either gamma: beyond, all customers share one rate
LEAST_SHAPE: Final = 1e-3
LEAST_RATE: Final = 0.5  # days: below, customers order several times a day, or leave within one
MOST_AGES: Final = 10.0  # of beta, in the longest history: beyond, all customers drop out alike
WAITING_STEPS: Final = 6

_PLACES, _WEIGHTS = (np.asarray(part) for part in np.polynomial.legendre.leggauss(NODES))
_PLACES, _WEIGHTS = (_PLACES + 1.0) / 2.0, _WEIGHTS / 2.0


class ParetoNbd:
    """The model; see the module."""

    @property
    def name(self) -> ModelName:
        """The one that it has."""
        return ModelName.PARETO_NBD

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Shape and rate (days) of the rates of orders, and of the rates of dropping out."""
        return ("r", "alpha", "s", "beta")

    def starts(self, patterns: Patterns) -> Sequence[Floats]:
        """Few or many rates, short or long lives; the scale of time from the mean rate and age."""
        days = float(patterns.count @ patterns.age) + 1.0
        repeats = float(patterns.count @ patterns.repeats) + 1.0
        age = days / patterns.customer_count
        return [
            np.array([shape, shape * days / repeats / 2, 0.6, age * life])
            for shape, life in product((0.25, 1.0), (0.3, 3.0))
        ]

    def fence(self, patterns: Patterns) -> Fence:
        """See `Fence`."""
        longest = float(patterns.age.max(initial=1)) + 1.0
        return Fence(
            np.array([LEAST_SHAPE, LEAST_RATE, LEAST_SHAPE, LEAST_RATE]),
            np.array([MOST_SHAPE, MOST_SHAPE * longest, MOST_SHAPE, MOST_AGES * longest]),
        )

    def log_likelihood(self, theta: Floats, patterns: Patterns) -> tuple[float, Floats]:
        """Of (r, alpha, s, beta)."""
        r, alpha, s, beta = parameters = np.exp(theta)
        by_x = np.bincount(patterns.repeats, weights=patterns.count)
        x, n = np.arange(len(by_x)), by_x.sum()
        value = n * (r * np.log(alpha) + s * np.log(beta) - gammaln(r)) + by_x @ gammaln(r + x)
        by_parameter = np.array(
            [
                n * (np.log(alpha) - digamma(r)) + by_x @ digamma(r + x),
                n * r / alpha,
                n * np.log(beta),
                n * s / beta,
            ]
        )

        def silence(block: Patterns) -> tuple[float, Floats]:
            return _Silence(parameters, block).log_likelihood()

        blocks = side_by_side(silence, patterns.blocks(), are_many=patterns.are_many)
        for more, more_by_parameter in blocks:
            value += more
            by_parameter += more_by_parameter
        return float(value), by_parameter * parameters

    def future(self, parameters: Floats, patterns: Patterns, days: Floats | float) -> "_Future":
        """See `_Future`; P(alive) is one over one and the odds of being gone."""
        r, alpha, s, beta = parameters

        def log_odds(block: Patterns) -> Floats:
            return _Silence(parameters, block).log_odds

        odds = list(side_by_side(log_odds, patterns.blocks(), are_many=patterns.are_many))
        return _Future(
            rates=Gammas(r + patterns.repeats, alpha + patterns.age),
            ends=Gammas(np.full(len(patterns), float(s)), beta + patterns.age),
            alive=expit(-np.concatenate(odds)),
            days=np.broadcast_to(days, len(patterns)),
        )


class _Silence:
    """The time since the last order of some patterns: active all along, or gone since some moment.

    Rows are patterns, columns the moments t at which they may have stopped.
    """

    __slots__ = ("chance", "life", "log_odds", "order", "parameters", "patterns", "since")

    def __init__(self, parameters: Floats, patterns: Patterns) -> None:
        r, alpha, s, beta = self.parameters = parameters
        self.patterns = patterns
        recency, shape = patterns.recency, r + patterns.repeats
        least = min(alpha, beta)
        start = np.log(least + recency)
        # The integrand falls at least as fast as at its start: beyond, nothing is left of it.
        slope = shape * (least + recency) / (alpha + recency)
        slope += (s + 1.0) * (least + recency) / (beta + recency) - 1.0
        length = np.log(least + patterns.age) - start
        length = np.minimum(length, FADED / np.maximum(slope, TINY))
        w = start[:, np.newaxis] + np.outer(length, _PLACES)  # ln(m + t)
        moment = np.exp(w)
        self.order, self.life = moment + (alpha - least), moment + (beta - least)
        log_order = w if alpha == least else np.log(self.order)
        log_life = w if beta == least else np.log(self.life)
        # ln((alpha + T) / (alpha + t)) and the same of beta.
        self.since = (
            np.log(alpha + patterns.age)[:, np.newaxis] - log_order,
            np.log(beta + patterns.age)[:, np.newaxis] - log_life,
        )
        log_density = w - log_life + np.log(s * _WEIGHTS)
        log_density += np.log(np.maximum(length, TINY))[:, np.newaxis]
        log_density += shape[:, np.newaxis] * self.since[0] + s * self.since[1]
        highest = log_density.max(axis=1)
        self.chance = np.exp(log_density - highest[:, np.newaxis])
        total = self.chance.sum(axis=1)
        self.chance /= total[:, np.newaxis]
        self.log_odds: Floats = highest + np.log(total)

    def log_likelihood(self) -> tuple[float, Floats]:
        """What the silence and the order days before add, and its gradient by the parameters."""
        r, alpha, s, beta = self.parameters
        count, age, shape = self.patterns.count, self.patterns.age, r + self.patterns.repeats
        log_age, log_life = np.log(alpha + age), np.log(beta + age)
        inverse_age, inverse_life = 1.0 / (alpha + age), 1.0 / (beta + age)
        # The odds of being gone may be too large for a float, their inverse never is.
        inverse_odds = np.exp(-self.log_odds)
        gone = count / (1.0 + inverse_odds)
        value = count @ (self.log_odds + np.log1p(inverse_odds) - shape * log_age - s * log_life)

        def if_gone(values: Floats) -> Floats:
            mean: Floats = np.einsum("rc,rc->r", self.chance, values)
            return mean

        by_parameter = np.array(
            [
                gone @ if_gone(self.since[0]) - count @ log_age,
                (gone - count) @ (shape * inverse_age) - gone @ (shape * if_gone(1 / self.order)),
                gone @ (1.0 / s + if_gone(self.since[1])) - count @ log_life,
                s * ((gone - count) @ inverse_life) - (s + 1.0) * (gone @ if_gone(1 / self.life)),
            ]
        )
        return float(value), by_parameter


@dataclass(frozen=True, slots=True)
class _Future:
    """Order days to come of active customers: their rates run until the horizon or their end."""

    rates: Gammas
    ends: Gammas
    alive: Floats
    days: Floats

    def within(self, days: float) -> "_Future":
        """The same with another horizon."""
        return replace(self, days=np.broadcast_to(days, len(self.alive)))

    def reach(self) -> Floats:
        """As if nobody dropped out any more."""
        return self.rates.reach(self.days, NEGLIGIBLE / np.maximum(self.alive, NEGLIGIBLE))

    def tails(self, rows: Integers, most: int) -> Floats:
        """P(at least k) for k = 1 .. most: the mean over how long the customer stays."""
        stays, chances = self._stays(rows, self.days[rows])
        return self.rates.of(rows).tails(stays, chances, most) * self.alive[rows]

    def mean(self) -> Floats:
        """P(alive) r' / alpha' times the mean of the days that the customer stays."""
        s, life = self.ends.shape, self.ends.rate
        # (1 - q ** (s - 1)) / (s - 1), which also holds where s is one.
        log_share = -np.log1p(self.days / life)
        stay = -life * log_share * exprel((s - 1.0) * log_share)
        mean: Floats = self.alive * self.rates.shape / self.rates.rate * stay
        return mean

    def median_wait(self) -> Floats:
        """Newton's steps from the left: the chance of an order by t rises ever more slowly.

        They begin at the median of those who never drop out, who wait less.
        """
        wait = self.rates.quantile_of_wait(0.5 / self.alive)
        rows = np.flatnonzero(wait <= self.days)
        parts = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]

        def waits(some: Integers) -> Floats:
            return self._wait(some, wait[some])

        waited = side_by_side(waits, parts, are_many=len(rows) >= MANY_ROWS)
        for some, longer in zip(parts, waited, strict=True):
            wait[some] = longer
        return np.where(wait <= self.days, wait, np.nan)

    def _wait(self, rows: Integers, t: Floats) -> Floats:
        """The steps of some rows."""
        rates, ends, target = self.rates.of(rows), self.ends.of(rows), 0.5 / self.alive[rows]
        longest = 2.0 * self.days[rows]
        for _ in range(WAITING_STEPS):
            stays, chances = self._stays(rows, t)
            log_none = -rates.shape * np.log1p(stays / rates.rate)
            ordered = -(chances * np.expm1(log_none)).sum(axis=0)
            log_density = -(rates.shape + 1.0) * np.log1p(t / rates.rate)
            log_density -= ends.shape * np.log1p(t / ends.rate)
            density = rates.shape / rates.rate * np.exp(log_density)
            t = np.minimum(t + (target - ordered) / density, longest)
        return t

    def _stays(self, rows: Integers, days: Floats) -> tuple[Floats, Floats]:
        """How long each may stay within some days (first axis: nodes), and how likely that is.

        The last node is the whole of the days, the others are those of dropping out before. They
        are nodes in ln(m + t), m being about the time to the first order or to the end.
        """
        rates, ends = self.rates.of(rows), self.ends.of(rows)
        least = np.minimum(rates.rate / np.maximum(rates.shape, 1.0), ends.rate)
        length = np.log1p(days / least)
        grown = np.outer(_PLACES, length)  # ln((m + t) / m)
        stay = np.vstack([least * np.expm1(grown), days])
        log_later = np.log1p(stay / ends.rate)
        log_chance = -ends.shape * log_later
        log_chance[:-1] += np.log(ends.shape / ends.rate * length * least) + grown - log_later[:-1]
        chance = np.exp(log_chance)
        chance[:-1] *= _WEIGHTS[:, np.newaxis]
        return stay, chance


PARETO_NBD: Final = ParetoNbd()
