"""What a customer has subscribed to."""

from datetime import datetime
from decimal import Decimal
from typing import Final

from sqlalchemy import ColumnElement, Float, Numeric, case, cast, func

from cdp.activity import MONTH_DAYS
from cdp.traits.trait import Group, Scope, trait

LONGEST_MONTHS: Final = 120  # ten years: fees do not outlive what shops have seen by much
NEARLY_CERTAIN: Final = 0.999_999  # that it ends: as exact as probabilities are stored


@trait(unit="count")
def active(s: Scope) -> ColumnElement[int]:
    """Subscriptions that go on: trialing, active or past due, and not ended; 0 without any."""
    return s.fact.c.active_subscriptions


@trait(unit="currency")
def monthly_value(s: Scope) -> ColumnElement[Decimal]:
    """What those that are paid for bring a month, at the rate of the day they began; 0 without."""
    return s.fact.c.monthly_value


@trait()
def started_at(s: Scope) -> ColumnElement[datetime]:
    """When the first subscription of all began; null before."""
    return s.fact.c.subscribed_at


@trait()
def renews_at(s: Scope) -> ColumnElement[datetime]:
    """When the next of those that go on renews; null where none does."""
    return s.fact.c.renews_at


@trait()
def cancelled_at(s: Scope) -> ColumnElement[datetime]:
    """When a subscription was last cancelled; null before."""
    return s.fact.c.cancelled_at


@trait(unit="ratio")
def churn_probability(s: Scope) -> ColumnElement[float]:
    """The probability that all subscriptions that go on end within the horizon.

    From how long subscriptions of the same plan have lasted (Kaplan and Meier, 1958), of plans with
    few endings those of all. As of the last `cdp score`, or since, when the customer changed. Null
    where no subscription goes on, or where none has ever ended.
    """
    return case((active(s) > 0, s.score("plan_end")))


@trait(unit="currency")
def lifetime_value(s: Scope) -> ColumnElement[Decimal]:
    """What subscriptions that go on will still bring: monthly value times months to last.

    They end at a constant rate, that which makes `churnProbability` of the horizon (several as if
    each were as likely to end); 1 / rate is the mean time to last, at most ten years. Fees as they
    are now, neither discounted nor at a margin. Null where that probability is.
    """
    each_ends = func.power(churn_probability(s), 1.0 / func.nullif(cast(active(s), Float), 0))
    rate = -func.ln(1 - func.least(each_ends, NEARLY_CERTAIN))  # of a horizon
    months = s.basis("horizon_days") / MONTH_DAYS / func.nullif(rate, 0)
    value = monthly_value(s) * cast(func.least(months, LONGEST_MONTHS), Numeric)
    return case((churn_probability(s).is_not(None), s.money(value)))


SUBSCRIPTION = Group(
    "subscription",
    "What the customer has subscribed to.",
    (active, monthly_value, started_at, renews_at, cancelled_at, churn_probability, lifetime_value),
    type_name="Subscriptions",
    streams=("subscriptions",),
)
