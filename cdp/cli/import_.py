"""`cdp import`: load a file, or a folder of files, into the platform."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import func, select

from cdp.cli.session import Session, runs
from cdp.database import Database
from cdp.deadletters import DeadLetter, list_letters
from cdp.errors import BadInput
from cdp.refresh import follow
from cdp.sources import SourceRow, add_source, find_source
from connectors.generic.file import IMPORTED, FileSource
from connectors.generic.map_file import read_map
from connectors.runner import Progress as Step
from connectors.runner import RunReport, sync

SHOWN_REFUSALS: Final = 5  # the rest is for cdp deadletter list
COUNTS: Final = {
    "new": "new",
    "changed": "changed",
    "unchanged": "unchanged",
    "stale": "older",
    "deleted": "deleted",
    "refused": "refused",
}
"""What became of the records, by the name that it has in a run's counts, and as it is told."""

PLAIN_LINE_EVERY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class _Options:
    path: Path
    source: str
    stream: str | None
    map_path: Path | None


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--source", required=True, metavar="NAME", help="Whose records these are.")
@click.option(
    "--stream",
    metavar="STREAM",
    help="The canonical stream of the rows; not needed where --map or the file's name tells it.",
)
@click.option(
    "--map",
    "map_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A TOML file that says how a foreign file's columns become canonical.",
)
@runs
async def import_file(
    session: Session, path: Path, source: str, stream: str | None, map_path: Path | None
) -> None:
    """Load PATH: CSV, JSON lines or Parquet, gzip or not, or a folder of them.

    Rows that cannot be taken go to the dead letters, the others are loaded, and the command ends
    well; it fails where the file cannot be read to its end, or where no row could be taken.
    """
    options = _Options(path, source, stream, map_path)
    files = await _open(options)
    async with session.database() as database:
        row = await _source_row(database, options)
        async with database.transaction() as connection:
            started_at: datetime = (
                await connection.execute(select(func.clock_timestamp()))
            ).scalar_one()
        with _progress(session, files) as watch:
            read = partial(session.workspace, database)
            report = await sync(
                database, row, files, await read(), on_progress=watch, read_anew=read
            )
        await follow(database, await session.workspace(database))
        async with database.read_only() as connection:
            refusals = await list_letters(
                connection, source_name=source, since=started_at, limit=SHOWN_REFUSALS
            )
    _tell(session, report, files, refusals)


async def _open(options: _Options) -> FileSource:
    """The files, looked at before anything is written. Raises BadInput or Abort."""
    if options.stream is not None and options.map_path is not None:
        raise BadInput("A map names its streams itself.", todo="Leave out --stream or --map.")
    file_map = read_map(options.map_path) if options.map_path else None
    files = FileSource(options.path, stream=options.stream, file_map=file_map, reads_again=True)
    await files.check()
    return files


async def _source_row(database: Database, options: _Options) -> SourceRow:
    async with database.transaction() as connection:
        row = await find_source(connection, options.source)
        if row is None:
            return await add_source(connection, options.source, "file", _settings(options))
    if row.connector != "file":
        raise BadInput(
            f"The source {row.name} is read by the connector {row.connector}, not from files.",
            todo="Import under a name of its own.",
        )
    return row


def _settings(options: _Options) -> Mapping[str, str]:
    given = {
        "path": str(options.path.absolute()),
        "stream": options.stream,
        "map": str(options.map_path.absolute()) if options.map_path else None,
        IMPORTED: "yes",
    }
    return {name: value for name, value in given.items() if value is not None}


@contextmanager
def _progress(session: Session, files: FileSource) -> Iterator[Callable[[Step], None]]:
    """A bar of bytes on a terminal, else a line now and then; nothing with --json."""
    if session.is_json:
        yield lambda step: None
        return
    console = session.console
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
            task = bar.add_task("importing", total=files.total_bytes)
            yield lambda step: bar.update(
                task,
                completed=files.bytes_read,
                description=f"{step.waiting or step.stream} · {step.records:,} records",
            )
        return
    told_at = time.monotonic()

    def tell(step: Step) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= PLAIN_LINE_EVERY_SECONDS:
            told_at = time.monotonic()
            share = 100 * files.bytes_read / max(files.total_bytes, 1)
            console.print(f"{step.stream}: {step.records:,} records, {share:.0f} %")

    yield tell


def _tell(
    session: Session, report: RunReport, files: FileSource, refusals: Sequence[DeadLetter]
) -> None:
    records = sum(report.records.values())
    counts = {name: report.counts.get(name, 0) for name in COUNTS}
    error = report.error
    if error is None and records and counts["refused"] == records:
        error = (
            f"None of the {records} records could be taken."
            " Check --stream or --map; cdp deadletter list tells the reasons."
        )
    result = {
        "source": report.source,
        "status": report.status,
        "rows": files.tally.rows,
        "untaken": files.tally.untaken,
        "records": records,
        **{COUNTS[name]: count for name, count in counts.items()},
        "notes": {**report.notes, **files.notes},
        "seconds": round(report.seconds, 3),
        "records_per_second": round(records / max(report.seconds, 0.001)),
        "error": error,
    }
    session.show(result, "\n".join(_lines(report, files, counts, refusals)))
    if error is not None:
        raise click.ClickException(error)  # what --json prints has said it already


def _lines(
    report: RunReport,
    files: FileSource,
    counts: Mapping[str, int],
    refusals: Sequence[DeadLetter],
) -> Iterator[str]:
    records, notes = sum(report.records.values()), {**report.notes, **files.notes}
    speed = records / max(report.seconds, 0.001)
    yield (
        f"{report.source}: {files.tally.rows:,} rows read, {records:,} records in"
        f" {report.seconds:.1f} s ({speed:,.0f}/s)"
    )
    told = ", ".join(f"{COUNTS[name]} {count:,}" for name, count in counts.items())
    is_untouched = records == counts["unchanged"]
    yield f"  {told}{'; nothing written' if is_untouched else ''}"
    if files.tally.untaken:
        yield f"  {files.tally.untaken:,} rows gave no record: no condition of the map held"
    yield from (f"  {note}: {count:,}" for note, count in notes.items())
    for letter in refusals:
        column = f", column {letter.path}" if letter.path else ""
        yield f"  refused: {letter.place}{column}: {letter.reason}"
    if counts["refused"] > len(refusals):
        yield f"  all of them: cdp deadletter list --source {report.source}"
