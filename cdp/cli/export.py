"""`cdp export`: customers, those of a segment or an audience, who is who, or the mart, as files."""

from datetime import UTC, datetime
from pathlib import Path

import click

from cdp.audiences.people import read_aim
from cdp.cli.export_audience import export_audience
from cdp.cli.export_mart import export_mart
from cdp.cli.session import Session, runs
from cdp.errors import BadInput
from cdp.export import AUDIENCE, MART, SEGMENT, plan_export, write_export
from cdp.segments.segment import get_segment
from cdp.writers import FORMATS, open_output


@click.command("export")
@click.argument("what")
@click.option("--format", "form", type=click.Choice(FORMATS), help="csv unless told.")
@click.option(
    "--output",
    "path",
    type=click.Path(path_type=Path),
    help="File to write (default: standard output; Parquet needs a file); mart: the folder.",
)
@click.option("--filter", "filter_text", metavar="JSON", help="Which customers: a CustomerFilter.")
@click.option("--channel", help="Of an audience: where it is written to, such as email.")
@click.option("--purpose", help="Of an audience: what it has consented to, such as marketing.")
@click.option(
    "--holdout",
    metavar="PERCENT",
    type=click.FloatRange(0, 100, max_open=True),
    help="Of an audience: how many of those who are new to it are held out, to compare with.",
)
@runs
async def export(
    session: Session,
    what: str,
    form: str | None,
    path: Path | None,
    filter_text: str | None,
    channel: str | None,
    purpose: str | None,
    holdout: float | None,
) -> None:
    """Write WHAT: identity (a row per source profile), or customers (a row each, all traits).

    segment:SLUG: its members, as customers. audience:SLUG: those of them who consent to be written
    to, and where. mart: every table that cdp publish made, as Parquet.
    """
    if session.is_json and path is None:
        raise BadInput("Standard output takes the rows.", todo="Give --output PATH with --json.")
    if what.startswith(AUDIENCE):
        if filter_text is not None:
            raise BadInput("An audience takes no filter.", todo="Make a segment of it.")
        aim = read_aim(what.removeprefix(AUDIENCE), channel, purpose)
        await export_audience(session, aim, holdout, form or "csv", path)
        return
    if (channel, purpose, holdout) != (None, None, None):
        raise BadInput(
            "Channel, purpose and holdout are an audience's.", todo=f"Export {AUDIENCE}SLUG."
        )
    if what == MART and path is not None and filter_text is None:
        await export_mart(session, form, path)
    else:
        await _export_rows(session, what, filter_text, form or "csv", path)


async def _export_rows(
    session: Session, what: str, filter_text: str | None, form: str, path: Path | None
) -> None:
    """Write everything that is one query."""
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
