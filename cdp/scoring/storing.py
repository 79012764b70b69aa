"""Scores on their way into the database: a row per customer, by COPY."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, TypeAlias

import asyncpg
import numpy as np

from cdp.scoring.copying import (
    Column,
    copied,
    days,
    double,
    moment,
    money,
    nulls,
    smallest_units,
    whole,
)
from cdp.scoring.histories import Floats, Integers
from cdp.scoring.plans import Curve, ending
from cdp.scoring.ranks import ranks_from_highest
from cdp.scoring.reading import Subscriptions
from cdp.scoring.value import Scores
from cdp.tables import score

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

DIGITS: Final = 6  # of probabilities and of expected orders


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of `score`: whose they are, and the columns by name. One that is not there is null."""

    customer: Integers
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        """How many."""
        return len(self.customer)

    def without(self, name: str) -> "Rows":
        """The same, a column null."""
        return replace(
            self, columns={key: self.columns[key] for key in self.columns if key != name}
        )


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
    scores: Scores | None,
    ends: tuple[Integers, Floats],
    computed_at: datetime,
    today: date,
    money_digits: int,
) -> Rows:
    """The rows of `score`: of who was scored, of who subscribes, and of who both.

    `money_digits`: decimal places of money. The rank is 1 for the highest that is predicted, as it
    is stored; equal ones share a rank.
    """
    subscriber, end = ends
    scored = scores.customer if scores is not None else subscriber[:0]
    customer = np.union1d(scored, subscriber)
    columns = {
        "customer_id": whole(customer, ">i8"),
        "computed_at": moment(computed_at, len(customer)),
        "plan_end": double(_spread(customer, subscriber, end), DIGITS),
    }
    if scores is not None and len(scored):
        rank = ranks_from_highest(smallest_units(scores.predicted, money_digits))

        def of_all(values: Floats | Integers) -> Floats | Integers:
            return _spread(customer, scored, values)

        columns |= {
            "predicted": money(of_all(scores.predicted), money_digits),
            "predicted_low": money(of_all(scores.low), money_digits),
            "predicted_high": money(of_all(scores.high), money_digits),
            "expected_orders": double(of_all(scores.expected_orders), DIGITS),
            "alive": double(of_all(scores.alive), DIGITS),
            "no_order": double(of_all(scores.no_order), DIGITS),
            "next_order_on": days(of_all(np.ceil(scores.next_order_days)) + today.toordinal()),
            "rank": whole(of_all(rank), ">i4"),
        }
    return Rows(customer, columns)


async def write_rows(driver: Driver, rows: Rows) -> None:
    """Copy rows into `score`, which holds none of these customers."""
    names = [column.name for column in score.c]
    nothing = nulls(len(rows))
    columns = [rows.columns.get(name, nothing) for name in names]

    async def pieces() -> AsyncIterator[bytes]:
        for piece in copied(columns):
            yield piece

    await driver.copy_to_table(score.name, source=pieces(), columns=names, format="binary")


def _spread(customer: Integers, whose: Integers, values: Floats | Integers) -> Floats | Integers:
    """The values of some customers among all; not a number for the others."""
    if len(whose) == len(customer):
        return values
    spread = np.full(len(customer), np.nan)
    spread[np.searchsorted(customer, whose)] = values
    return spread
