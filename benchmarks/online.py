"""Online resolution by several writers at once, whether it equals the offline one, and undoing."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random
from statistics import quantiles
from typing import Final

import msgspec
from sqlalchemy import func, select

from benchmarks.command import ROOT, BenchmarkFailed, environment, run
from benchmarks.figure import Figure, figure
from benchmarks.ground import Ground, execute
from benchmarks.people import SEED
from benchmarks.processor import postgres_clock
from benchmarks.writer import BATCH, WARM_BATCHES, Written
from cdp.database import Database, driver, open_database
from cdp.deciding import Author
from cdp.errors import AlreadyUndone
from cdp.identity.rules import read_document
from cdp.rulechange import try_rules
from cdp.stewardship import merge_customers, undo
from cdp.tables import customer, merge_event
from cdp.values import CustomerId
from cdp.workspace import Workspace

WRITERS: Final = 8
RECORDS: Final = 400_000  # told by all of them
PERSONS: Final = 250_000  # of whom some 200,000 are told of, twice on average
UNDONE: Final = 300  # merges of each sort
FEWEST_UNDONE: Final = 3
MICROSECONDS: Final = 1e6
MILLISECONDS: Final = 1e3

_AUTHOR: Final = Author("benchmark", "To see how long it takes.")


def online(ground: Ground, scale: float) -> Iterator[Figure]:
    """Eight writers in micro-batches, the map against the one computed anew, merges undone."""
    batches = max(2, round(RECORDS * scale) // WRITERS // BATCH)
    persons = max(100, round(PERSONS * scale))
    with ground.database() as url:
        run("migrate", variables={"CDP_DATABASE_URL": url})
        yield from _written(url, batches, persons)
        execute(url, "VACUUM ANALYZE")
        yield from asyncio.run(_compared_and_undone(url, max(FEWEST_UNDONE, round(UNDONE * scale))))


def _written(url: str, batches: int, persons: int) -> Iterator[Figure]:
    """The rate from the common start to the last commit, and how long a batch takes."""
    clock = postgres_clock(url)
    with _writers(url, (batches + WARM_BATCHES) * BATCH, persons) as writers:
        server = clock.seconds() if clock else 0.0
        started = time.monotonic()
        told = _go(writers)
        seconds = time.monotonic() - started
        server = clock.seconds() - server if clock else 0.0
    records = WRITERS * batches * BATCH
    yield figure("online_rate", records / seconds, "records/s")
    yield from _latency("online_batch", [each for one in told for each in one.batches])
    client = sum(one.processor for one in told)
    yield figure("online_client_processor", client / records * MICROSECONDS, "us/record")
    if clock is not None:
        yield figure("online_postgres_processor", server / records * MICROSECONDS, "us/record")
    yield figure("online_processors_busy", (client + server) / seconds, "processors")


@contextmanager
def _writers(url: str, count: int, persons: int) -> Iterator[Sequence["subprocess.Popen[bytes]"]]:
    """Writers that are ready, each a process with a source of its own."""
    command = (sys.executable, "-m", "benchmarks.writer")
    writers = [
        subprocess.Popen(  # noqa: S603 (our own command)
            [*command, *map(str, (number, count, persons))],
            cwd=ROOT,
            env=environment({"CDP_DATABASE_URL": url}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for number in range(WRITERS)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            if writer.stdout.readline() != b"ready\n":
                raise BenchmarkFailed("A writer has ended before the start.")
        yield writers
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def _go(writers: Sequence["subprocess.Popen[bytes]"]) -> list[Written]:
    """Let all of them begin, and wait for the last."""
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.flush()
    told = []
    for writer in writers:
        assert writer.stdout is not None
        said = writer.stdout.read()
        if writer.wait() != 0:
            raise BenchmarkFailed("A writer has failed.")
        told.append(msgspec.json.decode(said, type=Written))
    return told


def _latency(name: str, seconds: Sequence[float]) -> Iterator[Figure]:
    cuts = quantiles(seconds, n=100, method="inclusive")
    yield figure(f"{name}_p50", cuts[49] * MILLISECONDS, "ms")
    yield figure(f"{name}_p99", cuts[98] * MILLISECONDS, "ms")


async def _compared_and_undone(url: str, count: int) -> list[Figure]:
    async with open_database(url) as database:
        return [*await _compared(database), *await _undone(database, count)]


async def _compared(database: Database) -> list[Figure]:
    """How many moves would make the map the one that all the evidence gives: none."""
    async with database.read_only() as connection:
        _, document, _ = await read_document(await driver(connection))
        tried = await try_rules(connection, document)
    return [
        figure("online_customers", tried.customers_before, "customers"),
        figure("online_moves_to_offline", tried.joined + tried.parted, "moves"),
    ]


async def _undone(database: Database, count: int) -> list[Figure]:
    """Merges by hand of two customers each, then taken back; and those that the rules made."""
    async with database.read_only() as connection:
        table = customer
        ids = await connection.scalars(select(table.c.id).order_by(func.hashint8(table.c.id)))
        pairs = list(ids)[: 2 * count]
        events = await connection.scalars(
            select(merge_event.c.id).where(merge_event.c.kind == "merged")
        )
        automatic = list(events)
    Random(SEED).shuffle(automatic)  # noqa: S311 (repeatable chance)
    by_hand = [await _merge(database, *pairs[at : at + 2]) for at in range(0, len(pairs), 2)]
    return [
        *_latency("undo_merge", [await _undo(database, one) for one in by_hand]),
        *_latency("undo_automatic_merge", await _undone_of(database, automatic, count)),
    ]


async def _undone_of(database: Database, event_ids: Sequence[int], count: int) -> list[float]:
    """The seconds of the first so many that still hold; later ones may have parted others again."""
    seconds: list[float] = []
    for event_id in event_ids:
        with suppress(AlreadyUndone):
            seconds.append(await _undo(database, event_id))
        if len(seconds) == count:
            return seconds
    raise BenchmarkFailed(f"Only {len(seconds)} of {count} merges could be undone.")


async def _merge(database: Database, *customer_ids: CustomerId) -> int:
    async with database.transaction() as connection:
        done = await merge_customers(connection, customer_ids, _AUTHOR, Workspace())
    event_id = done.changes[0].event_id
    assert event_id is not None
    return event_id


async def _undo(database: Database, event_id: int) -> float:
    """The seconds from the start of the transaction to its commit."""
    started = time.perf_counter()
    async with database.transaction() as connection:
        await undo(connection, event_id, _AUTHOR, Workspace())
    return time.perf_counter() - started
