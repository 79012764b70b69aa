"""The retention grid: customers by the period of their first order, and who of them came back."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec
from sqlalchemy import (
    CTE,
    ColumnElement,
    Date,
    DateTime,
    Float,
    FromClause,
    Integer,
    Interval,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import True_

from cdp.business.moment import Moment, days_at
from cdp.money import to_smallest_unit
from cdp.tables import scored_customer

MAX_COHORTS: Final = 60  # five years of months; with as many cells in a row, 3,600 in all


class RetentionPeriod(Enum):
    """How long a period is; weeks begin on Monday, days are the workspace's."""

    DAY = "1 day"
    WEEK = "1 week"
    MONTH = "1 month"
    QUARTER = "3 months"
    YEAR = "1 year"

    def start(self, on: ColumnElement[Any]) -> ColumnElement[Any]:
        """The first day of the period of a day."""
        moment = cast(on, DateTime(timezone=False))  # with a time zone it would be the session's
        return cast(func.date_trunc(self.name.lower(), moment), Date)

    def later(self, on: ColumnElement[Any], count: ColumnElement[Any]) -> ColumnElement[Any]:
        """The first day of the period that comes so many periods after one that begins `on`."""
        return cast(cast(on, DateTime(timezone=False)) + count * self.length, Date)

    @property
    def length(self) -> ColumnElement[Any]:
        """As an interval."""
        return cast(literal(self.value, Text), Interval)


@dataclass(frozen=True, slots=True)
class Cell:
    """What a cohort did in one period, `index` periods after its first; null: still to come."""

    index: int
    starts_on: date
    is_complete: bool
    customers: int | None
    rate: float | None
    revenue: Decimal | None


@dataclass(frozen=True, slots=True)
class Cohort:
    """Who first bought in one period: how many, and a cell per period from that one on."""

    starts_on: date
    size: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class RetentionGrid:
    """The cohorts, earliest first; `earlier_customers` first bought before any that is shown."""

    as_of: datetime
    earlier_customers: int
    cohorts: tuple[Cohort, ...]


async def read_retention(
    connection: AsyncConnection,
    period: RetentionPeriod,
    moment: Moment,
    condition: ColumnElement[bool] | None = None,
) -> RetentionGrid:
    """The grid of all customers, or of those for whom the condition on `scored_customer` holds."""
    holds = true() if condition is None else condition
    rows = await connection.execute(retention_query(period, moment, scored_customer, holds))
    return msgspec.convert(dict(rows.mappings().one()), RetentionGrid)


def retention_query(
    period: RetentionPeriod,
    moment: Moment,
    people: FromClause,
    condition: ColumnElement[bool],
) -> Select[Any]:
    """One row: `as_of`, `earlier_customers`, and `cohorts`, a JSON list, earliest first.

    Of the customers `people` (of `scored_customer`) for whom the condition holds. A cohort is who
    placed the first qualifying order in one period; its cell `index` tells who of them bought in
    the period that comes so many later (0: that of the first order), as `customers`, as `rate` of
    the cohort's `size`, and their net spend as `revenue`. The cohorts have no gaps and reach to the
    period of the moment, at most MAX_COHORTS; who first bought before them is counted in
    `earlier_customers`. What is still to come is null, never 0 (Fader and Hardie's convention); a
    period that is not over is told by `is_complete`.
    """
    bought = _bought(period, moment, people, condition).cte()
    cells = _cells(bought).cte()
    starts = _starts(period, moment, cells).cte()
    cohorts = _cohorts(period, starts, cells, moment).subquery("cohorts")
    listed = func.jsonb_agg(aggregate_order_by(cohorts.c.cohort, cohorts.c.on))
    shown = select(func.coalesce(listed, func.jsonb_build_array(), type_=JSONB))
    first = select(func.min(starts.c.on)).scalar_subquery()
    earlier = select(func.coalesce(func.sum(cells.c.customers), 0)).where(
        cells.c.on == cells.c.cohort_on, cells.c.cohort_on < first
    )
    return select(
        moment.at.label("as_of"),
        cast(earlier.scalar_subquery(), Integer).label("earlier_customers"),
        shown.scalar_subquery().label("cohorts"),
    )


def _bought(
    period: RetentionPeriod, moment: Moment, people: FromClause, condition: ColumnElement[bool]
) -> Select[Any]:
    """One row per customer and period with orders: `cohort_on`, `on`, `orders`, `net`.

    Nobody's row is read where nobody is asked for: whose a day is, is a customer.
    """
    day = days_at(moment).subquery("day")
    days = select(
        day.c.customer_id,
        period.start(day.c.on).label("on"),
        day.c.order_count,
        (day.c.gross_spend - day.c.refunded).label("net"),  # one number less to be sorted
    ).subquery("days")
    rows: FromClause = days
    if not isinstance(condition, True_):
        rows = days.join(people, people.c.id == days.c.customer_id)
    on = days.c.on
    orders = func.sum(days.c.order_count)
    first_on = func.min(case((orders > 0, on))).over(partition_by=days.c.customer_id)
    return (
        select(
            first_on.label("cohort_on"),
            on.label("on"),
            orders.label("orders"),
            func.sum(days.c.net).label("net"),
        )
        .select_from(rows)
        .where(condition)
        .group_by(days.c.customer_id, on)
    )


def _cells(bought: CTE) -> Select[Any]:
    """One row per cohort and period in which any of it had orders."""
    b = bought.c
    return (
        select(
            b.cohort_on,
            b.on,
            func.count().filter(b.orders > 0).label("customers"),
            func.sum(b.net).label("revenue"),
        )
        .where(b.on >= b.cohort_on)
        .group_by(b.cohort_on, b.on)
    )


def _starts(period: RetentionPeriod, moment: Moment, cells: CTE) -> Select[Any]:
    """The periods from the first cohort's to the moment's, `number` from 1; the latest of them."""
    today = period.start(moment.today)
    oldest = period.later(today, literal(1 - MAX_COHORTS, Integer))
    first = select(func.greatest(func.min(cells.c.cohort_on), oldest)).scalar_subquery()
    is_any = select(func.min(cells.c.cohort_on)).scalar_subquery().is_not(None)
    listed = func.generate_series(
        cast(first, DateTime(timezone=False)),
        cast(today, DateTime(timezone=False)),
        period.length,
    )
    each = listed.table_valued("at", with_ordinality="number").render_derived(name="listed")
    return select(cast(each.c.at, Date).label("on"), each.c.number).where(is_any)


def _cohorts(period: RetentionPeriod, starts: CTE, cells: CTE, moment: Moment) -> Select[Any]:
    """One row per cohort: `on`, and it as a JSON object with its whole row of cells."""
    cohort, then, later = starts.alias(), starts.alias(), starts.alias()
    index = later.c.number - 1
    on = period.later(cohort.c.on, index)
    own, found = cells.alias(), cells.alias()
    size = func.coalesce(own.c.customers, 0)
    count = func.coalesce(found.c.customers, 0)
    is_over = then.c.number < select(func.max(starts.c.number)).scalar_subquery()

    revenue = func.coalesce(found.c.revenue, 0)

    def known(value: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((then.c.number.is_(None), null()), else_=value)

    cell = func.jsonb_build_object(
        "index", index,
        "starts_on", on,
        "is_complete", func.coalesce(is_over, literal(value=False)),
        "customers", known(count),
        "rate", known(cast(count, Float(53)) / func.nullif(size, 0)),
        "revenue", known(cast(to_smallest_unit(revenue, moment.workspace.money_digits), Text)),
    )  # fmt: skip
    joined = (
        cohort.join(later, true())
        .outerjoin(then, then.c.number == cohort.c.number + index)
        .outerjoin(own, and_(own.c.cohort_on == cohort.c.on, own.c.on == cohort.c.on))
        .outerjoin(found, and_(found.c.cohort_on == cohort.c.on, found.c.on == then.c.on))
    )
    row = func.jsonb_build_object(
        "starts_on", cohort.c.on,
        "size", size,
        "cells", func.jsonb_agg(aggregate_order_by(cell, index)),
    )  # fmt: skip
    return (
        select(cohort.c.on, row.label("cohort"))
        .select_from(joined)
        .group_by(cohort.c.on, own.c.customers)
    )
