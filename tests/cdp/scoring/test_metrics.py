"""How a forecast is measured: known cases, ties that favour nobody, bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.scoring.metrics import accuracy, by_decile, by_repeats, by_tenth

COUNTS = st.lists(st.integers(0, 9), min_size=2, max_size=50)


def test_perfect_forecast_has_no_error_and_the_best_ranking() -> None:
    actual = np.array([0.0, 3.0, 1.0, 0.0, 7.0, 2.0, 0.0, 1.0, 4.0, 2.0])
    told = accuracy(actual, actual)
    assert (told.mean_absolute_error, told.root_mean_square_error, told.bias) == (0, 0, 0)
    assert told.spearman == pytest.approx(1)
    assert told.gini == pytest.approx(1)
    assert told.top_decile == told.best_top_decile == pytest.approx(7 / 20)


def test_errors_and_bias_are_those_of_the_definition() -> None:
    told = accuracy(np.array([1.0, 4.0, 0.0]), np.array([2.0, 1.0, 1.0]))
    assert told.mean_absolute_error == pytest.approx(5 / 3)
    assert told.root_mean_square_error == pytest.approx(np.sqrt(11 / 3))
    assert told.bias == pytest.approx(5 / 4 - 1)


def test_reversed_forecast_ranks_as_badly_as_can_be() -> None:
    actual = np.arange(10.0)
    told = accuracy(-actual, actual)
    assert told.spearman == pytest.approx(-1)
    assert told.gini == pytest.approx(-1)
    assert told.top_decile == 0


def test_top_decile_of_fifteen_is_one_and_a_half_customers() -> None:
    actual = np.array([8.0, 4.0] + [1.0] * 13)
    assert accuracy(actual, actual).top_decile == pytest.approx((8 + 4 / 2) / 25)


@given(COUNTS)
def test_order_of_the_customers_does_not_change_a_measure(actual: list[int]) -> None:
    forecast = np.array([float(value % 3) for value in actual])
    rows = np.random.default_rng(len(actual)).permutation(len(actual))
    came = np.array(actual, dtype=np.float64)
    one, other = accuracy(forecast, came), accuracy(forecast[rows], came[rows])
    for name in one.__slots__:
        first, second = getattr(one, name), getattr(other, name)
        assert (first is None) == (second is None)
        assert first is None or first == pytest.approx(second)


def test_where_all_are_forecast_alike_or_nothing_comes_there_is_no_ranking() -> None:
    alike = accuracy(np.ones(4), np.array([0.0, 1.0, 2.0, 3.0]))
    assert alike.spearman is None
    assert alike.gini == pytest.approx(0)
    nothing = accuracy(np.arange(4.0), np.zeros(4))
    assert (nothing.bias, nothing.spearman, nothing.gini, nothing.top_decile) == (None,) * 4


def test_bins_hold_every_customer_once_and_their_means() -> None:
    forecast, actual = np.linspace(0, 1, 101), np.linspace(0, 2, 101)
    for bins in (by_decile(forecast, actual), by_tenth(forecast, actual)):
        assert sum(one.customer_count for one in bins) == 101
        assert [one.forecast for one in bins] == sorted(one.forecast for one in bins)
        assert all(one.actual == pytest.approx(2 * one.forecast) for one in bins)
    assert by_tenth(np.array([1.0]), np.array([1.0]))[0].label == "0.9"


def test_customers_are_binned_by_how_often_they_came_back() -> None:
    repeats = np.array([0, 0, 1, 2, 3, 5, 6, 40])
    bins = by_repeats(repeats, np.ones(8), repeats.astype(np.float64))
    told = [(one.label, one.customer_count, one.actual) for one in bins]
    assert told == [("0", 2, 0.0), ("1", 1, 1.0), ("2", 1, 2.0), ("3-5", 2, 4.0), ("6+", 2, 23.0)]
