"""`cdp sync`: pull from the sources, once or again and again."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Final

import click
from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TaskID, TextColumn

from cdp.cli.session import Session, runs
from cdp.database import Database
from cdp.errors import CdpError
from cdp.refresh import follow
from cdp.sources import SourceRow, get_source, list_sources
from cdp.workspace import Workspace
from connectors.generic.file import is_imported
from connectors.opened import OpenSources
from connectors.runner import Progress, RunReport, fault, refuse, sync
from connectors.sandbox.business.logins import is_emulated

WATCH_SECONDS: Final = 60  # between two rounds of --watch: what changed is known in a minute
FAILED_SECONDS: Final = 600
"""Before a watch asks a source again of which nothing could be read: a wrong password and a login a
minute would use up the 300 logins that Bluesky allows in a day, for the account's owner too."""

Watch = Callable[[Progress], None]


@click.command("sync")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--full", is_flag=True, help="Read everything again, from the start.")
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
@runs
async def sync_command(
    session: Session, names: tuple[str, ...], *, full: bool, watch: bool
) -> None:
    """Pull from the sources named, or from all; each run ends ok, partial or failed.

    What cdp import has loaded is read again only where it is named, and so are the emulated vendors
    of cdp demo.
    """
    async with (
        session.database() as database,
        aclosing(rounds(session, database, names, full=full)) as read,
    ):
        if not names:
            await _tell_passed_over(session, database)
        async for reports in read:
            for report in reports:
                session.show(_described(report), _line(report))
            if not watch:
                break
            await asyncio.sleep(WATCH_SECONDS)
    if not reports:
        session.show({"runs": 0}, "No sources to read. Add one with cdp source add.")
    if any(report.status == "failed" for report in reports):
        raise click.exceptions.Exit(1)


async def rounds(
    session: Session, database: Database, names: tuple[str, ...], *, full: bool
) -> AsyncGenerator[list[RunReport], None]:
    """Read the sources again and again: how each run of a round ended; `full` is of the first.

    Sources stay open from round to round; one of which nothing could be read rests for some.
    """
    rests_until: dict[str, float] = {}
    read = partial(session.workspace, database)
    async with aclosing(OpenSources()) as sources:
        while True:
            now = time.monotonic()
            rows = [
                row for row in await _rows(database, names) if rests_until.get(row.name, now) <= now
            ]
            with _progress(session.console) as on_progress:
                reports = [
                    await _read(database, sources, row, read, on_progress, full=full)
                    for row in rows
                ]
            await follow(database, await read())
            unread = [
                report.source
                for report in reports
                if report.status == "failed" and not report.records
            ]
            rests_until |= dict.fromkeys(unread, time.monotonic() + FAILED_SECONDS)
            yield reports
            full = False


async def _rows(database: Database, names: tuple[str, ...]) -> list[SourceRow]:
    async with database.read_only() as connection:
        if not names:
            return [row for row in await list_sources(connection) if _is_read_unasked(row)]
        return [await get_source(connection, name) for name in names]


def _is_read_unasked(row: SourceRow) -> bool:
    return not is_imported(row) and not is_emulated(row)


async def _tell_passed_over(session: Session, database: Database) -> None:
    """Say which sources are not read unless they are named, for nobody answers for them."""
    async with database.read_only() as connection:
        names = [row.name for row in await list_sources(connection) if is_emulated(row)]
    if names:
        session.console.print(
            f"Passed over, for their vendors were emulators of cdp demo: {', '.join(names)}.",
            soft_wrap=True,
            markup=False,
        )


async def _read(
    database: Database,
    sources: OpenSources,
    row: SourceRow,
    read: Callable[[], Awaitable[Workspace]],
    on_progress: Watch,
    *,
    full: bool,
) -> RunReport:
    """One run. A source that cannot even be built is a failed run, and the others go on."""
    try:
        source = await sources.open(row)
    except CdpError as error:
        return await refuse(database, row, str(error))
    except Exception as error:  # noqa: BLE001 (logged with its traceback, and told as the run's end)
        return await refuse(database, row, fault(row, error))
    return await sync(
        database,
        row,
        source,
        await read(),
        full=full,
        has_budget=row.connector != "file",  # a file's bad rows never hold up the others
        on_progress=on_progress,
        read_anew=read,
    )


@contextmanager
def _progress(console: Console) -> Iterator[Watch]:
    """A moving line per source on a terminal, else one plain line per stream and per wait."""
    if not console.is_terminal:
        yield _Plain(console)
        return
    with Bars(
        SpinnerColumn(),
        TextColumn("{task.fields[source]}  {task.fields[stream]}"),
        TextColumn("{task.completed:,.0f} records  {task.fields[waiting]}"),
        console=console,
    ) as bars:
        yield _Moving(bars)


class _Moving:
    """One line per source, kept up to date."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: Progress) -> None:
        if step.source not in self._tasks:
            self._tasks[step.source] = self._bars.add_task(
                "", total=None, source=step.source, stream="", waiting=""
            )
        self._bars.update(
            self._tasks[step.source],
            completed=step.records,
            stream=step.stream,
            waiting=step.waiting,
        )


class _Plain:
    """A line when a stream begins, and one for each wait."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._at = ("", "")

    def __call__(self, step: Progress) -> None:
        at = (step.source, step.stream)
        if at != self._at or step.waiting:
            line = f"{step.source} {step.stream}: {step.records} records {step.waiting}".rstrip()
            self._console.print(line, soft_wrap=True, markup=False)
        self._at = at


def _described(report: RunReport) -> dict[str, object]:
    return {
        "source": report.source,
        "status": report.status,
        "records": dict(report.records),
        "counts": dict(report.counts),
        "notes": dict(report.notes),
        "seconds": round(report.seconds, 3),
        "error": report.error,
    }


def _line(report: RunReport) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in report.counts.items() if count)
    read = f"{sum(report.records.values())} records in {report.seconds:.1f} s"
    line = f"{report.source}: {report.status}, {read}" + (f" ({counts})" if counts else "")
    notes = [f"  {note}: {count}" for note, count in report.notes.items()]
    error = [f"  {report.error}"] if report.error else []
    return "\n".join([line, *notes, *error])
