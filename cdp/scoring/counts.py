"""The distribution of a count: its tails, and what follows from them (means, quantiles)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from scipy.special import betainc

from cdp.scoring.histories import Booleans, Floats, Integers

Weights: TypeAlias = Callable[[Floats], Floats]
"""From counts 0, 1, 2 ... to a weight of each; 0 for the count 0."""

BLOCK: Final = 1 << 16  # tails at once: they stay in the processor's caches and wake no BLAS thread
NEGLIGIBLE: Final = 1e-9  # orders that the counts left out would add
MOST_ORDERS: Final = 1 << 17  # far beyond one a day for a hundred years
LEAST_LOG: Final = -690.0  # below, the chance of no order is no longer a floating-point number


REACH_DEVIATIONS: Final = 7.0  # above the mean, where the search for the bound begins
REACH_STEPS: Final = 3


@dataclass(frozen=True, slots=True)
class Gammas:
    """Rates of orders, gamma-distributed, and how long each runs. One element per row."""

    shape: Floats
    rate: Floats

    def of(self, rows: Integers) -> "Gammas":
        """Some rows."""
        return Gammas(self.shape[rows], self.rate[rows])

    def tails(self, days: Floats, chances: Floats, most: int) -> Floats:
        """P(at least k) for k = 1 .. most (rows of the result): a mixture of negative binomials.

        Each rate runs for one of several `days` (first axis), with the `chances` of each.
        """
        odds = days / self.rate
        none = -self.shape * np.log1p(odds)
        share = odds / (1.0 + odds)
        tails, ratio = np.empty((most, len(self.shape))), np.empty_like(self.shape)
        part = chances * np.exp(none)
        np.subtract(chances.sum(axis=0), part.sum(axis=0), out=tails[0])
        rest = self.shape - 1.0
        for k in range(1, most):  # P(k) = P(k - 1) share (shape + k - 1) / k
            np.divide(rest, k, out=ratio)
            ratio += 1.0
            part *= share
            part *= ratio
            np.subtract(tails[k - 1], part.sum(axis=0), out=tails[k])
        is_tiny = none.min(axis=0) < LEAST_LOG
        if is_tiny.any():
            counts = np.arange(1.0, most + 1)[:, np.newaxis, np.newaxis]
            by_days = betainc(counts, self.shape[is_tiny], share[:, is_tiny])
            tails[:, is_tiny] = (chances[:, is_tiny] * by_days).sum(axis=1)
        return tails

    def reach(self, days: Floats, negligible: Floats) -> Floats:
        """A count per row beyond which less than `negligible` of the probability lies.

        Chernoff's bound, P(at least k) <= exp(-g(k)); g is convex and rises beyond the mean, so
        that Newton's steps from the right stay on the right.
        """
        mean = self.shape * days / self.rate
        spread = 1.0 + days / self.rate
        wanted = -np.log(negligible)
        k = mean + REACH_DEVIATIONS * np.sqrt(mean * spread) + wanted * spread
        for _ in range(REACH_STEPS):
            slope = np.log(k / mean) - np.log((k + self.shape) / (mean + self.shape))
            exponent = k * slope - self.shape * np.log((k + self.shape) / (mean + self.shape))
            k = k - (exponent - wanted) / slope
        return k

    def quantile_of_wait(self, level: Floats) -> Floats:
        """Days until the first order has come with that probability; endless from one up."""
        with np.errstate(divide="ignore", invalid="ignore"):
            wait = self.rate * np.expm1(-np.log1p(-level) / self.shape)
        return np.where(level < 1.0, wait, np.inf)


class Counts(Protocol):
    """A count per row, of which is known how likely it is to be at least k."""

    def reach(self) -> Floats:
        """A count per row that is hardly ever exceeded."""

    def tails(self, rows: Integers, most: int) -> Floats:
        """P(at least k) for k = 1 .. most (rows of the result), of some rows (its columns)."""


@dataclass(frozen=True, slots=True)
class CountSummary:
    """Means of each weight and quantiles at each level (first axis), per row (second axis)."""

    means: Floats
    quantiles: Floats


def number(counts: Floats) -> Floats:
    """The weight whose mean is the mean count."""
    return counts


def summarise_counts(
    counts: Counts, weights: Sequence[Weights], levels: Sequence[float]
) -> CountSummary:
    """Mean of each weight of the count, and its quantiles: the least count at least that likely.

    A mean is the sum of P(at least k) times the weight's increment at k; a quantile is how many of
    these tails are above one less the level. Rows whose tail is not negligible where the guess ends
    are done again with twice as many counts.
    """
    guess = np.maximum(np.ceil(counts.reach()), 1.0).astype(np.int64)
    summary = CountSummary(
        np.empty((len(weights), len(guess))), np.empty((len(levels), len(guess)))
    )
    rows = np.arange(len(guess))
    while len(rows):
        order = rows[np.argsort(guess[rows], kind="stable")]
        again = [
            block[_fill(summary, counts, block, int(guess[block[-1]]), weights, levels)]
            for block in _blocks(order, guess)
        ]
        rows = np.concatenate(again)
        guess[rows] *= 2
        assert guess.max() <= MOST_ORDERS, "a count without end"
    return summary


def _blocks(order: Integers, guess: Integers) -> Iterator[Integers]:
    """Runs of rows of about the same guess, so that no short one waits for a long one."""
    start = 0
    while start < len(order):
        end = start + max(BLOCK // int(guess[order[start]]), 1)
        end = start + max(BLOCK // int(guess[order[min(end, len(order)) - 1]]), 1)
        yield order[start:end]
        start = end


def _fill(
    summary: CountSummary,
    counts: Counts,
    rows: Integers,
    most: int,
    weights: Sequence[Weights],
    levels: Sequence[float],
) -> Booleans:
    """Summarise some rows; returns which of them go on beyond `most`."""
    tails = counts.tails(rows, most)
    numbers = np.arange(most + 1, dtype=np.float64)
    increments = np.array([np.diff(weight(numbers)) for weight in weights])
    summary.means[:, rows] = increments @ tails
    for place, level in enumerate(levels):
        summary.quantiles[place, rows] = (tails > 1.0 - level).sum(axis=0)
    # A tail that falls at least geometrically sums to less than its first term times its start.
    goes_on: Booleans = tails[-1] * most > NEGLIGIBLE
    return goes_on
