"""Calibration: decided pairs correct the weights, biased as they are, and cuts follow."""

import numpy as np
import pytest
from numpy.typing import NDArray

from cdp.identity.linkage.calibration import MOST_WRONG, SHARED, Decided, calibrate, cuts
from cdp.identity.linkage.model import Calibration

Floats = NDArray[np.float64]
REPLACED = 0.01


def _drawn(
    seed: int, count: int, *, slope: float, one_person: float = 0.6, two: float = 0.1
) -> tuple[Decided, Floats]:
    """Weights that exaggerate by 1 / slope; of one person's pairs more are decided than of two's.

    Some decide wrongly: couples share a card, and cards are replaced.
    """
    chance = np.random.default_rng(seed)
    true = np.concatenate([chance.normal(9, 6, count), chance.normal(-9, 6, count)])
    same = chance.random(2 * count) < 1 / (1 + np.exp2(-true))
    decided = chance.random(2 * count) < np.where(same, one_person, two)
    wrong = chance.random(2 * count) < np.where(same, REPLACED, SHARED)
    weights = true / slope
    return Decided(weights[decided], (same ^ wrong)[decided], REPLACED), weights


def test_weights_that_exaggerate_are_taken_back_whoever_was_decided() -> None:
    found = calibrate(*_drawn(1, 200_000, slope=0.6))
    assert found.slope == pytest.approx(0.6, abs=0.08)
    assert abs(found.shift) < 0.6  # one person's pairs are decided six times as often


def test_weights_that_are_right_stay_as_they_are() -> None:
    found = calibrate(*_drawn(2, 200_000, slope=1.0))
    assert found.slope == pytest.approx(1.0, abs=0.1)
    assert abs(found.shift) < 0.6


def test_a_few_decided_pairs_change_nothing() -> None:
    decided, everybody = _drawn(3, 300, slope=0.5)
    assert calibrate(decided, everybody) == Calibration(decided=len(decided.weights))


def test_no_more_is_joined_than_may_be_wrong() -> None:
    weights = np.linspace(-10, 20, 3001)
    join, review = cuts(weights, np.ones(3001))
    joined = weights[weights >= join]
    assert (1 / (1 + np.exp2(joined))).mean() <= MOST_WRONG
    below = weights[weights >= join - 0.05]
    assert (1 / (1 + np.exp2(below))).mean() > MOST_WRONG
    assert review < 0 <= join


def test_where_nothing_is_likely_nothing_joins() -> None:
    join, _ = cuts(np.array([-5.0, -1.0]), np.array([10.0, 10.0]))
    assert join > 50
