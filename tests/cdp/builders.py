"""Builders of rows for tests of the read side: each inserts one thing, with some defaults."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.workspace import Workspace

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
WORKSPACE = Workspace(currency="EUR", region="GB", timezone="Europe/Berlin")

_numbers = itertools.count(1)


def days_ago(days: float) -> datetime:
    """A moment before NOW."""
    return NOW - timedelta(days=days)


async def a_source(connection: AsyncConnection, name: str = "shop") -> int:
    """The source of that name, made where there is none."""
    source = tables.source
    found = await connection.scalar(select(source.c.id).where(source.c.name == name))
    if found is None:
        found = await connection.scalar(
            insert(source).values(name=name, connector="file").returning(source.c.id)
        )
    assert isinstance(found, int)
    return found


async def a_profile(
    connection: AsyncConnection,
    customer_id: int | None = None,
    *,
    source: str = "shop",
    **columns: object,
) -> int:
    """A source profile; of a customer of its own id unless one is given."""
    profile = tables.source_profile
    row: dict[str, Any] = {
        "customer_id": customer_id or 0,
        "stream": "customers",
        "first_stored_at": NOW,
        "given_key": "",
        "family_key": "",
        **await _record(connection, source),
        **columns,
    }
    profile_id = await connection.scalar(insert(profile).values(row).returning(profile.c.id))
    assert isinstance(profile_id, int)
    if customer_id is None:
        await connection.execute(
            profile.update().where(profile.c.id == profile_id).values(customer_id=profile_id)
        )
    return profile_id


async def a_customer(connection: AsyncConnection, **columns: object) -> int:
    """A customer with one source profile; `search` is a text whose words find the customer."""
    customer_id = await a_profile(connection)
    words = str(columns.pop("search", "")).lower().split()
    row: dict[str, Any] = {
        "id": customer_id,
        "attributes": {},
        "profile_count": 1,
        "created_at": days_ago(400),
        "updated_at": days_ago(1),
        "search": func.array_to_tsvector(words),
        "order_count": 0,
        "priced_order_count": 0,
        "order_day_count": 0,
        "gross_spend": 0,
        "refunded": 0,
        "qualifying_spend": 0,
        "unpriced_count": 0,
        **columns,
    }
    if row.get("last_order_at") and "last_order_on" not in row:
        row["last_order_on"] = row["last_order_at"].date()
    await connection.execute(insert(tables.customer).values(row))
    return customer_id


async def a_record(
    connection: AsyncConnection,
    table: Table,
    profile_id: int | None,
    *,
    source: str = "shop",
    **columns: object,
) -> None:
    """A record of any stream; None: about nobody."""
    record = await _record(connection, source)
    owner = {} if profile_id is None else {"source_profile_id": profile_id}
    await connection.execute(insert(table).values({**record, **owner, **columns}))


async def an_order(connection: AsyncConnection, profile_id: int | None, **columns: object) -> None:
    """An order: 10 euros, yesterday, in the shop, unless told otherwise."""
    row: dict[str, Any] = {"placed_at": days_ago(1), "currency": "EUR", "total": 10, **columns}
    await a_record(connection, tables.sales_order, profile_id, **row)


async def an_identifier(
    connection: AsyncConnection, profile_id: int, kind: str, value: str, *, is_current: bool = True
) -> None:
    """Evidence; `value` in its normal form."""
    await connection.execute(
        insert(tables.identifier).values(
            kind=kind,
            value=value,
            source_profile_id=profile_id,
            is_current=is_current,
            first_seen_at=NOW,
            last_seen_at=NOW,
        )
    )


async def _record(connection: AsyncConnection, source: str) -> dict[str, Any]:
    return {
        "source_id": await a_source(connection, source),
        "key": f"k{next(_numbers)}",
        "digest": b"",
        "payload": {},
        "learned_at": NOW,
    }
