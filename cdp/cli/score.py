"""`cdp score`: cut points, forecasts and their report; what everybody is expected to be worth."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TextIO
from zoneinfo import ZoneInfo

import click

from cdp import recommendations
from cdp.cli.session import Session, runs
from cdp.errors import BadInput
from cdp.operands import end_of
from cdp.refresh import follow, refresh_due
from cdp.workspace import check_value


@click.command("score")
@click.option(
    "--as-of",
    metavar="T",
    help="Score as of that day or moment (ISO 8601): its scores take the place of those in force"
    " until the next `cdp score`. Else as of now.",
)
@click.option(
    "--horizon-days", metavar="N", help="How far ahead; the workspace's horizon_days unless given."
)
@click.option(
    "--html",
    type=click.File("w", encoding="utf-8", lazy=True),
    help="Also write the report as one HTML file, with plots.",
)
@runs
async def score(
    session: Session, as_of: str | None, horizon_days: str | None, html: TextIO | None
) -> None:
    """Find RFM cut points; choose, fit and judge the models of value; score everybody.

    The model is the one that did best in rolling backtests. Prints how far to trust it, and why.
    What customers buy together is counted anew as well.
    """
    # Imported here: no other command waits for the libraries that it takes.
    from cdp.cli.score_text import report_text
    from cdp.forecasting import score_everybody

    async with session.database() as database:
        workspace = await session.workspace(database)
        if horizon_days is not None:
            days = int(check_value("horizon_days", horizon_days))
            workspace = replace(workspace, horizon_days=days)
        moment = None if as_of is None else read_moment(as_of, workspace.timezone)
        await refresh_due(database, workspace)  # segments wait: they would be evaluated twice
        scored = await score_everybody(database, workspace, as_of=moment)
        async with database.transaction() as connection:
            await recommendations.refresh(connection, workspace)
        await follow(database, workspace)
    if html is not None:
        from cdp.cli.score_html import report_html

        html.write(report_html(scored, workspace))
    session.show(scored, report_text(scored, workspace))


def read_moment(text: str, timezone: str) -> datetime:
    """A moment that has been; a day alone is its end, in the workspace's time zone.

    Raises BadInput. Today's end is yet to come, and taken all the same.
    """
    try:
        if len(text) == len("2026-01-31"):
            moment = end_of(date.fromisoformat(text), timezone)
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"{text!r} is not a moment.", todo="Write 2026-01-31.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(timezone))
    if moment.astimezone(ZoneInfo(timezone)).date() > datetime.now(ZoneInfo(timezone)).date():
        raise BadInput(f"{text} is yet to come.", todo="Without --as-of it is as of now.")
    return moment.astimezone(UTC)
