"""What a customer has subscribed to."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import ColumnElement, case

from cdp.traits.trait import Group, Scope, trait


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


SUBSCRIPTION = Group(
    "subscription",
    "What the customer has subscribed to.",
    (active, monthly_value, started_at, renews_at, cancelled_at, churn_probability),
    type_name="Subscriptions",
    streams=("subscriptions",),
)
