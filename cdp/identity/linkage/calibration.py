"""Calibration without truth: what decided pairs say of the weights, and the cuts for the data.

Unique identifiers and people's answers decide pairs for free. They are biased twice: who shows a
loyalty card is not everybody, and one person shows one card twice far more often than two people
show one each; and the identifier itself weighs in the weight. So pairs are judged by their weight
without that identifier, those that only it made candidates do not count, and the odds are
corrected for how much more often a pair of one person is decided than a pair of two.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cdp.identity.linkage.chance import Floats
from cdp.identity.linkage.model import Calibration

Flags: TypeAlias = NDArray[np.bool_]

ENOUGH: Final = 200  # decided pairs of each kind; with fewer the weights are left as they are
SURE: Final = 8.0  # weights beyond that hardly need a judge: there the share decided is counted
SHARED: Final = 0.02  # of pairs of two people who both show an identifier: couples share a card
STEPS: Final = 50  # of Newton; it settles within ten
SETTLED: Final = 1e-9
BELIEF: Final = 1_000.0  # decided pairs that the trained weights weigh as many as
LEAST_SLOPE, MOST_SLOPE = 0.25, 2.0  # decided pairs may bend the weights so far
GREATEST: Final = 60.0  # weights beyond it are all the same: certain

MOST_WRONG: Final = 1 / 120
"""Of what is joined without a person: at most so many pairs may be wrong, by their probability."""

LEAST_JOINED: Final = 0.5  # probability; less likely than not joins nobody
ASKED: Final = 0.15
"""Probability from which a person is asked; below that answers are no, and cost more than they
teach."""

_LOG2: Final = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class Decided:
    """Candidates that something else decides: their weight without it, and whether they are one.

    `replaced`: the share of pairs of one person that are decided wrongly, because people have two
    cards, or one that was mistyped.
    """

    weights: Floats
    same: Flags
    replaced: float


def calibrate(decided: Decided, everybody: Floats) -> Calibration:
    """Fit how far weights may be believed; `everybody`: the weights of all candidates, without it.

    A logistic regression that expects some labels to be wrong, drawn towards no change at all.
    """
    weights = np.clip(decided.weights, -GREATEST, GREATEST) * _LOG2
    ones, others = int(decided.same.sum()), int((~decided.same).sum())
    if min(ones, others) < ENOUGH:
        return Calibration(decided=ones + others)
    excess = _excess(decided, everybody)
    shift, slope = 0.0, 1.0
    for _ in range(STEPS):
        step = _newton(weights, decided, shift, slope, excess)
        shift, slope = shift - step[0], slope - step[1]
        if np.abs(step).max() < SETTLED:
            break
    slope = float(np.clip(slope, LEAST_SLOPE, MOST_SLOPE))
    return Calibration(float(shift) / _LOG2, float(slope), ones + others)


def _excess(decided: Decided, everybody: Floats) -> float:
    """Log of how much more often a pair of one person is decided than a pair of two."""
    ones = _share(decided.weights >= SURE, everybody >= SURE)
    others = _share(decided.weights <= -SURE, everybody <= -SURE)
    return float(np.log(ones / others))


def _share(decided: Flags, everybody: Flags) -> float:
    return (int(decided.sum()) + 1) / (int(everybody.sum()) + 1)


def _newton(weights: Floats, decided: Decided, shift: float, slope: float, excess: float) -> Floats:
    """One step on the likelihood of labels of which some are wrong."""
    chance = 1 / (1 + np.exp(-np.clip(shift + slope * weights + excess, -700, 700)))
    right = 1 - decided.replaced - SHARED
    said = SHARED + right * chance
    inner = right * chance * (1 - chance)
    error = inner * (said - decided.same) / (said * (1 - said))
    curvature = inner**2 / (said * (1 - said))
    gradient = np.array(
        [error.sum() + BELIEF * shift, (error * weights).sum() + BELIEF * (slope - 1)]
    )
    hessian = np.array(
        [
            [curvature.sum() + BELIEF, (curvature * weights).sum()],
            [(curvature * weights).sum(), (curvature * weights**2).sum() + BELIEF],
        ]
    )
    step: Floats = np.linalg.solve(hessian, gradient)
    return step


def cuts(weights: Floats, times: Floats) -> tuple[float, float]:
    """Where calibrated weights join and where they ask, for candidates seen so many times each.

    The lowest weight down to which no more than MOST_WRONG of the joined pairs are expected to be
    wrong; and that of probability ASKED.
    """
    least, asked = (float(np.log2(p / (1 - p))) for p in (LEAST_JOINED, ASKED))
    order = np.argsort(-weights, kind="stable")
    falling, counts = weights[order], times[order]
    wrong = np.cumsum(counts / (1 + np.exp2(np.minimum(falling, 700.0)))) / np.cumsum(counts)
    good = (wrong <= MOST_WRONG) & (falling >= least)
    if not good.any():
        return max(least, GREATEST), asked
    return float(falling[np.flatnonzero(good)[-1]]), asked
