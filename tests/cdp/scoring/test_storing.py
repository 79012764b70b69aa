"""Scores as they are stored: what is told of each customer."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from cdp.scoring.storing import score_rows
from cdp.scoring.value import Scores


@pytest.mark.parametrize(("digits", "rank"), [(2, [3, 1, 1, 4]), (3, [3, 2, 1, 4])])
def test_who_is_told_the_same_value_shares_a_rank(digits: int, rank: list[int]) -> None:
    predicted = np.array([12.31, 12.341, 12.3439, 0.0])
    same = np.ones(len(predicted))
    scores = Scores(np.arange(4), same, same, same, predicted, same, same, same)
    nobody = (np.array([], dtype=np.int64), np.array([]))
    rows = score_rows(scores, nobody, datetime(2026, 1, 1, tzinfo=UTC), date(2026, 1, 1), digits)
    assert rows.columns["rank"].elements.tolist() == rank
