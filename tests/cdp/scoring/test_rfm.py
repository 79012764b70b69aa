"""RFM scores: quintiles by value, ties together, every pair of scores in one group."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.scoring.rfm import GROUPS, SHOPIFY_NAMES, RfmGroup, cut_points, score_rfm

VALUES = st.lists(st.integers(0, 12), min_size=1, max_size=60)


@given(VALUES)
def test_equal_values_share_a_score_and_higher_ones_never_have_a_lower(values: list[int]) -> None:
    column = np.array(values, dtype=np.float64)
    told = score_rfm(column, column, column, cut_points(column, column, column))
    by_value: dict[int, set[int]] = {}
    for value, score in zip(values, told.frequency.tolist(), strict=True):
        by_value.setdefault(value, set()).add(score)
    assert all(len(scores) == 1 for scores in by_value.values())
    scores = [min(by_value[value]) for value in sorted(by_value)]
    assert scores == sorted(scores)
    assert set(scores) <= {1, 2, 3, 4, 5}
    assert told.monetary.tolist() == told.frequency.tolist()


@given(VALUES)
def test_at_most_a_fifth_is_above_each_cut_from_the_top(values: list[int]) -> None:
    column = np.array(values, dtype=np.float64)
    cuts = cut_points(column, column, column)
    told = score_rfm(column, column, column, cuts)
    for score, share in ((5, 0.2), (4, 0.4), (3, 0.6), (2, 0.8)):
        assert (told.frequency >= score).mean() <= share + 1e-9
        assert (told.recency >= score).mean() <= share + 1e-9


def test_hundred_different_customers_are_twenty_of_each_score() -> None:
    column = np.arange(100.0)
    told = score_rfm(column, column, column, cut_points(column, column, column))
    assert Counter(told.frequency.tolist()) == dict.fromkeys(range(1, 6), 20)
    assert Counter(told.recency.tolist()) == dict.fromkeys(range(1, 6), 20)
    # The fewest days since the last order are the best, the most orders are.
    assert (told.recency[0], told.recency[-1]) == (5, 1)
    assert (told.frequency[0], told.frequency[-1]) == (1, 5)


def test_where_most_buy_once_they_all_have_the_lowest_frequency() -> None:
    frequency = np.array([1.0] * 65 + [2.0] * 20 + [3.0] * 8 + [9.0] * 7)
    told = score_rfm(frequency, frequency, frequency, cut_points(frequency, frequency, frequency))
    by_value = dict(zip(frequency.tolist(), told.frequency.tolist(), strict=True))
    assert by_value == {1.0: 1, 2.0: 4, 3.0: 5, 9.0: 5}


def test_cuts_are_told_in_the_units_of_what_they_cut() -> None:
    cuts = cut_points(np.arange(100.0), np.arange(100.0), np.arange(100.0) * 10)
    assert list(cuts.recency_days) == [80, 60, 40, 20]
    assert list(cuts.frequency) == [19, 39, 59, 79]
    assert list(cuts.monetary) == pytest.approx([190, 390, 590, 790])


def test_scores_of_another_day_use_the_stored_cuts() -> None:
    cuts = cut_points(np.arange(100.0), np.arange(100.0), np.arange(100.0))
    new = np.array([-5.0, 19.0, 19.5, 500.0])
    told = score_rfm(new, new, new, cuts)
    assert told.frequency.tolist() == [1, 1, 2, 5]
    assert told.recency.tolist() == [5, 5, 5, 1]


def test_every_pair_of_scores_is_in_one_group_and_every_group_is_reached() -> None:
    assert set(GROUPS) == {(r, f) for r in range(1, 6) for f in range(1, 6)}
    assert set(GROUPS.values()) == set(RfmGroup) - {RfmGroup.PROSPECT}
    assert GROUPS[5, 5] is RfmGroup.CHAMPIONS
    assert GROUPS[5, 1] is RfmGroup.NEW
    assert GROUPS[2, 5] is RfmGroup.CANNOT_LOSE


def test_shopifys_eleven_names_are_one_for_each_group() -> None:
    assert set(SHOPIFY_NAMES) == set(RfmGroup)
    assert len(set(SHOPIFY_NAMES.values())) == len(RfmGroup) == 11
