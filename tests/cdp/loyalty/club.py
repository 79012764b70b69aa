"""Shared by tests of loyalty: a programme, a virtual clock, views of the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import RowMapping, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.loyalty.accounts import ACCOUNT_NAMES
from cdp.loyalty.application import apply_programme
from cdp.loyalty.clock import bring_up_to_date
from cdp.loyalty.desk import Act
from cdp.values import CustomerId
from tests.cdp.ingesting import WORKSPACE

START = datetime(2026, 1, 10, 12, tzinfo=UTC)

PROGRAMME = """
name = "Tea Club"
members = "everyone"

[points]
pending_days = 10
expire_after_months = 3

[[earn]]
kind = "spend"
name = "base"
points_per_unit = 1

[tiers]
by = "points"
months = 6

[[tiers.levels]]
name = "Leaf"
threshold = 0

[[tiers.levels]]
name = "Bud"
threshold = 100

[[reward]]
name = "cup"
points = 30

[[reward]]
name = "pot"
points = 50
least_tier = "Bud"
"""


async def set_clock(connection: AsyncConnection, at: datetime) -> None:
    """Make it so late for every statement of this transaction.

    PostgreSQL looks for `now()` along the search path, where this one stands before its own.
    """
    if await connection.scalar(text("SELECT to_regprocedure('clock.now()') IS NULL")):
        await connection.execute(text("CREATE SCHEMA clock"))
        await connection.execute(
            text(
                "CREATE FUNCTION clock.now() RETURNS timestamptz STABLE LANGUAGE sql"
                " AS $$ SELECT current_setting('clock.now')::timestamptz $$"
            )
        )
        await connection.execute(text("SET LOCAL search_path = clock, pg_catalog, public"))
    await connection.execute(select(func.set_config("clock.now", at.isoformat(), True)))  # noqa: FBT003  # local


async def pass_days(connection: AsyncConnection, days: float) -> datetime:
    """Let time pass and the clock of the platform run; returns the new moment."""
    now = await connection.scalar(select(func.now()))
    assert isinstance(now, datetime)
    at = now + timedelta(days=days)
    await connection.execute(select(func.set_config("clock.now", at.isoformat(), True)))  # noqa: FBT003
    await run_clock(connection)
    return at


async def run_clock(connection: AsyncConnection) -> None:
    """What is due, as the server does every minute."""
    rows = await connection.scalars(
        select(tables.customer.c.id).where(tables.customer.c.loyalty_next_change_at <= func.now())
    )
    await bring_up_to_date(connection, [CustomerId(one) for one in rows])


async def open_club(
    connection: AsyncConnection, programme: str = PROGRAMME, at: datetime = START
) -> None:
    """A programme in force, from long ago on, at a virtual moment."""
    await set_clock(connection, at)
    await apply_programme(
        connection, programme, WORKSPACE, actor="test", starts_at=at - timedelta(days=700)
    )


def an_act(key: str, reason: str = "A test asked for it.") -> Act:
    """An act by its key."""
    return Act(key, "test", reason)


def an_order(key: str, total: str, at: datetime = START, **columns: object) -> Mapping[str, object]:
    """An order of customer 1 in euros."""
    return {
        "id": key,
        "customer_id": "1",
        "placed_at": at.isoformat(),
        "currency": "EUR",
        "total": total,
        **columns,
    }


def a_refund(key: str, order: str, amount: str, at: datetime = START) -> Mapping[str, object]:
    """Money given back."""
    return {
        "id": key,
        "order_id": order,
        "refunded_at": at.isoformat(),
        "amount": amount,
        "currency": "EUR",
    }


async def the_customer(connection: AsyncConnection) -> RowMapping:
    """The one customer's row."""
    rows = await connection.execute(select(tables.customer))
    [row] = rows.mappings()
    return row


async def accounts_of(connection: AsyncConnection) -> dict[str, int]:
    """What every account holds over all lots, empty ones left out."""
    lot = tables.points_lot
    row = (
        (
            await connection.execute(
                select(
                    *(func.coalesce(func.sum(lot.c[name]), 0).label(name) for name in ACCOUNT_NAMES)
                )
            )
        )
        .mappings()
        .one()
    )
    return {name: int(value) for name, value in row.items() if value}


async def count_entries(connection: AsyncConnection) -> int:
    """How many entries were ever posted."""
    count = await connection.scalar(select(func.count()).select_from(tables.points_entry))
    assert isinstance(count, int)
    return count
