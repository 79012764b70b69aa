"""Scores and segments of a few customers whom a transaction has changed, renewed within it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Final, TypeAlias

import asyncpg
import msgspec
from sqlalchemy import ARRAY, BigInteger, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.query import whenever
from cdp.scoring.rescore import rescore
from cdp.segments.refresh import REFRESH_LOCK
from cdp.segments.segment import Defined, Segment, define, list_segments
from cdp.segments.several import Told, follow, followers
from cdp.segments.told import TELL, TELL_WHO_SHARES
from cdp.statements import Statement
from cdp.values import CustomerId
from cdp.workspace import Workspace

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_TURN: Final = "SELECT CASE WHEN pg_try_advisory_xact_lock($1) THEN clock_timestamp() END"


async def settle_now(
    connection: AsyncConnection,
    customers: Collection[CustomerId],
    workspace: Workspace,
    as_of: datetime,
) -> bool:
    """Scores and segments of customers whom the caller's transaction has changed, within it.

    False, and nothing is done, while a refresh is under way: it finds them when it comes to them.
    """
    driver = await driver_of(connection)
    # By the clock: in one transaction somebody may leave a segment and enter it again.
    at = await driver.fetchval(_TURN, REFRESH_LOCK)
    if at is None:
        return False
    segments = await list_segments(connection)
    steps = steps_of(Known(tuple(map(_written, segments)), segments), workspace)
    told = await _told(driver, customers, asks_consent=steps.asks_consent)
    ids = func.unnest(literal([one[0] for one in told], ARRAY(BigInteger)))
    await rescore(connection, workspace, as_of, select(ids))
    for statement in steps.statements:
        await follow(driver, statement, told, as_of, at)
    return True


async def _told(
    driver: Driver, customers: Collection[CustomerId], *, asks_consent: bool
) -> Sequence[Told]:
    """The customers, and who else is to be looked at because of them."""
    rows = await driver.fetch(TELL, sorted(customers))
    told = {row["id"]: (row["cause"], row["other_id"]) for row in rows}
    if asks_consent:
        causes = [cause for cause, _ in told.values()]
        for row in await driver.fetch(TELL_WHO_SHARES, list(told), causes):
            told.setdefault(row["id"], (row["cause"], None))
    return [(one, cause, other) for one, (cause, other) in told.items()]


_Written: TypeAlias = tuple[int, str, bytes]
"""What of a segment says whom it holds for: number, slug, filter as JSON."""


def _written(segment: Segment) -> _Written:
    return segment.id, segment.slug, msgspec.json.encode(segment.filter)


@dataclass(frozen=True, slots=True)
class Known:
    """All segments there are; those are the same that are written alike."""

    written: tuple[_Written, ...]
    segments: Sequence[Segment] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Steps:
    """What brings all segments up to date for a few customers, statement after statement."""

    statements: Sequence[Statement]
    asks_consent: bool


@lru_cache(maxsize=4)  # the segments there are, and those before them
def steps_of(known: Known, workspace: Workspace) -> Steps:
    """Those that name others come in a statement after these: it reads what these have stored."""
    definitions = define(known.segments, whenever(workspace), workspace)
    levels: dict[str, int] = {}
    conditions: dict[int, dict[int, Defined]] = {}
    for one in definitions:  # each after those that it names
        names = () if one.filter is None else one.filter.segments
        level = max((levels[name] + 1 for name in names if name in levels), default=0)
        levels[one.segment.slug] = level
        conditions.setdefault(level, {})[one.segment.id] = one
    return Steps(
        [
            statement
            for _, together in sorted(conditions.items())
            for statement in followers(
                {
                    number: one.filter.condition
                    for number, one in together.items()
                    if one.filter is not None
                }
            )
        ],
        any(one.filter is not None and one.filter.asks_consent for one in definitions),
    )
