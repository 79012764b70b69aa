"""Scores on their way into the database: a row per customer, by COPY."""

from collections.abc import AsyncIterator, Mapping
from datetime import date, datetime
from typing import Any, Final, TypeAlias

import asyncpg
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from cdp.scoring.histories import Floats, Integers
from cdp.scoring.plans import Curve, ending
from cdp.scoring.reading import Subscriptions
from cdp.scoring.value import Scores
from cdp.tables import score

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Column: TypeAlias = "pa.Array[Any]"

PIECE: Final = 50_000  # rows written as text at once: bounds memory
CENTS: Final = 2  # digits of money; what is finer is not known
DIGITS: Final = 6  # of probabilities and of expected orders
_UNIX: Final = date(1970, 1, 1).toordinal()


def plan_ends(
    subscriptions: Subscriptions, curves: Mapping[str, Curve], horizon_days: int
) -> tuple[Integers, Floats]:
    """Customers with a subscription that goes on, and the probability that all of theirs end."""
    chosen = subscriptions.goes_on
    customer, days = subscriptions.customer[chosen], subscriptions.days[chosen]
    plans = np.array(subscriptions.plan, dtype=np.str_)[chosen]
    ends = np.full(len(customer), np.nan)
    for plan in np.unique(plans).tolist():
        of_plan = plans == plan
        ends[of_plan] = ending(curves, plan, days[of_plan], horizon_days)
    customers, place = np.unique(customer, return_inverse=True)
    all_of_theirs = np.ones(len(customers))
    np.multiply.at(all_of_theirs, place, ends)
    return customers, all_of_theirs


def score_rows(
    scores: Scores | None, ends: tuple[Integers, Floats], computed_at: datetime, today: date
) -> pa.Table:
    """The rows of `score`: of who was scored, of who subscribes, and of who both."""
    subscriber, end = ends
    scored = scores.customer if scores is not None else subscriber[:0]
    customer = np.union1d(scored, subscriber)
    columns: dict[str, Column] = {
        "customer_id": pa.array(customer),
        "computed_at": pa.repeat(computed_at.isoformat(), len(customer)),
        "plan_end": _column(_spread(customer, subscriber, end), DIGITS),
    }
    if scores is not None and len(scored):
        told = {
            "predicted": (scores.predicted, CENTS),
            "predicted_low": (scores.low, CENTS),
            "predicted_high": (scores.high, CENTS),
            "expected_orders": (scores.expected_orders, DIGITS),
            "alive": (scores.alive, DIGITS),
            "no_order": (scores.no_order, DIGITS),
        }
        for name, (values, digits) in told.items():
            columns[name] = _column(_spread(customer, scored, values), digits)
        days = _spread(customer, scored, np.ceil(scores.next_order_days))
        columns["next_order_on"] = _dates(days, today)
        columns["rank"] = _whole(_spread(customer, scored, scores.rank.astype(np.float64)))
    nothing = pa.nulls(len(customer))
    names = [column.name for column in score.c]
    return pa.table([columns.get(name, nothing) for name in names], names=names)


async def write_rows(driver: Driver, rows: pa.Table) -> None:
    """Copy rows into `score`, which holds none of these customers."""
    await driver.copy_to_table(
        score.name, source=_pieces(rows), columns=rows.column_names, format="csv"
    )


async def _pieces(rows: pa.Table) -> AsyncIterator[bytes]:
    options = pa_csv.WriteOptions(include_header=False)
    for start in range(0, rows.num_rows, PIECE):
        sink = pa.BufferOutputStream()
        pa_csv.write_csv(rows.slice(start, PIECE), sink, options)
        yield sink.getvalue().to_pybytes()


def _spread(customer: Integers, whose: Integers, values: Floats) -> Floats:
    """The values of some customers among all; not a number for the others."""
    spread = np.full(len(customer), np.nan)
    spread[np.searchsorted(customer, whose)] = values
    return spread


def _column(values: Floats, digits: int) -> Column:
    rounded = np.round(values, digits)
    return pa.array(rounded, mask=~np.isfinite(rounded))


def _whole(values: Floats) -> Column:
    is_known = np.isfinite(values)
    return pa.array(np.where(is_known, values, 0).astype(np.int64), mask=~is_known)


def _dates(days: Floats, today: date) -> Column:
    """So many days from today."""
    is_known = np.isfinite(days)
    since = np.where(is_known, days, 0).astype(np.int32) + np.int32(today.toordinal() - _UNIX)
    return pa.array(since, pa.int32(), mask=~is_known).cast(pa.date32())
