"""What all customers together have bought, who came back, and how spend is spread among them."""

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    case,
    cast,
    exists,
    func,
    literal,
    select,
    true,
)

from cdp.business.moment import Moment, days_at, facts_at
from cdp.business.shares import share
from cdp.money import to_smallest_unit
from cdp.tables import ForecastGap, forecast_gap, score, score_basis, score_model
from cdp.traits.purchases import average_order_value
from cdp.traits.trait import Scope
from cdp.workspace import Workspace

CHURN_WINDOW_DAYS: Final = 90  # a quarter: longer than most shops' gaps between orders

COUNTED: Final = ("order_count", "priced_order_count", "unpriced_count")
SUMMED: Final = ("gross_spend", "refunded", "qualifying_spend")
"""The facts that are added up over all customers."""


def purchases_query(moment: Moment) -> Select[Any]:
    """One row: buyers, orders and money of all time up to the moment.

    The repeat purchase rate is the share of buyers with a second qualifying order, whenever that
    was; an average order value is the customer's own, of all together.
    """
    f = facts_at(moment).subquery("facts").c
    sums = select(
        func.count().filter(f.order_count >= 1).label("buyers"),
        func.count().filter(f.order_count > 1).label("repeat_buyers"),
        *(cast(_sum(f[name]), BigInteger).label(name) for name in COUNTED),
        *(_sum(f[name]).label(name) for name in SUMMED),
    ).subquery("sums")
    s = sums.c
    workspace = moment.workspace
    digits = workspace.money_digits
    whole = Scope(sums, sums, moment.at, workspace.timezone, digits)
    return select(
        s.buyers,
        s.repeat_buyers,
        share(s.repeat_buyers, s.buyers).label("repeat_purchase_rate"),
        s.order_count.label("orders"),
        share(s.order_count, s.buyers).label("orders_per_customer"),
        to_smallest_unit(s.gross_spend, digits).label("gross_spend"),
        to_smallest_unit(s.refunded, digits).label("refunded"),
        to_smallest_unit(s.gross_spend - s.refunded, digits).label("net_revenue"),
        average_order_value(whole).label("average_order_value"),
        s.unpriced_count,
    )


def _sum(fact: ColumnElement[Any]) -> ColumnElement[Any]:
    """Over all customers; 0 where there are none."""
    return func.coalesce(func.sum(fact), 0)


def churn_query(moment: Moment) -> Select[Any]:
    """One row: of who bought in the window before the last, how many bought in the last one.

    A window is CHURN_WINDOW_DAYS days, the last one ends with the moment's day. Nobody tells a shop
    that they leave: this is churn as it is seen. Rates are null where nobody bought in the former.
    """
    last = moment.today - literal(CHURN_WINDOW_DAYS, Integer)
    d = days_at(moment).subquery("days").c
    people = (
        select(
            func.bool_or(d.on <= last).label("before"),
            func.bool_or(d.on > last).label("since"),
        )
        .where(d.order_count > 0, d.on > last - CHURN_WINDOW_DAYS, d.on <= moment.today)
        .group_by(d.customer_id)
        .subquery("people")
    )
    p = people.c
    counted = select(
        func.count().filter(p.before).label("before"),
        func.count().filter(p.before, p.since).label("retained"),
        func.count().filter(p.since).label("active"),
    ).subquery("counted")
    c = counted.c
    return select(
        literal(CHURN_WINDOW_DAYS, Integer).label("window_days"),
        c.before.label("active_before"),
        c.retained,
        c.active,
        share(c.retained, c.before).label("retention_rate"),
        share(c.before - c.retained, c.before).label("churn_rate"),
    )


def historic_value(moment: Moment) -> Select[Any]:
    """One row per customer with a qualifying order: `value`, the net spend up to the moment."""
    f = facts_at(moment).subquery("facts").c
    return select(f.net_spend.label("value")).where(f.order_count > 0)


def predicted_query(moment: Moment) -> Select[Any]:
    """One row: how the value is spread that the model in force predicts, and `reason`, for none.

    The figures are those of `distribution_query`, of everybody who is scored, or all null where
    `reason` says why there is no forecast. Scores of the past are not kept, and each is computed
    anew when its customer does something: so the model's own moment decides for all of them.
    """
    predicted = select(score.c.predicted.label("value")).where(score.c.predicted.is_not(None))
    spread = distribution_query(predicted.subquery("values"), moment.workspace).subquery("spread")
    gap = select(forecast_gap_at(moment).label("reason")).subquery("gap")
    is_told = gap.c.reason.is_(None)
    figures = (case((is_told, figure)).label(figure.name) for figure in spread.c)
    reason = cast(gap.c.reason, Text).label("reason")
    return select(*figures, reason).select_from(spread.join(gap, true()))


def forecast_gap_at(moment: Moment) -> ColumnElement[ForecastGap]:
    """Why nobody had a forecast at the moment; null where the model in force is no younger."""
    in_force = (
        select(score_basis.c.gap)
        .join(score_model, score_model.c.version == score_basis.c.version)
        .where(score_model.c.as_of <= moment.at)
    )
    not_scored = literal(ForecastGap.NOT_SCORED, forecast_gap)
    return case((exists(in_force), in_force.scalar_subquery()), else_=not_scored)


def distribution_query(values: FromClause, workspace: Workspace) -> Select[Any]:
    """One row: how an amount of the workspace's money (`value`, a row per customer) is spread.

    Percentiles are amounts of customers, the least that so many reach; all null without anybody.
    `top_tenth_share` is the share that the best tenth of them, rounded up, holds of all amounts
    above zero; null where there is none. (Of the total they may hold more than all: whose refunds
    come of orders that are void by now are below zero.)
    """
    ranked = select(
        values.c.value,
        func.row_number().over(order_by=values.c.value.desc()).label("place"),
        func.count().over().label("customers"),
    ).subquery("ranked")
    value = ranked.c.value
    total, is_above = func.sum(value), value > 0
    is_top = (ranked.c.place - 1) * 10 < ranked.c.customers

    def amount(found: ColumnElement[Any]) -> ColumnElement[Any]:
        return to_smallest_unit(found, workspace.money_digits)

    def percentile(fraction: float) -> ColumnElement[Any]:
        return amount(func.percentile_disc(fraction).within_group(value))

    return select(
        func.count().label("customers"),
        amount(func.coalesce(total, 0)).label("total"),
        amount(func.avg(value)).label("mean"),
        percentile(0.1).label("p10"),
        percentile(0.25).label("p25"),
        percentile(0.5).label("median"),
        percentile(0.75).label("p75"),
        percentile(0.9).label("p90"),
        amount(func.max(value)).label("highest"),
        share(total.filter(is_above, is_top), total.filter(is_above)).label("top_tenth_share"),
    )
