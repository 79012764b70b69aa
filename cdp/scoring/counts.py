"""The distribution of a count: its tails, and what follows from them (means, quantiles)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from scipy.special import betainc

from cdp.scoring.histories import Floats, Integers

Weights: TypeAlias = Callable[[Floats], Floats]
"""From counts 0, 1, 2 ... to a weight of each; 0 for the count 0."""

BLOCK: Final = 1 << 16  # tails at once: they stay in the processor's caches and wake no BLAS thread
NEGLIGIBLE: Final = 1e-9  # orders that the counts left out would add
LEAST_ROWS: Final = 64  # at once, however far they reach: a step costs as much for one
MOST_ORDERS: Final = 1 << 15  # one a day for ninety years; what is beyond is left out
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
        np.subtract(_total(chances), _total(part), out=tails[0])
        rest = self.shape - 1.0
        for k in range(1, most):  # P(k) = P(k - 1) share (shape + k - 1) / k
            np.divide(rest, k, out=ratio)
            ratio += 1.0
            part *= share
            part *= ratio
            np.subtract(tails[k - 1], _total(part), out=tails[k])
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


def _total(by_days: Floats) -> Floats:
    """Over the first axis, which mostly has one row: adding that up takes as long as the rest."""
    total: Floats = by_days[0] if len(by_days) == 1 else by_days.sum(axis=0)
    return total


class Counts(Protocol):
    """A count per row, of which is known how likely it is to be at least k."""

    def reach(self) -> Floats:
        """A count per row that is hardly ever exceeded."""

    def tails(self, rows: Integers, most: int) -> Floats:
        """P(at least k) for k = 1 .. most (rows of the result), of some rows (its columns)."""


class Visitor(Protocol):
    """Takes the tails of some rows at a time, each row once."""

    def take(self, rows: Integers, tails: Floats) -> None:
        """P(at least k) for k = 1 .. some number beyond which nothing is left, of these rows."""


def visit(counts: Counts, visitors: Sequence[Visitor], kinds: Integers) -> None:
    """Show all tails to the visitors, rows of one kind and about the same reach at a time.

    So no short row waits for a long one, and what a visitor prepares for the first rows of a kind
    serves the others. Rows whose tail is not negligible where the guess ends are done again with
    twice as many counts.
    """
    guess = np.clip(np.ceil(counts.reach()), 1, MOST_ORDERS).astype(np.int64)
    rows = np.arange(len(guess))
    while len(rows):
        again = [rows[:0]]
        for block in _blocks(rows[np.lexsort((-guess[rows], kinds[rows]))], guess, kinds):
            tails = counts.tails(block, int(guess[block[0]]))
            # A tail that falls at least geometrically sums to less than its first times its start.
            is_done = (tails[-1] * len(tails) <= NEGLIGIBLE) | (len(tails) >= MOST_ORDERS)
            if not is_done.all():
                again.append(block[~is_done])
                block, tails = block[is_done], tails[:, is_done]
            if len(block):
                for visitor in visitors:
                    visitor.take(block, tails)
        rows = np.concatenate(again)
        guess[rows] = np.minimum(2 * guess[rows], MOST_ORDERS)


def _blocks(order: Integers, guess: Integers, kinds: Integers) -> Iterator[Integers]:
    """Runs of rows of one kind and about the same guess, the longest of a kind first."""
    ends = np.append(np.flatnonzero(np.diff(kinds[order])) + 1, len(order))
    start = 0
    for end_of_kind in ends.tolist():
        while start < end_of_kind:
            end = min(start + max(BLOCK // int(guess[order[start]]), LEAST_ROWS), end_of_kind)
            yield order[start:end]
            start = end


class Means:
    """The mean of each weight of the count: the sum of its increments times the tails."""

    def __init__(self, row_count: int, *weights: Weights) -> None:
        self._weights = weights
        self.values = np.empty((len(weights), row_count))

    def take(self, rows: Integers, tails: Floats) -> None:
        """See `Visitor`."""
        numbers = np.arange(len(tails) + 1, dtype=np.float64)
        increments = np.array([np.diff(weight(numbers)) for weight in self._weights])
        self.values[:, rows] = increments @ tails


def number(counts: Floats) -> Floats:
    """The weight whose mean is the mean count."""
    return counts


def at_all(counts: Floats) -> Floats:
    """The weight whose mean is the chance of at least one."""
    return np.minimum(counts, 1.0)


def mean_of(counts: Counts, weight: Weights, row_count: int) -> Floats:
    """The mean of one weight, one element per row."""
    means = Means(row_count, weight)
    visit(counts, [means], np.zeros(row_count, dtype=np.int64))
    mean: Floats = means.values[0]
    return mean
