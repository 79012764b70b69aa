"""What a shop's own rhythm says of customers who have none yet."""

import numpy as np

from cdp.scoring.histories import OrderDays
from cdp.traits.churn import RARE


def shop_gap_days(order_days: OrderDays) -> float | None:
    """The gap between order days that nine in ten stay below; null where nobody came back.

    Of a shop with more customers than take part in backtests, that of those.
    """
    is_same = order_days.customer[1:] == order_days.customer[:-1]
    gaps = np.diff(order_days.day)[is_same]
    return float(np.quantile(gaps, RARE)) if len(gaps) else None
