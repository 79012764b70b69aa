"""The map brought up to date outside ingest: after a decision, a scored pair, another rule."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp import outbox
from cdp.customers import (
    lock_customers,
    refresh_activity,
    refresh_attributes,
    refresh_facts,
)
from cdp.database import by_index
from cdp.database import driver as driver_of
from cdp.identity import ledger
from cdp.identity.ledger import Cause
from cdp.identity.resolve import Move, Resolution, resolve_stored
from cdp.identity.rules import Rules
from cdp.tables import source_profile
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace

REMAP_BATCH: Final = 5_000  # source profiles resolved together: bounds memory, not the result
MOVES_KEPT: Final = 200  # to be shown: a person reads no more; the counts are of all


@dataclass(frozen=True, slots=True)
class Remap:
    """A resolution of stored profiles, written to the map and the ledger but not folded yet."""

    resolution: Resolution
    event_ids: list[int]
    rules: Rules

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
    return Remap(resolution, await ledger.record(driver, resolution, rules, at, cause=cause), rules)


async def fold(connection: AsyncConnection, remap: Remap, workspace: Workspace) -> None:
    """Fold the customers who changed, locked before anything of theirs is read."""
    moved = {one for move in remap.resolution.moves for one in move.profile_ids}
    if moved:
        await lock_customers(connection, moved, remap.customer_ids)
        async with by_index(await driver_of(connection)):
            await refresh_attributes(connection, remap.customer_ids, remap.rules.survivorship)
            await refresh_facts(connection, remap.customer_ids, workspace)
            await refresh_activity(connection, remap.customer_ids, workspace)
        await outbox.note(connection, remap.customer_ids, "identity")


@dataclass(slots=True)
class Tally:
    """A change of the map while it is worked out, batch by batch.

    `seen`: everyone resolved; `moved`: who left, and for which customer; `joined` and `parted`
    count the entries of the ledger, `more_customers` how many customers there are more.
    """

    seen: set[ProfileId] = field(default_factory=set)
    moves: list[Move] = field(default_factory=list)
    moved: list[tuple[ProfileId, CustomerId]] = field(default_factory=list)
    joined: int = 0
    parted: int = 0
    more_customers: int = 0

    def add(self, resolution: Resolution) -> None:
        """Count one batch, but for whom one before has told of already."""
        fresh = resolution.customer_of.keys() - self.seen
        self.seen |= fresh
        before = {resolution.before[one] for one in fresh}
        self.more_customers += len({resolution.customer_of[one] for one in fresh}) - len(before)
        moves = [move for move in resolution.moves if move.profile_ids[0] in fresh]
        splits = sum(1 for move in moves if move.kind == "split")
        self.parted += splits
        self.joined += len(moves) - splits
        for move in moves:
            self.moved += [(one, move.customer_id) for one in move.profile_ids]
        self.moves += moves[: MOVES_KEPT - len(self.moves)]


async def remap_all(
    connection: AsyncConnection,
    profile_ids: Sequence[ProfileId],
    rules: Rules,
    cause: Cause,
    at: datetime,
    workspace: Workspace,
) -> Tally:
    """Resolve any number of stored profiles anew and fold whom it changes, in bounded batches.

    A component is resolved once, with the first of its profiles.
    """
    tally = Tally()
    for start in range(0, len(profile_ids), REMAP_BATCH):
        batch = profile_ids[start : start + REMAP_BATCH]
        rest = [one for one in batch if one not in tally.seen]
        remap = await write_map(connection, rest, rules, cause, at)
        await fold(connection, remap, workspace)
        tally.add(remap.resolution)
    return tally


async def every_profile(connection: AsyncConnection) -> list[ProfileId]:
    """All source profiles there are, by id."""
    rows = await connection.execute(select(source_profile.c.id).order_by(source_profile.c.id))
    return [ProfileId(row[0]) for row in rows]


async def moment_of(connection: AsyncConnection) -> datetime:
    """The transaction's moment, as everything that it writes bears it."""
    moment = await connection.scalar(select(func.now()))
    assert isinstance(moment, datetime)
    return moment
