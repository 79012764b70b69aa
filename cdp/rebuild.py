"""Everybody's facts folded anew, from whole tables that are read once, and what differs written.

In the caller's transaction: readers see the former facts until it commits, then the new ones, and
a rebuild that is killed leaves the former. It locks no table that is there: it locks the rows that
it changes, and needs that nobody ingests meanwhile (`take_turn(connection, alone=True)`).

The folds are those of a batch (`cdp.purchase_days`, `cdp.facts`, `cdp.activity`); here is only how
their tables are read. What several processes can do is kept apart from what one has to: a rate that
is looked up, or the name of the largest share, is found by the process that writes.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    MetaData,
    Select,
    Table,
    and_,
    column,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tablesample,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import asyncpg as dialects
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.activity import everyones_activity
from cdp.customers import differ, everybody
from cdp.database import as_a_whole, driver, part_by_part, side_by_side
from cdp.facts import customer_facts, days_of
from cdp.loyalty.carried import post_entries
from cdp.loyalty.fold import refresh_loyalty
from cdp.loyalty.orders import post_orders
from cdp.loyalty.terms import has_programme
from cdp.order_days import every_priced_order, order_day
from cdp.purchase_days import everything_sold, folded_days
from cdp.tables import (
    ACTIVITY_COLUMNS,
    FACT_COLUMNS,
    customer,
    loyalty_entry,
    purchase_day,
    sales_order,
    source_profile,
)
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace

_DIALECT: Final = dialects.dialect()  # type: ignore[no-untyped-call]


async def rebuild(connection: AsyncConnection, workspace: Workspace) -> int:
    """Fold every day and every customer's facts anew; returns the number of customers.

    For a change of what they depend on: the workspace's currency or time zone. A row that stays as
    it is is not written.
    """
    below = await driver(connection)
    async with side_by_side(below):
        async with as_a_whole(below):
            await _rebuild_days(connection, workspace)
        await _post(connection, workspace)
        async with as_a_whole(below):
            await _rebuild_customers(connection, workspace)
    return await _follow_loyalty(connection)


async def _rebuild_days(connection: AsyncConnection, workspace: Workspace) -> None:
    day = purchase_day.c
    orders = every_priced_order(workspace, func.now())
    async with (
        _stored(connection, "priced_order", orders) as priced,
        _stored(connection, "sold_line", everything_sold(priced)) as sold,
    ):
        slices = await _slices(connection, priced)
        parts = [_changed_days(priced, sold, slice_) for slice_ in slices]
        every = select(union_all(*parts).subquery("every"))
        async with (
            part_by_part(await driver(connection), await _row_count(connection, priced, sold)),
            _stored(connection, "changed_day", every) as changed,
        ):
            each = changed.c
            await connection.execute(
                delete(purchase_day).where(*(day[key] == each[key] for key in _DAY_KEY))
            )
            rows = select(*(each[one.name] for one in day)).where(each.order_count.is_not(None))
            await connection.execute(
                insert(purchase_day).from_select([one.name for one in day], rows)
            )


SLICES: Final = 4  # of the source profiles, with as many orders each: for processes side by side
SAMPLED_PERCENT: Final = 1  # of the pages of priced orders, to find where slices part

_Slice: TypeAlias = "tuple[int, int | None]"
"""The first source profile, and the one after the last; None where there is no end."""

_DAY_KEY: Final = ("source_profile_id", "on")


async def _slices(connection: AsyncConnection, orders: FromClause) -> Sequence[_Slice]:
    """Of a few orders a single one: the sample sees none of them."""
    profile = tablesample(orders, func.system(SAMPLED_PERCENT)).c.source_profile_id
    cuts = [
        func.percentile_disc(number / SLICES).within_group(profile) for number in range(1, SLICES)
    ]
    row = (await connection.execute(select(*cuts))).one()
    return list(pairwise((0, *dict.fromkeys(cut for cut in row if cut), None)))


async def _row_count(connection: AsyncConnection, *stored: Table) -> int:
    """Of tables that were analyzed."""
    names = [table.name for table in stored]
    count: Select[Any] = select(func.sum(column("reltuples"))).where(column("relname").in_(names))
    return int(await connection.scalar(count.select_from(text("pg_class"))) or 0)


def _changed_days(orders: FromClause, sold: FromClause, slice_: _Slice) -> Select[Any]:
    """The days that are not stored as they are folded; nothing but its key of one that goes."""
    mine = _of_slice(orders, slice_).subquery()
    folded = folded_days(mine, _of_slice(sold, slice_)).subquery("folded")
    stored = _of_slice(purchase_day, slice_).subquery("stored")
    is_same_day = and_(*(folded.c[key] == stored.c[key] for key in _DAY_KEY))
    names = [one.name for one in purchase_day.c]
    return (
        select(
            *(
                func.coalesce(folded.c[name], stored.c[name]).label(name)
                if name in _DAY_KEY
                else folded.c[name]
                for name in names
            )
        )
        .select_from(folded.join(stored, is_same_day, full=True))
        .where(differ(folded, stored, names))
    )


def _of_slice(rows: FromClause, slice_: _Slice) -> Select[Any]:
    first, end = slice_
    found = select(rows).where(rows.c.source_profile_id >= first)
    return found if end is None else found.where(rows.c.source_profile_id < end)


async def _rebuild_customers(connection: AsyncConnection, workspace: Workspace) -> None:
    async with _stored(connection, "changed_customer", _changed_customers(workspace)) as changed:
        values = {name: changed.c[name] for name in (*_BOUGHT, *_DONE)}
        await connection.execute(
            update(customer)
            .where(customer.c.id == changed.c.id)
            .values({**values, "updated_at": func.now()})
        )


_BOUGHT: Final = tuple(fact.name for fact in FACT_COLUMNS if fact.computed is None)
_DONE: Final = tuple(fact.name for fact in ACTIVITY_COLUMNS)


def _changed_customers(workspace: Workspace) -> Select[Any]:
    """The facts of those whose row does not hold them."""
    whom = select(customer.c.id).subquery("whom")
    # OFFSET 0: each is worked out once, and not once to compare and once to tell.
    folded = customer_facts(whom, days_of(whom).subquery("days"), workspace.money_digits)
    facts = folded.offset(0).subquery("facts")
    activity = everyones_activity(whom, workspace, func.now()).subquery("activity")
    return (
        select(
            customer.c.id,
            *(facts.c[name] for name in _BOUGHT),
            *(activity.c[name] for name in _DONE),
        )
        .select_from(
            customer.join(facts, facts.c.id == customer.c.id).join(
                activity, activity.c.id == customer.c.id
            )
        )
        .where(or_(differ(facts, customer, _BOUGHT), differ(activity, customer, _DONE)))
    )


async def _post(connection: AsyncConnection, workspace: Workspace) -> None:
    """Points of orders and of sources' own programmes, lot by lot, where there are any."""
    earns = await has_programme(connection)
    carries = await connection.scalar(select(exists(select(loyalty_entry.c.key))))
    if not earns and not carries:
        return
    async for customers in everybody(connection):
        if earns:
            bought = _of(customers, sales_order.c.source_profile_id, order_day(workspace))
            days = [(ProfileId(row[0]), row[1]) for row in await connection.execute(bought)]
            await post_orders(connection, days, workspace)
        told = await connection.execute(_of(customers, loyalty_entry.c.source_profile_id))
        await post_entries(connection, [ProfileId(row[0]) for row in told])


def _of(
    customers: Sequence[CustomerId], profile_id: Column[Any], *more: ColumnElement[Any]
) -> Select[Any]:
    """The source profiles of some customers, those that a table tells of."""
    return (
        select(profile_id, *more)
        .join(source_profile, source_profile.c.id == profile_id)
        .where(source_profile.c.customer_id.between(customers[0], customers[-1]))
        .distinct()
    )


async def _follow_loyalty(connection: AsyncConnection) -> int:
    count = 0
    async for customers in everybody(connection):
        await refresh_loyalty(connection, customers)
        count += len(customers)
    return count


@asynccontextmanager
async def _stored(
    connection: AsyncConnection, name: str, rows: Select[Any]
) -> AsyncIterator[Table]:
    """What a query tells, in a table of the transaction's own while this is open.

    An unlogged one: processes side by side cannot read a temporary one. Of the statements that
    write, CREATE TABLE AS alone lets them work at its query.
    """
    told = rows.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})
    table = Table(name, MetaData(), *(Column(one.name, one.type) for one in rows.selected_columns))
    await connection.exec_driver_sql(f"CREATE UNLOGGED TABLE {name} AS {told}")
    await connection.exec_driver_sql(f"ANALYZE {name}")
    yield table
    await connection.run_sync(table.drop)
