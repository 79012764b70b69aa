"""What a random number of order days sums up to: the quantiles of its distribution.

At a customer's own scale of spend the sum of k days is a ratio of two gamma variables, of shapes
p k and q + p n (n being their priced days so far), and k is random: a mixture over k. The mixture
depends on the pattern alone, the scale multiplies it. So the distributions of k days, tabulated on
a grid of amounts, serve all patterns of as many priced days, and each pattern's mixture is a
product with that table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betainc, digamma, expit, ndtr, ndtri, polygamma

from cdp.scoring.gamma_gamma import GammaGamma
from cdp.scoring.histories import Floats, Integers

GRID: Final = 64  # amounts; between them the sum is taken as log-normal
BEYOND: Final = 4.0  # standard deviations of one day's and of the longest sum's logarithm
NEARLY_NORMAL: Final = 30.0  # shape of a gamma variable whose logarithm may pass for normal
EXACT_DEVIATIONS: Final = 7.0  # from the mean logarithm, beyond which nothing is left
FEW_DAYS: Final = 8  # priced days up to which each number has a table of its own
RATIO: Final = 1.25  # of priced days that share one, beyond: their own spread hardly matters then
TINY: Final = 1e-12
PRODUCT: Final = 1 << 18  # multiplications at once: more would wake the threads of BLAS


class Sums:
    """Quantiles at some levels (rows of `values`) of the sum of the days to come at scale one.

    They are 0 where no order at all is at least as likely as the level. A visitor of tails, whose
    rows have to be shown in `kinds`.
    """

    def __init__(self, spend: GammaGamma, priced: Integers, levels: Sequence[float]) -> None:
        self.kinds = _kinds(priced)
        self.values = np.zeros((len(levels), len(priced)))
        self.levels = tuple(levels)
        self._spend = spend
        self._tables: dict[int, _Table] = {}

    def take(self, rows: Integers, tails: Floats) -> None:
        """Rows of one kind."""
        none = 1.0 - tails[0]
        is_open = none < max(self.levels)
        if not is_open.any():
            return
        rows, chances, none = rows[is_open], tails[:, is_open], none[is_open]
        chances[:-1] -= chances[1:]
        table = self._table(int(self.kinds[rows[0]]), len(tails))
        reached = table.mixtures(chances) / (1.0 - none)
        for place, level in enumerate(self.levels):
            crosses = np.flatnonzero(none < level)
            share = (level - none[crosses]) / (1.0 - none[crosses])
            self.values[place, rows[crosses]] = table.amounts(reached[:, crosses], share)

    def _table(self, kind: int, most: int) -> "_Table":
        known = self._tables.get(kind)
        if known is None or known.reached.shape[1] < most:
            known = self._tables[kind] = _tabulate(self._spend, _days(kind), most)
        return known


@dataclass(frozen=True, slots=True)
class _Table:
    """P(sum of k days at scale one <= amount): amounts (rows) by k = 1, 2 ... (columns)."""

    log_amounts: Floats
    reached: Floats

    def mixtures(self, chances: Floats) -> Floats:
        """Amounts by pattern, from k by pattern; a few patterns at a time."""
        most, count = chances.shape
        reached, table = np.empty((GRID, count)), self.reached[:, :most]
        width = max(PRODUCT // (GRID * most), 1)
        for start in range(0, count, width):
            part = slice(start, start + width)
            np.matmul(table, chances[:, part], out=reached[:, part])
        return reached

    def amounts(self, reached: Floats, level: Floats) -> Floats:
        """Where each column crosses its level."""
        columns = np.arange(reached.shape[1])
        after = np.count_nonzero(reached < level, axis=0)
        after = np.minimum(np.maximum(after, 1), GRID - 1)
        first, second = _normal(reached[after - 1, columns]), _normal(reached[after, columns])
        share = (_normal(level) - first) / np.maximum(second - first, TINY)
        share = np.minimum(np.maximum(share, 0.0), 1.0)
        step = self.log_amounts[1] - self.log_amounts[0]
        amounts: Floats = np.exp(self.log_amounts[after - 1] + share * step)
        return amounts


def _normal(probability: Floats) -> Floats:
    """The standard normal deviation up to which the probability lies."""
    deviation: Floats = ndtri(np.clip(probability, TINY, 1.0 - TINY))
    return deviation


def _tabulate(spend: GammaGamma, days: float, most: int) -> _Table:
    shape = spend.p * np.arange(1.0, most + 1)
    own = spend.q + spend.p * days
    mean, deviation = digamma(shape), np.sqrt(polygamma(1, shape) + polygamma(1, own))
    amounts = np.linspace(mean[0] - BEYOND * deviation[0], mean[-1] + BEYOND * deviation[-1], GRID)
    deviations = (amounts[:, np.newaxis] - mean) / deviation
    reached = ndtr(deviations)
    is_normal = (shape >= NEARLY_NORMAL) & (own >= NEARLY_NORMAL)
    row, column = np.nonzero((np.abs(deviations) < EXACT_DEVIATIONS) & ~is_normal)
    share = expit(amounts - digamma(own))
    reached[row, column] = betainc(shape[column], own, share[row])
    return _Table(amounts, reached)


def _kinds(priced: Integers) -> Integers:
    """The table of each number of priced days."""
    wide = np.log(np.maximum(priced, FEW_DAYS) / FEW_DAYS) / np.log(RATIO)
    return np.where(priced <= FEW_DAYS, priced, FEW_DAYS + np.rint(wide).astype(np.int64))


def _days(kind: int) -> float:
    """The priced days that a table is made for."""
    return float(kind) if kind <= FEW_DAYS else FEW_DAYS * RATIO ** (kind - FEW_DAYS)
