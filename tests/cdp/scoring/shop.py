"""A made-up shop in the database, its facts written straight, for tests of stored scores."""

from datetime import UTC, date, datetime
from typing import Final

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.customers import refresh_facts
from cdp.query import present
from cdp.scoring.histories import OrderDays
from cdp.traits.catalog import CATALOG
from cdp.values import CustomerId
from cdp.workspace import Workspace
from tests.cdp.builders import a_source
from tests.cdp.scoring.samples import World, simulate

NOW = datetime.now(UTC)
"""The outbox and the segments go by the clock, and so does this shop."""

TODAY = NOW.date()
CUSTOMERS: Final = 560
OLDEST: Final = 400

_PEOPLE = """
INSERT INTO source_profile (id, customer_id, stream, source_id, key, digest, payload, learned_at,
    first_stored_at, given_key, family_key)
OVERRIDING SYSTEM VALUE
SELECT id, id, 'customers', $2, 'c' || id, '', '{}', now(), now(), '', ''
FROM unnest($1::bigint[]) id
"""

_CUSTOMERS = """
INSERT INTO customer (id, attributes, profile_count, created_at, updated_at, search)
SELECT id, '{}', 1, now(), now(), '' FROM unnest($1::bigint[]) id
"""

_DAYS = """
INSERT INTO purchase_day (source_profile_id, "on", order_count, priced_order_count, gross_spend,
    refunded, qualifying_spend, unpriced_count, first_order_at, last_order_at)
SELECT profile, "on", 1, 1, spend, 0, spend, 0, "on" + time '12:00' AT TIME ZONE 'UTC',
    "on" + time '12:00' AT TIME ZONE 'UTC'
FROM unnest($1::bigint[], $2::date[], $3::numeric[]) AS told(profile, "on", spend)
"""


async def a_shop(connection: AsyncConnection) -> list[int]:
    """A shop that has seen enough for a forecast, up to TODAY; its customers' ids, in order."""
    ages = np.random.default_rng(5).integers(20, OLDEST, CUSTOMERS)
    ages[0] = OLDEST
    order_days = simulate(World(), ages, 0, seed=11).until(OLDEST)
    return await _open(connection, order_days, TODAY.toordinal() - OLDEST)


async def _open(connection: AsyncConnection, order_days: OrderDays, shift: int) -> list[int]:
    """Customers with order days so many days later than told."""
    source_id = await a_source(connection)
    first = 1_000_000  # beyond whatever the sequence gives
    ids = sorted({first + int(one) for one in order_days.customer})
    await connection.exec_driver_sql(_PEOPLE, (ids, source_id))
    await connection.exec_driver_sql(_CUSTOMERS, (ids,))
    days = [date.fromordinal(int(day) + shift) for day in order_days.day]
    spend = [round(float(one), 2) + 0.01 for one in order_days.spend]
    profiles = [first + int(one) for one in order_days.customer]
    await add_days(connection, profiles, days, spend)
    return ids


async def add_days(
    connection: AsyncConnection, profiles: list[int], days: list[date], spend: list[float]
) -> None:
    """Order days of profiles that are there, and their customers' facts folded anew."""
    await connection.exec_driver_sql(_DAYS, (profiles, days, [str(one) for one in spend]))
    mine = tables.source_profile
    rows = await connection.scalars(
        select(mine.c.customer_id).where(mine.c.id == func.any(profiles)).distinct()
    )
    await refresh_facts(connection, [CustomerId(one) for one in rows], Workspace())


async def traits_of(
    connection: AsyncConnection, group: str, as_of: datetime, workspace: Workspace
) -> dict[int, dict[str, object]]:
    """Every trait of a group, by customer."""
    scope = present(as_of, workspace)
    traits = next(one for one in CATALOG if one.name == group).traits
    columns = [scope.customer.c.id, *(trait(scope).label(trait.name) for trait in traits)]
    rows = await connection.execute(select(*columns))
    return {row.id: dict(row._mapping) for row in rows}  # noqa: SLF001  its public name
