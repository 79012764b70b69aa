"""Segments at a million customers: kept up to date after a batch, and previewed."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import select

from benchmarks.command import BenchmarkFailed
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground, execute
from benchmarks.processor import PostgresClock, postgres_clock
from benchmarks.shop import open_shop
from cdp import outbox, tables
from cdp.customers import lock_customers, refresh_days, refresh_facts
from cdp.database import Database, driver, open_database
from cdp.keys import VIEWERS, Role
from cdp.segments.definition import Draft, create_segment
from cdp.segments.refresh import refresh_segments
from cdp.survivorship_rules import DEFAULT
from cdp.values import CustomerId, ProfileId
from cdp.workspace import Workspace
from schema.operation import Asked, Operations
from schema.root import build_schema
from schema.statement import Given

CUSTOMERS: Final = 1_000_000
TOUCHED: Final = 10_000
SEGMENTS: Final = 50
ROUNDS: Final = 5  # the median is told
PREVIEWS: Final = 100  # of each kind, no two alike; the median and the 99th percentile are told
MILLISECONDS: Final = 1_000
PREVIEW: Final = """query ($filter: CustomerFilter!) {
    segmentPreview(filter: $filter) { count percentage sample { id } } }"""
WORKSPACE: Final = Workspace()

_TURN_LAST_ORDERS: Final = """
UPDATE sales_order SET status = CASE status WHEN 'completed' THEN 'cancelled' ELSE 'completed' END
WHERE (source_id, key) IN (
    SELECT DISTINCT ON (source_profile_id) source_id, key FROM sales_order
    WHERE source_profile_id = ANY($1::bigint[]) ORDER BY source_profile_id, placed_at DESC
)
RETURNING source_profile_id, placed_at
"""

Filter = dict[str, Any]


def segments(ground: Ground, scale: float) -> Iterator[Figure]:
    """Fill a shop, keep fifty segments of it, touch customers, preview."""
    customers = max(200, round(CUSTOMERS * scale))
    touched = max(10, round(TOUCHED * scale))
    with ground.database() as url:
        open_shop(url, customers)
        execute(url, "VACUUM ANALYZE")
        clock = postgres_clock(url)
        yield from asyncio.run(_measure(url, customers, touched, clock))


async def _measure(
    url: str, customers: int, touched: int, clock: PostgresClock | None
) -> Sequence[Figure]:
    async with open_database(url) as database:
        figures = [figure("segments_first", await _first(database), "s")]
        rounds = sorted(
            [await _follow(database, customers, touched, round_, clock) for round_ in range(ROUNDS)]
        )
        seconds, processor = rounds[len(rounds) // 2]
        figures.append(figure("segments_refresh", seconds, "s"))
        if clock is not None:
            figures.append(figure("segments_refresh_processor", processor, "s"))
        previews = _Previews(database)
        for name, filters in (("traits", _by_traits), ("orders", _by_orders)):
            taken = sorted([await previews.one(filters(number)) for number in range(PREVIEWS)])
            for rank in (50, 99):
                at = taken[len(taken) * rank // 100 - 1]
                figures.append(figure(f"preview_{name}_p{rank}", at * MILLISECONDS, "ms"))
    return figures


async def _first(database: Database) -> float:
    """Save fifty segments beside those that come ready, and find everybody's."""
    async with database.transaction() as connection:
        there = await connection.execute(select(tables.segment.c.id))
        for number in range(SEGMENTS - len(there.all())):
            draft = Draft(name=f"Segment {number}", filter=_segment(number))
            await create_segment(connection, draft, WORKSPACE)
    started = time.perf_counter()
    await refresh_segments(database, WORKSPACE)
    return time.perf_counter() - started


async def _follow(
    database: Database, customers: int, touched: int, number: int, clock: PostgresClock | None
) -> tuple[float, float]:
    """Fold the facts of those whom a batch touched, and bring every segment up to date.

    The last order of each is cancelled, or stands again if it was.
    """
    ids = [1 + (number + step * (customers // touched)) % customers for step in range(touched)]
    async with database.transaction() as connection:
        rows = await (await driver(connection)).fetch(_TURN_LAST_ORDERS, ids)
        days = {(ProfileId(row[0]), row[1].date()) for row in rows}
    before, started = clock.seconds() if clock else 0.0, time.perf_counter()
    async with database.transaction() as connection:
        locked = await lock_customers(connection, [ProfileId(one) for one in ids])
        await refresh_days(connection, days, WORKSPACE)
        await refresh_facts(connection, locked, WORKSPACE)
        await outbox.note(connection, [CustomerId(one) for one in ids], "ingest")
    await refresh_segments(database, WORKSPACE)
    taken = time.perf_counter() - started
    return taken, (clock.seconds() if clock else 0.0) - before


class _Previews:
    """Previews as the graph answers them: planned, run as one statement by a reader."""

    def __init__(self, database: Database) -> None:
        self._reader = database.reader
        schema = build_schema()._schema  # noqa: SLF001  Strawberry has no public name for it
        self._operation = Operations(schema).read(PREVIEW, None)

    async def one(self, filter_: Filter) -> float:
        """How long one takes, in seconds."""
        given = {"filter": filter_}
        started = time.perf_counter()
        values = self._operation.variables(given)
        asked = Asked(given, values, VIEWERS[Role.ADMIN], WORKSPACE, DEFAULT)
        statement = self._operation.statement(asked)
        row = await statement.fetch(self._reader, Given(values, datetime.now(UTC)))
        taken = time.perf_counter() - started
        if b'"count":null' in row["data"]:
            raise BenchmarkFailed(f"The preview of {filter_} answered nothing.")
        return taken


# Filters --------------------------------------------------------------------------------------

_COUNTRIES: Final = ("DE", "GB", "FR", "US")
_CATEGORIES: Final = ("Shoes", "Books", "Garden", "Kitchen", "Toys", "Tea")
_STAGES: Final = ("NEW", "ACTIVE", "LOYAL", "AT_RISK", "LAPSED", "LOST")


def _by_traits(number: int) -> Filter:
    """Three clauses on traits."""
    return {
        "purchases": {"netSpend": {"gte": str(20 + number)}, "orderCount": {"gte": 1 + number % 4}},
        "rfm": {"recencyDays": {"lte": 30 + 5 * number}},
    }


def _by_orders(number: int) -> Filter:
    """One clause on orders."""
    lately = {"placedAt": {"withinLast": f"P{20 + number}D"}, "total": {"gte": 30 + number % 50}}
    return {"orders": {"some": lately}}


def _segment(number: int) -> Filter:
    """Of ten kinds, so that time, records and other segments have their part."""
    country, category = _COUNTRIES[number % 4], _CATEGORIES[number % 6]
    window = {"withinLast": f"P{30 + number}D"}
    bought = {"placedAt": window, "lines": {"some": {"category": {"eq": category}}}}
    return (
        {"purchases": {"netSpend": {"gte": str(100 + 10 * number)}}, "country": {"eq": country}},
        {"rfm": {"recencyDays": {"lte": 10 + number}}, "country": {"in": [country, "US"]}},
        {"lifecycle": {"stage": {"eq": _STAGES[number % 6]}}, "country": {"eq": country}},
        {"purchases": {"lastOrderAt": window, "orderCount": {"gte": 1 + number % 5}}},
        {"orders": {"some": bought}},
        {"orders": {"count": {"where": {"placedAt": window}, "gte": 2}}},
        {"messages": {"some": {"kind": {"eq": "opened"}, "occurredAt": window}}},
        {"purchases": {"orderCount": {"gte": 1}}, "messages": {"none": {"occurredAt": window}}},
        {"segments": {"in": ["loyal", "big-spenders"]}, "country": {"ne": country}},
        {"not": {"segments": {"in": ["prospects", "lost"]}}, "rfm": {"frequency": {"gte": 3}}},
    )[number % 10]
