"""What a filter would hold for, before it is saved: how many exactly, of how many, and some."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    SelectBase,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.visitors import iterate

from cdp.filters import predicate
from cdp.query import present
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

    Both are counted in one pass, save where the condition looks into records: it is a join there,
    which gathers them once, and in a count it would look them up for each customer.
    """
    customer = scope.customer
    some = select(customer.c.id).select_from(customer).where(condition).limit(SAMPLE_SIZE)
    sample = func.array(some.scalar_subquery(), type_=ARRAY(BigInteger)).label("sample")
    columns: list[ColumnElement[Any]]
    if _is_row_local(condition):
        count = func.count().filter(condition)
        columns = [count.label("count"), func.count().label("total"), sample]
        return select(*columns).select_from(customer)
    columns = [
        _counted(customer).where(condition).scalar_subquery().label("count"),
        _counted(customer).scalar_subquery().label("total"),
        sample,
    ]
    return select(*columns)


def _counted(customer: FromClause) -> Select[int]:
    """How many customers there are: by their rows, one after another.

    A column is counted that stands in no index. To count by an index alone, PostgreSQL has to look
    into each page that was written since it was vacuumed, which is most of them while batches come.
    """
    return select(func.count(customer.c.updated_at)).select_from(customer)


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
