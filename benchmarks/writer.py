"""`python -m benchmarks.writer NUMBER COUNT PERSONS`: one writer, which applies micro-batches.

It says that it is ready, waits for a line, works, and tells the seconds of each batch as JSON.
"""

import gc
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from benchmarks.people import told_by
from cdp import event_loop
from cdp.ahead import work_ahead
from cdp.database import Database, open_database
from cdp.delivery import Batch, receive
from cdp.ingest import apply
from cdp.settings import read_settings
from cdp.sources import SourceRow, add_source
from cdp.workspace import Workspace, read_workspace

BATCH: Final = 50  # records: what a busy webhook or a queue hands over at a time
WARM_BATCHES: Final = 4  # told before the start, so that connections and statements are there


@dataclass(frozen=True, slots=True)
class _Writer:
    """One source and the way to its database."""

    database: Database
    source: SourceRow
    workspace: Workspace

    async def apply(self, rows: Sequence[Mapping[str, object]]) -> float:
        """Validate and apply; the seconds from the start of the transaction to its commit."""
        deliveries = [receive("customers", row) for row in rows]
        ahead = work_ahead(deliveries, self.source.id, self.source.name, self.workspace.region)
        batch = Batch(self.source.id, deliveries)
        started = time.perf_counter()
        async with self.database.transaction() as connection:
            await apply(connection, batch, self.workspace, ahead)
        return time.perf_counter() - started


class Written(msgspec.Struct, frozen=True):
    """What a writer tells: the seconds of each batch, and its processor's for all of them."""

    batches: list[float]
    processor: float


async def _write(number: int, count: int, persons: int) -> Written:
    url = read_settings().database_url
    assert url is not None
    rows = list(told_by(number, count, persons))
    cut = [rows[start : start + BATCH] for start in range(0, count, BATCH)]
    async with open_database(url) as database:
        async with database.transaction() as connection:
            workspace = await read_workspace(connection)
            source = await add_source(connection, f"source{number}", "file", {})
        writer = _Writer(database, source, workspace)
        for batch in cut[:WARM_BATCHES]:
            await writer.apply(batch)
        gc.collect()
        gc.freeze()
        print("ready", flush=True)
        sys.stdin.readline()
        started = time.process_time()
        seconds = [await writer.apply(batch) for batch in cut[WARM_BATCHES:]]
        return Written(seconds, time.process_time() - started)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(event_loop.run(_write(*map(int, sys.argv[1:])))))
