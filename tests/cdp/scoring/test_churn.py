"""The shop's own rhythm."""

import numpy as np
import pytest

from cdp.scoring.churn import shop_gap_days
from cdp.scoring.histories import OrderDays, merge_days


def order_days(*days_of: list[int]) -> OrderDays:
    customer = np.repeat(np.arange(len(days_of)), [len(days) for days in days_of])
    days = np.concatenate([np.array(days) for days in days_of])
    return merge_days(customer, days, np.ones(len(days)))


def test_gap_of_the_shop_is_that_which_nine_in_ten_stay_below() -> None:
    gaps = list(range(1, 11))
    assert shop_gap_days(order_days([0, *np.cumsum(gaps).tolist()], [7])) == pytest.approx(9.1)
    assert shop_gap_days(order_days([3], [5])) is None
