"""Whether a customer is leaving, where nobody cancels: by the model, and by their own rhythm."""

from math import log
from typing import Any, Final

from sqlalchemy import ColumnElement, Float, Integer, case, cast, func, literal

from cdp.tables import ChurnRisk, churn_risk
from cdp.traits import rfm, value
from cdp.traits.trait import Group, Scope, trait

RISK_CUTS: Final = (1 / 3, 2 / 3)
"""MEDIUM begins above the first probability, HIGH above the second: an order is half as likely."""

LEAST_GAPS: Final = 2  # from which a customer has a rhythm of their own
RARE: Final = 0.9  # a silence longer than nine gaps in ten
SHORTEST_LIMIT_DAYS: Final = 14.0  # a daily buyer on a holiday has not left


@trait(unit="ratio")
def probability(s: Scope) -> ColumnElement[float]:
    """The probability of no order within the horizon, by the model of `cltv`.

    Null without a forecast (`cltv.reason`).
    """
    return s.score("no_order")


@trait()
def risk(s: Scope) -> ColumnElement[ChurnRisk]:
    """LOW up to a probability of a third, MEDIUM up to two thirds, HIGH beyond; null without it."""
    medium, high = RISK_CUTS
    told = probability(s)
    return case(
        (told.is_(None), None),
        (told <= medium, literal(ChurnRisk.LOW, churn_risk)),
        (told <= high, literal(ChurnRisk.MEDIUM, churn_risk)),
        else_=literal(ChurnRisk.HIGH, churn_risk),
    )


@trait(unit="days")
def silence_limit_days(s: Scope) -> ColumnElement[int]:
    """How long they may be silent before one says, without any model, that they have left.

    Nine gaps in ten of who orders at random with the customer's own mean gap are shorter than
    ln(10) mean gaps; with fewer than two gaps it is the gap that nine in ten of the shop's are
    shorter than. At least 14. Null before the first order, and where neither is known.
    """
    gaps = s.fact.c.order_day_count - 1
    days = cast(s.fact.c.last_order_on - s.fact.c.first_order_on, Float)
    own = -log(1 - RARE) * days / func.nullif(gaps, 0)
    limit: ColumnElement[Any] = case((gaps >= LEAST_GAPS, own), else_=s.basis("gap_days"))
    whole = cast(func.round(func.greatest(limit, SHORTEST_LIMIT_DAYS)), Integer)
    return case((limit.is_not(None) & s.fact.c.last_order_on.is_not(None), whole))


@trait(unit="days")
def overdue_days(s: Scope) -> ColumnElement[int]:
    """Days of silence beyond `silenceLimitDays`: above 0 the customer has left, by that rule.

    Negative for the days that are left; null where the limit is.
    """
    return rfm.recency_days(s) - silence_limit_days(s)


CHURN = Group(
    "churn",
    "Whether the customer is leaving: by the model's forecast, and by their own rhythm.",
    (probability, risk, silence_limit_days, overdue_days),
    streams=("orders", "refunds"),
    computed_at=value.computed_at,
)
