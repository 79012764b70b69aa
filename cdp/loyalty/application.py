"""A version of the programme put in force: stored, and everything that it changes done at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox
from cdp.customers import REBUILD_BATCH
from cdp.database import driver as driver_of
from cdp.errors import BadInput
from cdp.loyalty.fold import refresh_loyalty
from cdp.loyalty.orders import post_orders
from cdp.loyalty.programme import parse_programme
from cdp.loyalty.terms import Terms, read_terms
from cdp.order_days import order_day
from cdp.tables import customer, sales_order, source_profile
from cdp.values import CustomerId
from cdp.versions import Driver
from cdp.workspace import Workspace, require_in_force, take_turn

MAX_TEXT: Final = 100_000  # characters of a programme's file


@dataclass(frozen=True, slots=True)
class Applied:
    """What a version came to: its number, whose columns were folded, how many points it moved."""

    version: int
    customers: int
    points_issued: int


async def apply_programme(
    connection: AsyncConnection,
    text: str,
    workspace: Workspace,
    *,
    actor: str,
    reason: str = "",
    starts_at: datetime | None = None,
) -> Applied:
    """Put a programme in force for orders placed from `starts_at` on, by default from now on.

    Orders placed since then are earned by it at once, those of a version before it anew; its tiers
    and rewards hold for everybody. Other writers wait. Raises BadInput for a programme that cannot
    be taken, or that would start in the future.
    """
    if len(text) > MAX_TEXT:
        raise BadInput(f"A programme has at most {MAX_TEXT:,} characters.")
    parse_programme(text)
    await take_turn(connection, alone=True)
    await require_in_force(connection, workspace)
    driver = await driver_of(connection)
    at = await driver.fetchval("SELECT now()")
    if starts_at is not None and starts_at > at:
        raise BadInput(
            f"The programme would start at {starts_at.isoformat()}.",
            todo="Apply it on the day when it starts.",
        )
    before = await _issued(driver)
    version = await driver.fetchval(
        "INSERT INTO loyalty_programme (version, text, currency, timezone, starts_at, applied_at,"
        " actor, reason) SELECT coalesce(max(version), 0) + 1, $1, $2, $3, coalesce($4, now()),"
        " now(), $5, $6 FROM loyalty_programme RETURNING version",
        text, workspace.currency, workspace.timezone, starts_at, actor, reason,
    )  # fmt: skip
    count = await _refold(connection, workspace, starts_at or at)
    return Applied(version, count, await _issued(driver) - before)


async def _issued(driver: Driver) -> int:
    total = await driver.fetchval("SELECT coalesce(-sum(issued), 0)::bigint FROM points_lot")
    assert isinstance(total, int)
    return total


async def _refold(connection: AsyncConnection, workspace: Workspace, since: datetime) -> int:
    """Post the orders placed since a moment and fold everybody, in batches of customers."""
    first, count = CustomerId(0), 0
    while True:
        rows = await connection.execute(
            select(customer.c.id)
            .where(customer.c.id > first)
            .order_by(customer.c.id)
            .limit(REBUILD_BATCH)
            .with_for_update()
        )
        customers = [CustomerId(row[0]) for row in rows]
        if not customers:
            return count
        days = await connection.execute(
            select(sales_order.c.source_profile_id, order_day(workspace))
            .join(source_profile, source_profile.c.id == sales_order.c.source_profile_id)
            .where(
                source_profile.c.customer_id.between(customers[0], customers[-1]),
                sales_order.c.placed_at >= since,
                sales_order.c.placed_at <= func.now(),
            )
            .distinct()
        )
        await post_orders(connection, [(row[0], row[1]) for row in days], workspace)
        await refresh_loyalty(connection, customers)
        await outbox.note(connection, customers, "loyalty")
        first, count = customers[-1], count + len(customers)


async def current_terms(connection: AsyncConnection) -> Terms | None:
    """The latest version; None where there is no programme."""
    terms = await read_terms(await driver_of(connection))
    return terms[-1] if terms else None
