"""`cdp export`: the customers, those of a segment, or who is who, as a file."""

from datetime import UTC, datetime
from pathlib import Path

import click

from cdp.cli.session import Session, runs
from cdp.errors import BadInput
from cdp.export import SEGMENT, plan_export, write_export
from cdp.segments.segment import get_segment
from cdp.writers import FORMATS, open_output


@click.command("export")
@click.argument("what")
@click.option("--format", "form", type=click.Choice(FORMATS), default="csv", show_default=True)
@click.option(
    "--output",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write (default: standard output; Parquet needs a file).",
)
@click.option("--filter", "filter_text", metavar="JSON", help="Which customers: a CustomerFilter.")
@runs
async def export(
    session: Session, what: str, form: str, path: Path | None, filter_text: str | None
) -> None:
    """Write WHAT: identity (a row per source profile), or customers (a row each, all traits).

    Or segment:SLUG: its members, as customers.
    """
    if session.is_json and path is None:
        raise BadInput("Standard output takes the rows.", todo="Give --output PATH with --json.")
    async with session.database() as database:
        workspace = await session.workspace(database)
        if what.startswith(SEGMENT):
            async with database.read_only() as connection:
                await get_segment(connection, what.removeprefix(SEGMENT))
        plan = plan_export(
            what, as_of=datetime.now(UTC), workspace=workspace, filter_text=filter_text
        )
        with open_output(path, form, plan.columns, plan.about) as writer:
            async with database.read_only() as connection:
                count = await write_export(connection, plan, writer)
    if path is None:
        session.console.print(f"{count:,} rows.")
    else:
        session.show({"rows": count, "path": str(path)}, f"{count:,} rows in {path}.")
