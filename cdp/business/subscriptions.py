"""Contractual churn and recurring revenue: who paid for a subscription then, and who does now."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from cdp.activity import MONTH_DAYS, MONTHS_PER_YEAR, OVER, a_month_of, a_year_of, ended_at
from cdp.business.moment import Moment
from cdp.business.shares import share
from cdp.money import to_smallest_unit
from cdp.tables import source_profile, subscription

TRIAL: Final = "trialing"  # is not paid for
UNPAID: Final = (*OVER, "paused")  # brings nothing any more, from its end or its pause on


def subscriptions_query(moment: Moment) -> Select[Any]:
    """One row: subscribers and monthly recurring revenue (MRR) now and a month before, and churn.

    Of the customers who paid for a subscription a month ago, churn counts those who pay for none
    any more; who joined since counts in neither. Lost revenue is what those who paid then pay less
    now, cancelled or contracted. Rates are null where nobody paid then; a year's is
    1 - (1 - m)^12. A source tells what a subscription is now, not what it was: amounts are today's,
    and one that is on trial today is left out.
    """
    r = _running(moment).subquery("runs").c
    people = (
        select(
            func.count().filter(r.then).label("then"),
            func.count().filter(r.now).label("now"),
            # For each customer, as `subscription.monthlyValue` has it.
            a_month_of(func.sum(r.year).filter(r.then), moment.workspace).label("paid_then"),
            a_month_of(func.sum(r.year).filter(r.now), moment.workspace).label("pays_now"),
        )
        .group_by(r.customer_id)
        .subquery("people")
    )
    p = people.c

    def total(amounts: ColumnElement[Any]) -> ColumnElement[Any]:
        return to_smallest_unit(func.coalesce(func.sum(amounts), 0), moment.workspace.money_digits)

    counted = select(
        func.count().filter(p.now > 0).label("subscribers"),
        total(p.pays_now).label("mrr"),
        func.count().filter(p.then > 0).label("subscribers_before"),
        total(p.paid_then).label("mrr_before"),
        func.count().filter(p.then > 0, p.now == 0).label("churned"),
        total(func.greatest(p.paid_then - p.pays_now, 0)).label("mrr_lost"),
    ).subquery("counted")
    c = counted.c
    monthly = share(c.churned, c.subscribers_before)
    return select(
        *c,
        monthly.label("churn_rate"),
        (1 - func.power(1 - monthly, MONTHS_PER_YEAR)).label("annual_churn_rate"),
        share(c.mrr_lost, c.mrr_before).label("mrr_churn_rate"),
    )


def _running(moment: Moment) -> Select[Any]:
    """One row per subscription: whose it is, what it brings a year, if it ran `then` and `now`."""
    s, end = subscription.c, ended_at(UNPAID)

    def runs(at: ColumnElement[datetime]) -> ColumnElement[bool]:
        return and_(s.started_at <= at, or_(end.is_(None), end > at))

    return (
        select(
            source_profile.c.customer_id,
            a_year_of(subscription, moment.workspace).label("year"),
            runs(moment.before(MONTH_DAYS)).label("then"),
            runs(moment.at).label("now"),
        )
        .join(source_profile, source_profile.c.id == s.source_profile_id)
        .where(s.deleted_at.is_(None), s.started_at <= moment.at, s.status != TRIAL)
    )
