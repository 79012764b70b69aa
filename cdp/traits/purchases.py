"""What a customer has bought, net of what was cancelled and given back."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Numeric, cast, func

from cdp.traits.trait import Group, Scope, trait


@trait(unit="count", order_column="order_count")
def order_count(s: Scope) -> ColumnElement[int]:
    """Orders that stand and of which something is left after refunds; 0 without any."""
    return s.fact.c.order_count


@trait(unit="count")
def order_day_count(s: Scope) -> ColumnElement[int]:
    """Days of the workspace with a qualifying order; 0 without any."""
    return s.fact.c.order_day_count


@trait(unit="count")
def unpriced_count(s: Scope) -> ColumnElement[int]:
    """Orders and refunds that no exchange rate prices: they count, but are in no money. 0 without.

    Rates of the order's day, or of the week before, are loaded as the stream `exchange_rates`.
    """
    return s.fact.c.unpriced_count


@trait(unit="currency")
def gross_spend(s: Scope) -> ColumnElement[Decimal]:
    """Totals of the orders that stand, before refunds, in the workspace's currency."""
    return s.fact.c.gross_spend


@trait(unit="currency", order_column="net_spend")
def net_spend(s: Scope) -> ColumnElement[Decimal]:
    """Gross spend less refunds, in the workspace's currency."""
    return s.fact.c.net_spend


@trait(unit="currency")
def refunded(s: Scope) -> ColumnElement[Decimal]:
    """What was given back on the orders that stand, in the workspace's currency."""
    return s.fact.c.refunded


@trait(unit="currency")
def average_order_value(s: Scope) -> ColumnElement[Decimal]:
    """What is left of the qualifying orders after refunds, per order; null before the first.

    Orders without a price in the workspace's currency are left out, and so are refunded ones that
    do not qualify: it is not `netSpend` by `orderCount` where there are such.
    """
    return s.money(s.fact.c.qualifying_spend / func.nullif(s.fact.c.priced_order_count, 0))


@trait()
def first_order_at(s: Scope) -> ColumnElement[datetime]:
    """When the first qualifying order was placed; null before."""
    return s.fact.c.first_order_at


@trait(order_column="last_order_at")
def last_order_at(s: Scope) -> ColumnElement[datetime]:
    """When the latest qualifying order was placed; null before."""
    return s.fact.c.last_order_at


@trait(unit="days")
def average_days_between_orders(s: Scope) -> ColumnElement[float]:
    """Days per gap between days with a qualifying order; null before the second such day."""
    gaps = func.nullif(s.fact.c.order_day_count - 1, 0)
    days = s.fact.c.last_order_on - s.fact.c.first_order_on
    return func.round(cast(days, Numeric) / gaps, 1, type_=Numeric)


@trait()
def favourite_category(s: Scope) -> ColumnElement[str]:
    """The category with the most spend on lines of qualifying orders; null where none is known."""
    return s.fact.c.favourite_category


@trait()
def favourite_channel(s: Scope) -> ColumnElement[str]:
    """The channel of the most qualifying orders; null where none is known."""
    return s.fact.c.favourite_channel


PURCHASES = Group(
    "purchases",
    "What the customer has bought, net of cancellations, in the workspace's currency.",
    (
        order_count,
        order_day_count,
        gross_spend,
        net_spend,
        refunded,
        average_order_value,
        first_order_at,
        last_order_at,
        average_days_between_orders,
        favourite_category,
        favourite_channel,
        unpriced_count,
    ),
    streams=("orders", "order_lines", "refunds"),
)
