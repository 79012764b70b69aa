"""Shared by tests of ingest: a source of their own, batches of rows, and views of the result."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import tables
from cdp.delivery import Batch, Checkpoint, Deleted, Refused, receive
from cdp.ingest import Applied, apply
from cdp.values import SourceId
from cdp.workspace import Workspace

WORKSPACE = Workspace(currency="EUR", region="GB", timezone="Europe/Berlin")

Row = Mapping[str, object]


async def a_source(connection: AsyncConnection, name: str = "shop") -> SourceId:
    """The source of that name, added where there is none."""
    source = tables.source
    found = await connection.scalar(select(source.c.id).where(source.c.name == name))
    if found is None:
        found = await connection.scalar(
            source.insert().values(name=name, connector="file").returning(source.c.id)
        )
    assert found is not None
    return SourceId(found)


async def take(
    connection: AsyncConnection,
    stream: str,
    rows: Iterable[Row],
    *,
    source: str = "shop",
    workspace: Workspace = WORKSPACE,
    checkpoint: Checkpoint | None = None,
) -> Applied:
    """Apply rows of one stream as one batch."""
    deliveries = [receive(stream, row, place=f"line {n}") for n, row in enumerate(rows, 1)]
    batch = Batch(await a_source(connection, source), deliveries, checkpoint)
    return await apply(connection, batch, workspace)


async def take_mixed(
    connection: AsyncConnection,
    rows: Sequence[tuple[str, Row]],
    *,
    source: str = "shop",
    workspace: Workspace = WORKSPACE,
) -> Applied:
    """Apply rows of several streams of one source as one batch, in their order."""
    deliveries = [receive(stream, row) for stream, row in rows]
    assert not [one for one in deliveries if isinstance(one, Refused)]
    return await apply(connection, Batch(await a_source(connection, source), deliveries), workspace)


async def drop(connection: AsyncConnection, deleted: Deleted, *, source: str = "shop") -> Applied:
    """Apply one delete."""
    return await apply(connection, Batch(await a_source(connection, source), [deleted]), WORKSPACE)


async def partition(connection: AsyncConnection) -> set[frozenset[str]]:
    """The customers as sets of `source/stream/key`: blind to ids."""
    profile, source = tables.source_profile, tables.source
    rows = await connection.execute(
        select(profile.c.customer_id, source.c.name, profile.c.stream, profile.c.key).join(
            source, source.c.id == profile.c.source_id
        )
    )
    groups: dict[int, set[str]] = {}
    for customer_id, name, stream, key in rows:
        groups.setdefault(customer_id, set()).add(f"{name}/{stream}/{key}")
    return {frozenset(group) for group in groups.values()}


async def customers(connection: AsyncConnection) -> Sequence[RowMapping]:
    """Every customer's row, by id."""
    rows = await connection.execute(select(tables.customer).order_by(tables.customer.c.id))
    return rows.mappings().all()


async def facts_by_members(
    connection: AsyncConnection,
) -> dict[frozenset[str], Mapping[str, object]]:
    """Facts and attributes of each customer, by its source profiles; no ids, no clocks."""
    profile, source = tables.source_profile, tables.source
    found: dict[int, set[str]] = {}
    for customer_id, name, stream, key in await connection.execute(
        select(profile.c.customer_id, source.c.name, profile.c.stream, profile.c.key).join(
            source, source.c.id == profile.c.source_id
        )
    ):
        found.setdefault(customer_id, set()).add(f"{name}/{stream}/{key}")
    volatile = {"id", "updated_at", "created_at"}
    return {
        frozenset(found[row["id"]]): {
            name: _plain(value) for name, value in row.items() if name not in volatile
        }
        for row in await customers(connection)
    }


def _plain(value: object) -> object:
    return value.normalize() if isinstance(value, Decimal) else value
