"""`cdp demo`: the main job on a made-up business, from four emulated vendors to one answer."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from cdp import recommendations
from cdp.cli.demo_summary import summarise
from cdp.cli.listening import listen
from cdp.cli.session import Session, runs
from cdp.database import Database
from cdp.errors import BadInput, CdpError
from cdp.refresh import follow
from cdp.scoring.basis import read_basis
from cdp.sources import SourceRow, add_source, find_source, list_sources, remove_source
from cdp.workspace import Workspace
from connectors.base import Source
from connectors.registry import build
from connectors.runner import Progress, sync
from connectors.sandbox.business import desk
from connectors.sandbox.business.business import (
    ACCOUNTS,
    Business,
    open_business,
    write_files,
)
from connectors.sandbox.business.logins import is_emulated
from connectors.sandbox.server import serving

CUSTOMERS: Final = 4_000  # people: enough to look alive, few enough to wait for
MAX_CUSTOMERS: Final = 50_000  # as many as the fictional phone numbers last for
HOST: Final = "127.0.0.1"
PORT: Final = 8_000
FOLDER: Final = "demo"
"""Below the home: what the support desk drops off."""


@click.command("demo")
@click.option(
    "--customers",
    type=click.IntRange(1, MAX_CUSTOMERS),
    default=CUSTOMERS,
    show_default=True,
    help="How many people the business truly has.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed, other people.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=PORT, show_default=True, help="To serve on."
)
@click.option("--no-serve", is_flag=True, help="End after the summary.")
@runs
async def demo(session: Session, customers: int, seed: int, port: int, *, no_serve: bool) -> None:
    """Run the main job on a made-up business, tell how well it went, and serve the result."""
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        # Held from the start: a port in use is told before the work, not after it.
        listener = None if no_serve else stack.enter_context(listen(HOST, port))
        database = await stack.enter_async_context(session.database())
        folder = session.settings.home / FOLDER / f"{seed}-{customers}"
        await _require_same_business(database, folder)
        workspace = await session.workspace(database)
        session.console.print(f"A business of {customers:,} people, seed {seed}.")
        business = open_business(seed, customers, datetime.now(UTC))
        write_files(business, folder)
        rows = await _configure(database, await _start(stack, business), folder)
        await _read_all(session.console, database, rows, workspace)
        await follow(database, workspace)
        await _score_once(database, workspace)
        async with database.transaction() as connection:
            await recommendations.refresh(connection, workspace)
        summary = await summarise(database, business.truth, rows, started)
        session.show(summary.described(), summary.text())
        if listener is not None:
            # Imported here: without it the graph and its server are not needed.
            from cdp.cli.demo_server import serve_demo

            await serve_demo(session, database, listener)


async def _require_same_business(database: Database, folder: Path) -> None:
    """Two businesses in one database would be taken for one; a real source is left alone."""
    async with database.read_only() as connection:
        former = {row.name: row for row in await list_sources(connection)}
    for name, account in ACCOUNTS.items():
        row = former.get(name)
        if row is not None and not (row.connector == account.connector and is_emulated(row)):
            raise BadInput(
                f"This database has a source {name!r} that is not the demo's.",
                todo="Run the demo in a CDP_HOME or a database of its own.",
            )
    row = former.get(desk.SOURCE)
    if row is not None and Path(row.settings.get("path", "")).name != folder.name:
        raise BadInput(
            "This database holds the demo of another --seed or number of --customers.",
            todo="Run it with the same as before, or in another CDP_HOME or database.",
        )


async def _score_once(database: Database, workspace: Workspace) -> None:
    """The first time; afterwards whoever changes is scored again by the same model."""
    async with database.read_only() as connection:
        if await read_basis(connection) is not None:
            return
    # Imported here: a second demo does not wait for the libraries that it takes.
    from cdp.forecasting import score_everybody

    await score_everybody(database, workspace)
    await follow(database, workspace)


async def _start(stack: AsyncExitStack, business: Business) -> dict[str, str]:
    """Serve the vendors on loopback while the stack is open; their addresses by source."""
    return {
        name: await stack.enter_async_context(serving(vendor.app))
        for name, vendor in business.vendors.items()
    }


async def _configure(
    database: Database, addresses: Mapping[str, str], folder: Path
) -> list[SourceRow]:
    """Configure the sources, or point those of an earlier demo at the vendors of this one."""
    wanted = [
        (name, account.connector, {**account.settings, "url": addresses[name]})
        for name, account in ACCOUNTS.items()
    ]
    wanted.append((desk.SOURCE, "file", {"path": str(folder)}))
    rows: list[SourceRow] = []
    async with database.transaction() as connection:
        for name, connector, settings in wanted:
            if await find_source(connection, name) is not None:
                await remove_source(connection, name)
            rows.append(await add_source(connection, name, connector, settings))
    return rows


async def _read_all(
    console: Console, database: Database, rows: list[SourceRow], workspace: Workspace
) -> None:
    """Sync every source through the code that production runs. Raises CdpError if one fails."""
    with _progress(console, rows) as watch:
        for row in rows:
            await _read(database, row, build(row), workspace, watch)


async def _read(
    database: Database,
    row: SourceRow,
    source: Source,
    workspace: Workspace,
    watch: Callable[[Progress], None],
) -> None:
    try:
        report = await sync(database, row, source, workspace, on_progress=watch)
    finally:
        await source.close()
    watch(Progress(row.name, "", sum(report.records.values()), report.counts.get("refused", 0)))
    if report.error is not None:
        raise CdpError("DEMO_FAILED", report.error, todo="Run cdp demo again: it goes on there.")


@contextmanager
def _progress(console: Console, rows: list[SourceRow]) -> Iterator[Callable[[Progress], None]]:
    """A bar per source on a terminal, else a line when a source is done; stream "" is its end."""
    if not console.is_terminal:
        yield partial(_tell, console)
        return
    with Bars(
        TextColumn("{task.description:<14}"),
        BarColumn(),
        TextColumn("{task.completed:>9,.0f} records  {task.fields[stream]}"),
        TimeElapsedColumn(),
        console=console,
    ) as bars:
        tasks = {
            row.name: bars.add_task(row.name, start=False, total=None, stream="") for row in rows
        }
        yield partial(_move, bars, tasks)


def _move(bars: Bars, tasks: Mapping[str, TaskID], step: Progress) -> None:
    task = tasks[step.source]
    bars.start_task(task)
    total = step.records if not step.stream else None
    bars.update(task, completed=step.records, total=total, stream=step.waiting or step.stream)
    if not step.stream:
        bars.stop_task(task)


def _tell(console: Console, step: Progress) -> None:
    if step.waiting:
        console.print(f"{step.source}: {step.waiting}", soft_wrap=True, markup=False)
    elif not step.stream:
        console.print(f"{step.source}: {step.records:,} records read", markup=False)
