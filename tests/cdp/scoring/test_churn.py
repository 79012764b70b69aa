"""Churn: bands of a probability, and silence by the customer's own rhythm."""

import numpy as np
import pytest

from cdp.scoring.churn import ChurnRisk, churn_risk, is_silent, shop_gap_days, silence_limit_days
from cdp.scoring.histories import OrderDays, merge_days, summarise


def order_days(*days_of: list[int]) -> OrderDays:
    customer = np.repeat(np.arange(len(days_of)), [len(days) for days in days_of])
    days = np.concatenate([np.array(days) for days in days_of])
    return merge_days(customer, days, np.ones(len(days)))


def test_risk_is_high_where_an_order_is_half_as_likely_as_none() -> None:
    told = churn_risk(np.array([0.0, 1 / 3, 0.34, 2 / 3, 0.67, 1.0]))
    low, medium, high = ChurnRisk.LOW, ChurnRisk.MEDIUM, ChurnRisk.HIGH
    assert told == [low, low, medium, medium, high, high]


def test_gap_of_the_shop_is_that_which_nine_in_ten_stay_below() -> None:
    gaps = list(range(1, 11))
    assert shop_gap_days(order_days([0, *np.cumsum(gaps).tolist()], [7])) == pytest.approx(9.1)
    assert shop_gap_days(order_days([3], [5])) is None


def test_weekly_and_yearly_buyers_are_each_held_to_their_own_rhythm() -> None:
    weekly, yearly = [700 - 7 * week for week in range(30)], [0, 350, 700]
    histories = summarise(order_days(weekly, yearly), 730)
    limit = silence_limit_days(histories, shop_gap=100.0)
    assert limit == pytest.approx([7 * np.log(10), 350 * np.log(10)])
    assert is_silent(histories, shop_gap=100.0).tolist() == [True, False]


def test_customers_without_a_rhythm_are_held_to_the_shops() -> None:
    histories = summarise(order_days([0], [0, 40]), 95)
    assert silence_limit_days(histories, shop_gap=90.0).tolist() == [90.0, 90.0]
    assert is_silent(histories, shop_gap=90.0).tolist() == [True, False]
    assert not is_silent(histories, shop_gap=None).any()


def test_a_daily_buyer_may_go_on_holiday() -> None:
    histories = summarise(order_days(list(range(50))), 60)
    assert not is_silent(histories, shop_gap=30.0).any()
