"""The map brought up to date outside ingest: after a decision, a scored pair, another rule."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.customers import lock_customers, refresh_attributes, refresh_facts
from cdp.database import driver as driver_of
from cdp.identity import ledger
from cdp.identity.ledger import Cause
from cdp.identity.resolve import Resolution, resolve_stored
from cdp.identity.rules import Rules
from cdp.tables import source_profile
from cdp.values import CustomerId, ProfileId

REMAP_BATCH: Final = 5_000  # source profiles resolved together: bounds memory, not the result


@dataclass(frozen=True, slots=True)
class Remap:
    """A resolution of stored profiles, written to the map and the ledger but not folded yet."""

    resolution: Resolution
    event_ids: list[int]

    @property
    def customer_ids(self) -> set[CustomerId]:
        """Everyone whom a source profile left or joined; not all of them are there any more."""
        return {
            one
            for move in self.resolution.moves
            for one in (move.customer_id, move.from_customer_id)
        }


async def write_map(
    connection: AsyncConnection,
    profile_ids: Collection[ProfileId],
    rules: Rules,
    cause: Cause,
    at: datetime,
) -> Remap:
    """Resolve stored profiles anew; attributes and facts wait for `fold`."""
    driver = await driver_of(connection)
    resolution = await resolve_stored(driver, profile_ids, rules)
    return Remap(resolution, await ledger.record(driver, resolution, rules, at, cause=cause))


async def fold(connection: AsyncConnection, remap: Remap) -> None:
    """Fold the customers who changed, locked before anything of theirs is read."""
    moved = {one for move in remap.resolution.moves for one in move.profile_ids}
    if moved:
        await lock_customers(connection, moved, remap.customer_ids)
        await refresh_attributes(connection, remap.customer_ids)
        await refresh_facts(connection, remap.customer_ids)


async def profile_batches(connection: AsyncConnection) -> list[list[ProfileId]]:
    """Every source profile there is, in batches, by id."""
    rows = await connection.execute(select(source_profile.c.id).order_by(source_profile.c.id))
    return list(batches([ProfileId(row[0]) for row in rows]))


def batches(profile_ids: list[ProfileId]) -> Iterator[list[ProfileId]]:
    """As many as are resolved together."""
    for start in range(0, len(profile_ids), REMAP_BATCH):
        yield profile_ids[start : start + REMAP_BATCH]


async def moment_of(connection: AsyncConnection) -> datetime:
    """The transaction's moment, as everything that it writes bears it."""
    moment = await connection.scalar(select(func.now()))
    assert isinstance(moment, datetime)
    return moment
