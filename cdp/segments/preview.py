"""What a filter would hold for, before it is saved: how many exactly, of how many, and some."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    SelectBase,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.visitors import iterate

from cdp import tables
from cdp.filters import predicate
from cdp.query import present
from cdp.segments.difference import place_of
from cdp.traits.trait import Scope
from cdp.values import CustomerId
from cdp.workspace import Workspace

SAMPLE_SIZE: Final = 10  # customers shown; enough to see a mistake


@dataclass(frozen=True, slots=True)
class Preview:
    """`percentage` is of all `total` customers; None where there are none. `sample`: some ids."""

    count: int
    total: int
    sample: Sequence[CustomerId]

    @property
    def percentage(self) -> float | None:
        """Of all customers."""
        return 100 * self.count / self.total if self.total else None


def preview_query(condition: ColumnElement[bool], scope: Scope) -> Select[Any]:
    """One row: `count`, `total`, and `sample`, ids of some for whom it holds.

    Where the customer's own row decides, both are counted in one pass. Where the condition looks
    into records it is a join, which gathers them once: in a count it would look them up for each
    customer, and so would a search for the first few of whom it holds, which may be nobody. So
    all are found once, then counted and shown.
    """
    customer = scope.customer
    if _is_row_local(condition):
        count = func.count().filter(condition)
        some = select(customer.c.id).select_from(customer).where(condition).limit(SAMPLE_SIZE)
        columns = [count.label("count"), func.count().label("total"), _sample(some)]
        return select(*columns).select_from(customer)
    # By rows, not by an index alone: there PostgreSQL has to look into each page that was written
    # since it was vacuumed, which is most of them while batches come.
    everybody = select(func.count(place_of("customer"))).select_from(tables.customer)
    # The same here: a column is told that stands in no index, and early in the row.
    found = select(customer.c.id, customer.c.profile_count).where(condition).cte("found")
    return select(
        select(func.count()).select_from(found).scalar_subquery().label("count"),
        everybody.scalar_subquery().label("total"),
        _sample(select(found.c.id).limit(SAMPLE_SIZE)),
    )


def _sample(some: Select[tuple[int]]) -> ColumnElement[Any]:
    return func.array(some.scalar_subquery(), type_=ARRAY(BigInteger)).label("sample")


def _is_row_local(condition: ColumnElement[bool]) -> bool:
    """Whether the customer's own row decides."""
    return not any(isinstance(part, SelectBase) for part in iterate(condition))


async def preview(
    connection: AsyncConnection,
    given: object,
    workspace: Workspace,
    as_of: datetime,
    *,
    may_see_personal: bool,
) -> Preview:
    """Preview a CustomerFilter (JSON). Raises BadInput and Forbidden as `read_filter`."""
    scope = present(as_of, workspace)
    condition = predicate(given, scope, workspace=workspace, may_see_personal=may_see_personal)
    row = (await connection.execute(preview_query(condition, scope))).one()
    return Preview(row.count, row.total, row.sample)
