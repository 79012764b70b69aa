"""The customers' rows: locked, folded anew from profiles and days, and written."""

from collections.abc import Collection, Iterable
from datetime import date
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Date,
    FromClause,
    Select,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.facts import customer_facts, order_day, purchase_days
from cdp.survivorship import attributes_of
from cdp.tables import FACT_COLUMNS, customer, purchase_day, sales_order, source_profile
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace

REBUILD_BATCH: Final = 20_000  # customers folded by one statement: bounds memory, not the result

ProfileDay: TypeAlias = "tuple[ProfileId, date]"


def _given_days(days: Collection[ProfileDay]) -> FromClause:
    profiles = literal([profile for profile, _ in days], ARRAY(BigInteger))
    dates = literal([on for _, on in days], ARRAY(Date))
    return func.unnest(profiles, dates).table_valued("source_profile_id", "on").render_derived()


async def refresh_days(
    connection: AsyncConnection, days: Collection[ProfileDay], workspace: Workspace
) -> None:
    """Fold the given days anew. The caller holds the locks of their customers."""
    if not days:
        return
    given = _given_days(days)
    await connection.execute(
        delete(purchase_day).where(
            purchase_day.c.source_profile_id == given.c.source_profile_id,
            purchase_day.c.on == given.c.on,
        )
    )
    rows = purchase_days(_given_days(days), workspace, func.now())
    await connection.execute(
        insert(purchase_day).from_select([column.name for column in rows.selected_columns], rows)
    )


async def lock_customers(
    connection: AsyncConnection, profiles: Iterable[ProfileId]
) -> set[CustomerId]:
    """Lock the customers of the given profiles in id order, and give their ids.

    Two writers cannot miss each other's order: the second waits here, and reads after the first.
    """
    wanted = list(profiles)
    while True:
        before = await _customers_of(connection, wanted)
        await connection.exec_driver_sql(
            "SELECT id FROM customer WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE",
            (sorted(before),),
        )
        if await _customers_of(connection, wanted) == before:
            return before


async def _customers_of(
    connection: AsyncConnection, profiles: Collection[ProfileId]
) -> set[CustomerId]:
    rows = await connection.exec_driver_sql(
        "SELECT DISTINCT customer_id FROM source_profile WHERE id = ANY($1::bigint[])",
        (list(profiles),),
    )
    return {CustomerId(row[0]) for row in rows}


async def refresh_customers(connection: AsyncConnection, customers: Collection[CustomerId]) -> None:
    """Fold the given customers anew: attributes and facts; a customer without profiles goes."""
    if not customers:
        return
    ids = list(customers)
    await _walk_indexes(connection, only=True)
    await connection.execute(
        delete(customer).where(
            customer.c.id == _given(ids).c.id,
            ~exists().where(source_profile.c.customer_id == customer.c.id),
        )
    )
    rows = _rows(ids)
    insertion = upsert(customer).from_select(
        [column.name for column in rows.selected_columns], rows
    )
    await connection.execute(
        insertion.on_conflict_do_update(
            index_elements=["id"],
            set_={
                column.name: insertion.excluded[column.name]
                for column in rows.selected_columns
                if column.name != "id"
            },
        )
    )
    await _walk_indexes(connection, only=False)


async def _walk_indexes(connection: AsyncConnection, *, only: bool) -> None:
    """Have the planner go from the given ids by index alone, or as it likes again.

    A young table has no statistics, and a plan that reads it whole for every customer is a
    thousand times slower than the index walk that is right for a batch at any size.
    """
    choice = "off" if only else "on"
    await connection.execute(
        select(
            *(
                func.set_config(f"enable_{way}", choice, literal(value=True))
                for way in ("seqscan", "hashjoin", "mergejoin")
            )
        )
    )


def _given(ids: Collection[int]) -> FromClause:
    given = func.unnest(literal(list(ids), ARRAY(BigInteger)))
    return given.table_valued("id").render_derived()


def _rows(ids: Collection[CustomerId]) -> Select[Any]:
    """The rows of `customer` for the given ids: attributes beside facts, facts of nobody zero."""
    attributes = attributes_of(_given(ids)).subquery("described")
    # Lateral: one index walk per customer, whatever the planner believes of young tables.
    facts = customer_facts(attributes, purchase_day).lateral("folded")
    stored = [fact for fact in FACT_COLUMNS if fact.computed is None]
    return select(
        *attributes.c,
        *(
            (
                facts.c[fact.name]
                if fact.nullable
                else func.coalesce(facts.c[fact.name], 0).label(fact.name)
            )
            for fact in stored
        ),
    ).select_from(attributes.join(facts, literal(value=True)))


async def rebuild(connection: AsyncConnection, workspace: Workspace) -> int:
    """Fold every day and every customer anew; returns the number of customers.

    For a change of what stored values depend on, such as the workspace's currency.
    """
    await connection.execute(delete(purchase_day))
    first = 0
    count = 0
    while True:
        rows = await connection.execute(
            select(source_profile.c.customer_id)
            .where(source_profile.c.customer_id > first)
            .distinct()
            .order_by(source_profile.c.customer_id)
            .limit(REBUILD_BATCH)
        )
        customers = [CustomerId(row[0]) for row in rows]
        if not customers:
            return count
        days = await connection.execute(
            select(sales_order.c.source_profile_id, order_day(workspace))
            .join(source_profile, source_profile.c.id == sales_order.c.source_profile_id)
            .where(source_profile.c.customer_id.between(customers[0], customers[-1]))
            .distinct()
        )
        await refresh_days(connection, [(row[0], row[1]) for row in days], workspace)
        await refresh_customers(connection, customers)
        first, count = customers[-1], count + len(customers)
