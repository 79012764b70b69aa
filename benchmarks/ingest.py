"""From a file to committed customers, and to orders with lines; the same file again; plain COPY."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.command import Run, run
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground
from benchmarks.people import write_customers, write_orders
from benchmarks.processor import postgres_clock

CUSTOMERS: Final = 200_000
ORDERS: Final = 100_000
LINES_PER_ORDER: Final = 2
MICROSECONDS: Final = 1e6
SETTLE_SECONDS: Final = 20  # for the statistics of connections that were closed to be counted
POLL_SECONDS: Final = 0.2

_KEPT_OF_RUNS: Final = ("source", "sync_run", "checkpoint")
"""What is written of every run, whether or not it brought anything."""

_ROWS_WRITTEN: Final = """
    SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint
    FROM pg_stat_user_tables WHERE relname <> ALL ($1::text[])"""

_OTHERS: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend'"""


def ingest(ground: Ground, scale: float) -> Iterator[Figure]:
    """Customers, the identical file again, the share of plain COPY, and orders with lines."""
    customers, orders = max(30, round(CUSTOMERS * scale)), max(10, round(ORDERS * scale))
    clock = postgres_clock(ground.server_url)
    people, purchases = ground.folder / "customers.jsonl", ground.folder / "orders.jsonl"
    write_customers(people, customers)
    write_orders(purchases, orders, customers)
    with ground.database() as url:
        run("migrate", variables={"CDP_DATABASE_URL": url})
        told = ("import", people, "--source", "shop", "--stream", "customers")
        first = run(*told, clock=clock, variables={"CDP_DATABASE_URL": url})
        yield from _speed("customers", "records", customers, first)
        yield figure("customers_share_of_copy", _copy_seconds(url, people) / first.seconds, "ratio")
        written = asyncio.run(_rows_written(url))
        again = run(*told, clock=clock, variables={"CDP_DATABASE_URL": url})
        yield from _speed("customers_again", "records", customers, again)
        added = asyncio.run(_rows_written(url)) - written
        yield figure("customers_again_rows_written", added, "rows")
        sold = ("import", purchases, "--source", "shop", "--stream", "orders")
        third = run(*sold, clock=clock, variables={"CDP_DATABASE_URL": url})
        yield from _speed("orders", "orders", orders, third)
        lines = orders * LINES_PER_ORDER / third.told["seconds"]
        yield figure("orders_lines_rate", lines, "lines/s")
        yield figure("orders_share_of_copy", _copy_seconds(url, purchases) / third.seconds, "ratio")


def _speed(name: str, things: str, count: int, measured: Run) -> Iterator[Figure]:
    """Wall time from the file to the last commit, and as a person waits; processor time a thing.

    A person waits for the start of the program too, and for scores and segments to follow.
    """
    yield figure(f"{name}_rate", count / measured.told["seconds"], f"{things}/s")
    yield figure(f"{name}_command_rate", count / measured.seconds, f"{things}/s")
    cost = measured.client_seconds / count * MICROSECONDS
    yield figure(f"{name}_client_processor", cost, f"us/{things.removesuffix('s')}")
    if measured.postgres_seconds is not None:
        cost = measured.postgres_seconds / count * MICROSECONDS
        yield figure(f"{name}_postgres_processor", cost, f"us/{things.removesuffix('s')}")


def _copy_seconds(url: str, path: Path) -> float:
    """How long plain COPY takes for the same lines, into one text column, committed."""

    async def copy() -> float:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute("CREATE TABLE plain_copy (line text)")
            started = time.monotonic()
            # Characters that JSON never holds bare, so that every line is one field.
            await connection.copy_to_table(
                "plain_copy", source=path, format="csv", delimiter="\x02", quote="\x01"
            )
            seconds = time.monotonic() - started
            await connection.execute("DROP TABLE plain_copy")
            return seconds
        finally:
            await connection.close()

    return asyncio.run(copy())


async def _rows_written(url: str) -> int:
    """Rows inserted, updated or deleted so far, runs' own rows aside.

    A connection tells its counts at the latest when it ends, so others are waited for.
    """
    connection = await asyncpg.connect(url)
    try:
        deadline = time.monotonic() + SETTLE_SECONDS
        while await connection.fetchval(_OTHERS) and time.monotonic() < deadline:
            await connection.fetchval("SELECT pg_sleep($1)", POLL_SECONDS)
        written = await connection.fetchval(_ROWS_WRITTEN, list(_KEPT_OF_RUNS))
        assert isinstance(written, int)
        return written
    finally:
        await connection.close()
