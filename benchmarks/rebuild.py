"""The facts of a million customers with ten million orders, all folded anew."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground, execute
from benchmarks.processor import postgres_clock
from benchmarks.shop import open_shop
from cdp.database import open_database
from cdp.rebuild import rebuild as fold_everybody
from cdp.workspace import Workspace

CUSTOMERS: Final = 1_000_000
ORDERS_PER_CUSTOMER: Final = 10
MICROSECONDS: Final = 1_000_000


def rebuild(ground: Ground, scale: float) -> Iterator[Figure]:
    """As a change of the workspace's time zone has them folded, each in one transaction.

    The first finds days that were written without categories and channels: every row differs. The
    second finds everything as it folds it.
    """
    customers = max(200, round(CUSTOMERS * scale))
    with ground.database() as url:
        open_shop(url, customers, ORDERS_PER_CUSTOMER)
        execute(url, "VACUUM ANALYZE")
        yield from _measured("rebuild", url, customers * ORDERS_PER_CUSTOMER)
        yield from _measured("rebuild_again", url, customers * ORDERS_PER_CUSTOMER)


def _measured(name: str, url: str, orders: int) -> Iterator[Figure]:
    clock = postgres_clock(url)
    before, started = clock.seconds() if clock else 0.0, time.monotonic()
    asyncio.run(_fold(url))
    yield figure(name, time.monotonic() - started, "s")
    if clock is not None:
        seconds = clock.seconds() - before
        yield figure(f"{name}_postgres_processor", seconds, "s")
        yield figure(f"{name}_processor_per_order", seconds / orders * MICROSECONDS, "us")


async def _fold(url: str) -> None:
    async with open_database(url) as database, database.transaction() as connection:
        await fold_everybody(connection, Workspace(timezone="Europe/Berlin"))
