"""Figures of the whole business over a large shop: now, as of a year ago, and pairs of articles."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground, execute
from benchmarks.processor import PostgresClock, postgres_clock
from benchmarks.shop import open_shop
from cdp import recommendations
from cdp.business.moment import Moment, moment_of
from cdp.business.report import GROUPS, read_campaigns, read_figures
from cdp.business.retention import RetentionPeriod, read_retention
from cdp.database import open_database
from cdp.workspace import Workspace

CUSTOMERS: Final = 200_000  # with three orders and two messages each
SHOWN_CAMPAIGNS: Final = 25  # a page
PAST_DAYS: Final = 365
WORKSPACE: Final = Workspace()

_CAMPAIGNS: Final = """
INSERT INTO campaign (source_id, key, digest, payload, name, channel, started_at)
SELECT 1, 'k' || n, '', 'null', 'Campaign ' || n, 'email', now() - n * interval '10 days'
FROM generate_series(0, 39) n
"""
"""Those that the shop's messages name."""

Work = Callable[[AsyncConnection], Awaitable[object]]


def figures(ground: Ground, scale: float) -> Iterator[Figure]:
    """Fill a shop and ask for everything, each figure in processor seconds of PostgreSQL."""
    with ground.database() as url:
        open_shop(url, max(200, round(CUSTOMERS * scale)))
        execute(url, _CAMPAIGNS)
        execute(url, "VACUUM ANALYZE")
        yield from asyncio.run(_measure(url, postgres_clock(url)))


async def _measure(url: str, clock: PostgresClock | None) -> Sequence[Figure]:
    now = datetime.now(UTC)
    told = []
    async with open_database(url) as database:
        for name, work in _works(now):
            before, started = clock.seconds() if clock else 0.0, time.perf_counter()
            async with database.transaction() as connection:
                await work(connection)
            told.append(figure(f"figures_{name}", time.perf_counter() - started, "s"))
            if clock is not None:
                taken = clock.seconds() - before
                told.append(figure(f"figures_{name}_processor", taken, "s"))
    return told


def _works(now: datetime) -> Iterator[tuple[str, Work]]:
    for suffix, at in (("", now), ("_past", now - timedelta(days=PAST_DAYS))):
        moment = moment_of(at, now, WORKSPACE)

        async def grid(connection: AsyncConnection, moment: Moment = moment) -> object:
            return await read_retention(connection, RetentionPeriod.MONTH, moment)

        async def business(connection: AsyncConnection, moment: Moment = moment) -> object:
            return [await read_figures(connection, group, moment) for group in GROUPS]

        async def campaigns(connection: AsyncConnection, moment: Moment = moment) -> object:
            return await read_campaigns(connection, moment, SHOWN_CAMPAIGNS)

        yield f"retention{suffix}", grid
        yield f"business{suffix}", business
        yield f"campaigns{suffix}", campaigns
    yield "pairs", lambda connection: recommendations.refresh(connection, WORKSPACE)
