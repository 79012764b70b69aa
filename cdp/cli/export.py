"""`cdp export`: customers, those of a segment, who is who, or the mart, as files."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from cdp.cli.session import Session, runs
from cdp.database import Database
from cdp.errors import BadInput
from cdp.export import MART, SEGMENT, plan_export, plan_mart, write_export
from cdp.segments.segment import get_segment
from cdp.workspace import Workspace
from cdp.writers import FORMATS, open_output

PARQUET: Final = "parquet"


@click.command("export")
@click.argument("what")
@click.option(
    "--format", "form", type=click.Choice(FORMATS), help="csv unless told; mart: parquet."
)
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path),
    help="File to write (default: standard output; Parquet needs a file); mart: the folder.",
)
@click.option("--filter", "filter_text", metavar="JSON", help="Which customers: a CustomerFilter.")
@runs
async def export(
    session: Session, what: str, form: str | None, path: Path | None, filter_text: str | None
) -> None:
    """Write WHAT: identity (a row per source profile), or customers (a row each, all traits).

    Or segment:SLUG: its members, as customers. Or mart: every table that cdp publish made.
    """
    if session.is_json and path is None:
        raise BadInput("Standard output takes the rows.", todo="Give --output PATH with --json.")
    async with session.database() as database:
        workspace = await session.workspace(database)
        if what == MART and path is not None and filter_text is None:
            _show_mart(session, await _export_mart(database, workspace, form, path), path)
            return
        if what.startswith(SEGMENT):
            async with database.read_only() as connection:
                await get_segment(connection, what.removeprefix(SEGMENT))
        plan = plan_export(
            what, as_of=datetime.now(UTC), workspace=workspace, filter_text=filter_text
        )
        with open_output(path, form or "csv", plan.columns, plan.about) as writer:
            async with database.read_only() as connection:
                count = await write_export(connection, plan, writer)
    if path is None:
        session.console.print(f"{count:,} rows.")
    else:
        session.show({"rows": count, "path": str(path)}, f"{count:,} rows in {path}.")


async def _export_mart(
    database: Database, workspace: Workspace, form: str | None, folder: Path
) -> Mapping[str, int]:
    """Write a file per table into a folder; returns the rows of each by the file's name."""
    if form not in (None, PARQUET):
        raise BadInput("The mart is exported as Parquet.", todo="Leave --format out.")
    rows = {}
    async with database.read_only() as connection:
        plans = await plan_mart(connection, datetime.now(UTC), workspace)
        _make(folder)
        for name, plan in plans.items():
            file = f"{name}.{PARQUET}"
            with open_output(folder / file, PARQUET, plan.columns, plan.about) as writer:
                rows[file] = await write_export(connection, plan, writer)
    return rows


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder} cannot be made: {error.strerror}.") from None


def _show_mart(session: Session, rows: Mapping[str, int], folder: Path) -> None:
    lines = [f"{count:,} rows in {folder / file}." for file, count in rows.items()]
    session.show({"files": rows, "path": str(folder)}, "\n".join(lines))
