"""What a filter would hold for, before it is saved: how many exactly, of how many, and some."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.filters import predicate
from cdp.query import count_customers, present
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
    """One row: `count`, `total`, and `sample`, ids of some for whom it holds."""
    customer = scope.customer
    some = select(customer.c.id).select_from(customer).where(condition).limit(SAMPLE_SIZE)
    columns: list[ColumnElement[Any]] = [
        count_customers(scope, where=[condition]).scalar_subquery().label("count"),
        count_customers(scope, where=[]).scalar_subquery().label("total"),
        func.array(some.scalar_subquery(), type_=ARRAY(BigInteger)).label("sample"),
    ]
    return select(*columns)


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
