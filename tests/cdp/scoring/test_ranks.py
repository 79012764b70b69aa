"""Ranks are those that a person would give by hand, ties included."""

import numpy as np

from cdp.scoring.ranks import mean_ranks, ranks_from_highest

VALUES = np.array([2.0, 0.0, 2.0, -1.0, 2.0, 7.5])


def test_equals_share_the_mean_of_their_ranks() -> None:
    assert mean_ranks(VALUES).tolist() == [4.0, 2.0, 4.0, 1.0, 4.0, 6.0]


def test_from_the_highest_equals_share_the_best_rank() -> None:
    assert ranks_from_highest(VALUES).tolist() == [2, 5, 2, 6, 2, 1]


def test_nobody_has_no_rank() -> None:
    nobody = np.array([], dtype=np.float64)
    assert mean_ranks(nobody).tolist() == ranks_from_highest(nobody).tolist() == []
