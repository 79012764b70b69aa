"""RFM cut points: where the fifths of a shop's customers end, for one moment."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ARRAY, ColumnElement, Double, FromClause, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

QUINTILES: Final = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True, slots=True)
class CutPoints:
    """Where the scores begin; each has four values, from score 1|2 to score 4|5.

    A frequency or monetary value above a cut has the higher score, a recency (days) below it. Equal
    values thus share a score, whatever their share of the customers.
    """

    recency_days: tuple[int, ...]
    frequency: tuple[int, ...]
    monetary: tuple[Decimal, ...]


async def read_cut_points(
    connection: AsyncConnection, facts: FromClause, today: date
) -> CutPoints | None:
    """The quintiles of customers with a qualifying order: at most a fifth is above the last cut.

    `facts`: a row per customer with the facts of orders. None where nobody has ordered.
    """
    fact = facts.c
    columns = [_cuts(fact.last_order_on), _cuts(fact.order_count), _cuts(fact.net_spend)]
    row = (await connection.execute(select(*columns).where(fact.order_count > 0))).one()
    if row[0] is None:
        return None
    return CutPoints(tuple((today - on).days for on in row[0]), tuple(row[1]), tuple(row[2]))


def _cuts(values: ColumnElement[Any]) -> ColumnElement[Any]:
    """The least value that is not below the given share of them."""
    fractions = literal(list(QUINTILES), ARRAY(Double))
    return func.percentile_disc(fractions, type_=ARRAY(values.type)).within_group(values)
