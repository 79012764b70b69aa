"""What a customer has been worth, and what the model in force expects of them."""

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, Text, case, cast, func, literal

from cdp.tables import ForecastGap, forecast_gap
from cdp.traits import purchases
from cdp.traits.trait import Group, Scope, trait


@trait(unit="currency", order_column="net_spend")
def historic(s: Scope) -> ColumnElement[Decimal]:
    """Net spend over all time, in the workspace's currency."""
    return purchases.net_spend(s)


@trait(unit="currency")
def predicted(s: Scope) -> ColumnElement[Decimal]:
    """Expected net spend of the horizon (`horizon_days`, a year unless configured).

    Discounted and at a margin only where `discount_rate` and `margin` say so. Order days by
    MBG/NBD, Pareto/NBD or BG/NBD, whichever did best in backtests; spend by Gamma-Gamma (Fader and
    Hardie). Null where `reason` says why.
    """
    return s.score("predicted")


@trait(unit="currency")
def total(s: Scope) -> ColumnElement[Decimal]:
    """Historic and predicted together; null without a forecast."""
    return historic(s) + predicted(s)


@trait(unit="currency")
def predicted_low(s: Scope) -> ColumnElement[Decimal]:
    """One customer in ten of this kind spends less: the lower bound of the central 80 %.

    Null without a forecast.
    """
    return s.score("predicted_low")


@trait(unit="currency")
def predicted_high(s: Scope) -> ColumnElement[Decimal]:
    """One customer in ten of this kind spends more: the upper bound of the central 80 %.

    Null without a forecast.
    """
    return s.score("predicted_high")


@trait(unit="count")
def expected_orders(s: Scope) -> ColumnElement[float]:
    """Expected days with an order within the horizon; null without a forecast."""
    return s.score("expected_orders")


@trait(unit="ratio")
def probability_alive(s: Scope) -> ColumnElement[float]:
    """The probability that the customer has not left for good; null without a forecast."""
    return s.score("alive")


@trait()
def expected_next_order_on(s: Scope) -> ColumnElement[date]:
    """The day by which an order is as likely as not, counted from `computedAt`.

    Null without a forecast, and where no order within the horizon is more likely.
    """
    return s.score("next_order_on")


@trait(unit="count")
def rank(s: Scope) -> ColumnElement[int]:
    """The place by predicted value, 1 the highest; equal ones share it.

    Of who was scored since the last `cdp score`, the place of their equals then. Null without a
    forecast.
    """
    return s.score("rank")


@trait()
def computed_at(s: Scope) -> ColumnElement[datetime]:
    """When the forecast was made: by `cdp score`, or since, when the customer changed.

    Null without a forecast.
    """
    return case((predicted(s).is_not(None), s.score("computed_at")))


@trait()
def model(s: Scope) -> ColumnElement[str]:
    """The model of order days and its version, such as `MBG_NBD 3`; null without a forecast.

    `modelReport` tells how it was chosen and how far to trust it.
    """
    version = cast(s.basis("version"), Text)
    return case((predicted(s).is_not(None), s.basis("kind").concat(" ").concat(version)))


@trait()
def reason(s: Scope) -> ColumnElement[ForecastGap]:
    """Why there is no forecast; null where there is one.

    NO_ORDER: nothing to forecast from. NOT_SCORED: `cdp score` has not run, or not since the first
    order, or not since the workspace changed its currency. The others: the workspace has seen too
    little for any forecast.
    """
    no_order, not_scored = (
        literal(gap, forecast_gap) for gap in (ForecastGap.NO_ORDER, ForecastGap.NOT_SCORED)
    )
    return case(
        (predicted(s).is_not(None), None),
        (purchases.order_count(s) == 0, no_order),
        else_=func.coalesce(s.basis("gap"), not_scored, type_=forecast_gap),
    )


CLTV = Group(
    "cltv",
    "Customer lifetime value: what the customer has spent, and what is expected of the horizon.",
    (
        historic,
        predicted,
        total,
        predicted_low,
        predicted_high,
        expected_orders,
        probability_alive,
        expected_next_order_on,
        rank,
        computed_at,
        model,
        reason,
    ),
    streams=("orders", "refunds"),
    computed_at=computed_at,
)
