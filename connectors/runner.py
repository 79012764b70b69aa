"""Fetch, apply, checkpoint, page by page; all retry lives here."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import asdict, dataclass, field
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError

from cdp.ahead import Ahead, look_at, work_ahead
from cdp.database import Database
from cdp.delivery import Batch, Checkpoint
from cdp.errors import CdpError, DatabaseUnavailable, Fenced, SettingsChanged
from cdp.ingest import Applied, apply
from cdp.refresh import refresh_due
from cdp.sources import (
    RunStatus,
    SourceRow,
    finish_run,
    record_progress,
    start_run,
    take_checkpoint,
)
from cdp.values import Json, RunId
from cdp.workspace import Workspace
from connectors.base import Abort, Page, Retry, Skip, Source

_LOG: Final = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 8  # in a row without a new page: about two minutes of waiting
FIRST_BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 60.0
MAX_RETRY_AFTER_SECONDS: Final = 900.0  # a vendor that asks for longer is tried again next run
MAX_PAGE_CONFLICTS: Final = 5  # deadlocks and serialization failures of one page
TOLERATED_REFUSALS: Final = 100
TOLERATED_REFUSED_SHARE: Final = 0.01
CONFLICT_STATES: Final = frozenset({"40001", "40P01", "23505"})
"""Serialization failure, deadlock, and a record that another writer stored at the same moment."""

NOT_THE_SOURCES: Final = (DatabaseUnavailable, OSError)
"""Failures of the machine, such as a full disk or a reader of our output who has left."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come. `waiting` is why it stands still, empty while it moves."""

    source: str
    stream: str
    records: int
    refused: int
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended.

    `records` counts what was delivered, by stream of the source; `counts` what became of it;
    `notes` are the findings that a person may want to look at.
    """

    source: str
    status: RunStatus
    records: Mapping[str, int]
    counts: Mapping[str, int]
    notes: Mapping[str, int]
    seconds: float
    error: str | None = None


class _TooManyRefused(Exception):
    """The error budget is used up: something is wrong with the source, not with a record."""


@dataclass(slots=True)
class _Run:
    """What one run has at hand, and what it has counted."""

    database: Database
    row: SourceRow
    source: Source
    workspace: Workspace
    run_id: RunId
    on_progress: Callable[[Progress], None]
    backoff_seconds: float
    has_budget: bool
    read_anew: Callable[[], Awaitable[Workspace]] | None
    brings_news: bool = False
    records: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def tell(self, stream: str, waiting: str = "") -> None:
        """Tell whoever watches."""
        refused = self.counts["refused"]
        self.on_progress(Progress(self.row.name, stream, self.records.total(), refused, waiting))


def _unwatched(_progress: Progress) -> None:
    """Nobody watches."""


async def sync(
    database: Database,
    row: SourceRow,
    source: Source,
    workspace: Workspace,
    *,
    full: bool = False,
    has_budget: bool = False,
    on_progress: Callable[[Progress], None] = _unwatched,
    backoff_seconds: float = FIRST_BACKOFF_SECONDS,
    read_anew: Callable[[], Awaitable[Workspace]] | None = None,
) -> RunReport:
    """Read every stream of a source up to now; never raises for what the source or a record does.

    A list that the vendor refuses fails the run, and the lists after it are read all the same.
    `full` starts each stream from the beginning; `has_budget` stops a run of which too many records
    are refused, as suits a vendor whose records are well formed or not at all. Every page is
    committed with its cursor, so that a run that ends early is taken up where it stopped.
    `read_anew` reads the settings again where they change meanwhile; None: the run fails then.
    """
    started = time.monotonic()
    async with database.transaction() as connection:
        run_id = await start_run(connection, row.id)
    how = on_progress, backoff_seconds, has_budget, read_anew
    run = _Run(database, row, source, workspace, run_id, *how)
    error = await _outcome(run, full=full)
    await refresh_due(database, run.workspace)
    status: RunStatus = "failed" if error else "partial" if run.counts["refused"] else "ok"
    async with database.transaction() as connection:
        await finish_run(connection, run_id, status, run.counts, error)
    return RunReport(
        row.name,
        status,
        dict(run.records),
        dict(run.counts),
        dict(run.notes),
        time.monotonic() - started,
        error,
    )


async def refuse(database: Database, row: SourceRow, error: str) -> RunReport:
    """Note a run that could not even begin, so that whoever looks at the source sees why."""
    async with database.transaction() as connection:
        run_id = await start_run(connection, row.id)
        await finish_run(connection, run_id, "failed", {}, error)
    return RunReport(row.name, "failed", {}, {}, {}, 0.0, f"{row.name} ({row.connector}): {error}")


async def _outcome(run: _Run, *, full: bool) -> str | None:
    """Run every stream; the sentence that says why not all was read, or None."""
    reasons: list[str] = []
    try:
        for stream in run.source.streams:
            reasons += await _refusals(run, stream, full=full)
    except Fenced as error:
        return f"Another run of {run.row.name} took over. {error}"
    except _TooManyRefused as error:
        return str(error)
    except Retry as error:
        reasons.append(f"{error} Given up for now; run it again.")
    except BaseException as error:
        if not isinstance(error, Exception) or isinstance(error, NOT_THE_SOURCES):
            await _interrupted(run)
            raise
        reasons.append(str(error) if isinstance(error, CdpError) else fault(run.row, error))
    return f"{run.row.name} ({run.row.connector}): {' '.join(reasons)}" if reasons else None


async def _refusals(run: _Run, stream: str, *, full: bool) -> list[str]:
    """Read one stream; why it could not be read where that leaves the others to be read."""
    try:
        await _read_stream(run, stream, full=full)
    except Abort as refusal:
        if not refusal.is_of_one_list:
            raise
        return [f"The list {stream} was refused: {refusal}"]
    except Skip as skip:
        return [f"The answer for the list {stream} cannot be read: {skip}"]
    return []


async def _interrupted(run: _Run) -> None:
    """Say so in the run's row; where it is the database that broke, the next run says it."""
    with suppress(DatabaseUnavailable):
        async with run.database.transaction() as connection:
            await finish_run(connection, run.run_id, "failed", run.counts, "It was interrupted.")


def fault(row: SourceRow, error: Exception) -> str:
    """Log what nobody foresaw while a source was read; the sentence that says so.

    The sentence does not repeat the error's own text, which may hold what nobody looked at yet.
    """
    _LOG.error("The source %s (%s) broke.", row.name, row.connector, exc_info=error)
    return f"The program itself is at fault ({type(error).__name__}). Its log tells where."


async def _read_stream(run: _Run, stream: str, *, full: bool) -> None:
    """Read one stream to its end, taking it up again after each failure that may pass."""
    async with run.database.transaction() as connection:
        taken = await take_checkpoint(connection, run.row.id, stream)
    cursor: Json = None if full else taken.cursor
    run.brings_news = taken.cursor is None  # until its pages tell
    attempt = 0
    while True:
        try:
            source_pages = run.source.pages(stream, cursor)
            async with aclosing(_prefetched(run, source_pages)) as pages:
                async for page, ahead in pages:
                    checkpoint = Checkpoint(stream, page.cursor, taken.epoch)
                    await _commit(run, page, checkpoint, ahead)
                    cursor, attempt = page.cursor, 0
        except SettingsChanged:
            attempt += 1
            if run.read_anew is None or attempt >= MAX_ATTEMPTS:
                raise
            run.workspace = await run.read_anew()
        except Retry as failure:
            attempt += 1
            seconds = _wait_seconds(failure, attempt, run.backoff_seconds)
            if attempt >= MAX_ATTEMPTS or seconds > MAX_RETRY_AFTER_SECONDS:
                raise
            run.tell(stream, f"{failure} Again in {_told_wait(seconds)}.")
            await asyncio.sleep(seconds)
        else:
            return


async def _prefetched(
    run: _Run, pages: AsyncIterator[Page]
) -> AsyncGenerator[tuple[Page, Ahead], None]:
    """The same pages, each fetched while the one before it is being applied; never more than one.

    What can be worked out of it is worked out too: all of it where pages bring news.

    A failure of the next page waits until the page before it has been applied.
    """
    ahead = asyncio.create_task(_next(run, pages))
    try:
        while (found := await ahead) is not None:
            ahead = asyncio.create_task(_next(run, pages))
            yield found
    finally:
        ahead.cancel()
        await asyncio.wait({ahead})
        if isinstance(pages, AsyncGenerator):
            await pages.aclose()


async def _next(run: _Run, pages: AsyncIterator[Page]) -> tuple[Page, Ahead] | None:
    page = await anext(pages, None)
    if page is None:
        return None
    if not run.brings_news:
        return page, await asyncio.to_thread(look_at, page.deliveries, run.workspace.region)
    whose = run.row.id, run.row.name, run.workspace.region
    return page, await asyncio.to_thread(work_ahead, page.deliveries, *whose)


async def _commit(run: _Run, page: Page, checkpoint: Checkpoint, ahead: Ahead) -> None:
    """Page, checkpoint and count in one transaction; a conflict with a writer is tried again."""
    batch = Batch(run.row.id, page.deliveries, checkpoint)
    applied = await _applied(run, batch, ahead)
    run.brings_news = 2 * (applied.new + applied.changed) > len(page.deliveries)
    run.records[checkpoint.stream] += len(page.deliveries)
    run.counts.update(_counts(applied))
    run.notes.update(applied.notes)
    run.tell(checkpoint.stream)
    refused, seen = run.counts["refused"], run.records.total()
    if not run.has_budget:
        return
    if refused > TOLERATED_REFUSALS and refused > seen * TOLERATED_REFUSED_SHARE:
        raise _TooManyRefused(
            f"{run.row.name}: {refused} of {seen} records could not be taken, so it was stopped."
            " See cdp deadletter list."
        )


async def _applied(run: _Run, batch: Batch, ahead: Ahead) -> Applied:
    for conflict in range(1, MAX_PAGE_CONFLICTS + 1):
        try:
            async with run.database.transaction() as connection:
                applied = await apply(connection, batch, run.workspace, ahead)
                counts = run.counts + Counter(_counts(applied))
                await record_progress(connection, run.run_id, counts)
                return applied
        except (DBAPIError, asyncpg.PostgresError) as error:
            if not _is_conflict(error) or conflict == MAX_PAGE_CONFLICTS:
                raise
            await asyncio.sleep(_jittered(run.backoff_seconds, conflict))
    raise AssertionError("the last conflict is raised")


def _is_conflict(error: DBAPIError | asyncpg.PostgresError) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) in CONFLICT_STATES


def _counts(applied: Applied) -> dict[str, int]:
    return {name: count for name, count in asdict(applied).items() if isinstance(count, int)}


def _wait_seconds(failure: Retry, attempt: int, backoff_seconds: float) -> float:
    """What the vendor asked for, never less than our own backoff; a wait of 0 asks for nothing."""
    asked = failure.after_seconds or 0.0
    return asked + _jittered(backoff_seconds, attempt)


def _told_wait(seconds: float) -> str:
    return "under a second" if seconds < 1 else f"{seconds:.0f} s"


def _jittered(backoff_seconds: float, attempt: int) -> float:
    """Exponential backoff with full jitter, so that many who failed together part."""
    ceiling: float = min(MAX_BACKOFF_SECONDS, backoff_seconds * 2**attempt)
    return random.uniform(0, ceiling)  # noqa: S311 (spreads load, guards nothing)
