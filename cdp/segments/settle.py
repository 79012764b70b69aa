"""Scores and segments of a few customers whom a transaction has changed, renewed within it."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, TypeAlias

import asyncpg
from sqlalchemy import ARRAY, BigInteger, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from cdp.database import driver as driver_of
from cdp.scoring.rescore import rescore
from cdp.segments.evaluation import TOLD, known, sound, steps_of
from cdp.segments.refresh import REFRESH_LOCK, note_errors
from cdp.segments.segment import list_segments
from cdp.segments.told import TELL, TELL_WHO_SHARES
from cdp.values import CustomerId
from cdp.workspace import Workspace

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

Told: TypeAlias = tuple[CustomerId, str, CustomerId | None]
"""Who is to be looked at, why, in words, and whom that speaks of."""

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
    steps = steps_of(known(sound(segments)), workspace, of_touched_now=False)
    told = await _told(driver, customers, asks_consent=steps.asks_consent)
    ids = func.unnest(literal([one[0] for one in told], ARRAY(BigInteger)))
    await rescore(connection, workspace, as_of, select(ids))
    if told:
        given = (list(each) for each in zip(*told, strict=True))
        found = await steps.follow(driver, as_of, at, **dict(zip(TOLD, given, strict=True)))
        await note_errors(connection, found.errors)
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
