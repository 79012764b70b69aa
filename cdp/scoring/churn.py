"""Churn where nobody cancels: bands of the model's probability, and silence by one's own rhythm."""

from enum import StrEnum
from typing import Final

import numpy as np

from cdp.scoring.histories import Booleans, Floats, Histories, OrderDays

LEAST_GAPS: Final = 2  # from which a customer has a rhythm of their own
RARE: Final = 0.9  # a silence longer than nine gaps in ten
SHORTEST_LIMIT_DAYS: Final = 14.0  # a daily buyer on a holiday has not left


class ChurnRisk(StrEnum):
    """How likely a customer does not order within the horizon."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


RISKS: Final = (ChurnRisk.LOW, ChurnRisk.MEDIUM, ChurnRisk.HIGH)
RISK_CUTS: Final = (1 / 3, 2 / 3)
"""MEDIUM begins above the first probability, HIGH above the second: an order is half as likely."""


def churn_risk(probability: Floats) -> list[ChurnRisk]:
    """The band of each probability of no order."""
    return [RISKS[band] for band in np.searchsorted(RISK_CUTS, probability, side="left")]


def shop_gap_days(order_days: OrderDays) -> float | None:
    """The gap between order days that nine in ten stay below; null where nobody came back."""
    is_same = order_days.customer[1:] == order_days.customer[:-1]
    gaps = np.diff(order_days.day)[is_same]
    return float(np.quantile(gaps, RARE)) if len(gaps) else None


def silence_limit_days(histories: Histories, shop_gap: float | None) -> Floats:
    """How long each customer may be silent before one says that they have left.

    Nine gaps in ten of an order process at random with the customer's own mean gap are shorter than
    ln(10) mean gaps; customers with fewer than two gaps are held to the shop's. Not a number where
    neither is known.
    """
    shop = np.nan if shop_gap is None else shop_gap
    own = -np.log1p(-RARE) * histories.recency / np.maximum(histories.repeats, 1)
    limit = np.where(histories.repeats >= LEAST_GAPS, own, shop)
    return np.maximum(limit, SHORTEST_LIMIT_DAYS)


def is_silent(histories: Histories, shop_gap: float | None) -> Booleans:
    """Whether a customer has been silent for longer than that; false where no limit is known."""
    silent: Booleans = histories.age - histories.recency > silence_limit_days(histories, shop_gap)
    return silent
