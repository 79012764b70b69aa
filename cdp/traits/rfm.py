"""Recency, frequency, monetary value: the three figures that retail has always sorted people by."""

from decimal import Decimal

from sqlalchemy import ColumnElement

from cdp.traits import purchases
from cdp.traits.trait import Group, Scope, trait


@trait(unit="days", order_column="-last_order_at")
def recency_days(s: Scope) -> ColumnElement[int]:
    """Whole days of the workspace since the last qualifying order; null before the first."""
    return s.today - s.fact.c.last_order_on


@trait(unit="count", order_column="order_count")
def frequency(s: Scope) -> ColumnElement[int]:
    """The number of qualifying orders, over all time."""
    return purchases.order_count(s)


@trait(unit="currency", order_column="net_spend")
def monetary(s: Scope) -> ColumnElement[Decimal]:
    """Net spend over all time, in the workspace's currency."""
    return purchases.net_spend(s)


RFM = Group(
    "rfm",
    "Recency, frequency and monetary value.",
    (recency_days, frequency, monetary),
)
