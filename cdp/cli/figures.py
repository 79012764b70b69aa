"""`cdp retention` and `cdp business`: how the whole business does, as of a moment."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import click

from cdp.business.moment import Moment, moment_of
from cdp.business.report import (
    GROUPS,
    Figures,
    read_audiences,
    read_campaigns,
    read_figures,
)
from cdp.business.retention import Cell, RetentionGrid, RetentionPeriod, read_retention
from cdp.cli.score import read_moment
from cdp.cli.session import Session, runs
from cdp.filters import parse_filter, predicate
from cdp.query import present
from cdp.workspace import Workspace

SHOWN_CAMPAIGNS = 10  # the latest
SHOWN_AUDIENCES = 10  # the latest
EFFECT_DAYS = 30  # in which an order counts as an answer to what was written
SHOWN_PERIODS = 13  # columns of a grid on a terminal; --json prints all of them

AS_OF = click.option(
    "--as-of",
    metavar="T",
    help="Nothing that happened after that day or moment (ISO 8601) counts; now unless given.",
)


def moment_given(as_of: str | None, workspace: Workspace) -> Moment:
    """The moment that `--as-of` names, now where it is not given."""
    now = datetime.now(UTC)
    at = now if as_of is None else read_moment(as_of, workspace.timezone)
    return moment_of(at, now, workspace)


@click.command("retention")
@click.option(
    "--period",
    type=click.Choice([each.name.lower() for each in RetentionPeriod]),
    default="month",
    show_default=True,
)
@click.option("--filter", "filter_text", metavar="JSON", help="Which customers: a CustomerFilter.")
@AS_OF
@runs
async def retention(
    session: Session, period: str, filter_text: str | None, as_of: str | None
) -> None:
    """Show who came back: cohorts by the period of the first order, shares by the period since."""
    async with session.database() as database:
        workspace = await session.workspace(database)
        condition = predicate(
            parse_filter(filter_text),
            present(datetime.now(UTC), workspace),
            workspace=workspace,
            may_see_personal=True,
        )
        async with database.read_only() as connection:
            grid = await read_retention(
                connection,
                RetentionPeriod[period.upper()],
                moment_given(as_of, workspace),
                condition,
            )
    session.show(grid, "\n".join(_grid_lines(grid)))


def _grid_lines(grid: RetentionGrid) -> Iterator[str]:
    """A line per cohort: its size, and the share that bought in each period since."""
    shown = range(min(len(grid.cohorts), SHOWN_PERIODS))
    yield f"{'first order':<12}{'customers':>10}" + "".join(f"{index:>7}" for index in shown)
    for cohort in grid.cohorts:
        shares = "".join(f"{_share(cell):>7}" for cell in cohort.cells[:SHOWN_PERIODS])
        yield f"{cohort.starts_on!s:<12}{cohort.size:>10,}{shares}".rstrip()
    if grid.cohorts:
        yield "+ the period is not over yet"
    if grid.earlier_customers:
        yield f"{grid.earlier_customers:,} customers bought before the first cohort shown."


def _share(cell: Cell) -> str:
    if cell.rate is None:
        return ""
    return f"{cell.rate:.0%}" if cell.is_complete else f"{cell.rate:.0%}+"


@click.command("business")
@AS_OF
@runs
async def business(session: Session, as_of: str | None) -> None:
    """Tell how the whole business does: rates, money, satisfaction, loyalty, campaigns."""
    async with session.database() as database:
        workspace = await session.workspace(database)
        moment = moment_given(as_of, workspace)
        async with database.read_only() as connection:
            told = {group: await read_figures(connection, group, moment) for group in GROUPS}
            campaigns = await read_campaigns(connection, moment, SHOWN_CAMPAIGNS)
            audiences = await read_audiences(connection, moment, SHOWN_AUDIENCES, EFFECT_DAYS)
    shown = {
        "currency": workspace.currency, **told, "campaigns": campaigns, "audiences": audiences,
    }  # fmt: skip
    lines = [*_business_lines(told, campaigns, workspace.currency), *_audience_lines(audiences)]
    session.show(shown, "\n".join(lines))


def _audience_lines(audiences: list[Figures]) -> Iterator[str]:
    """Who bought within EFFECT_DAYS, of those written to and of those held out."""
    if audiences:
        yield f"{'audience, ' + str(EFFECT_DAYS) + ' days':<35}{'written':>9}{'held':>8}{'lift':>8}"
    for one in audiences:
        name = f"{one['slug']} by {one['channel']}"[:34]
        shares = (one["written_rate"], one["held_rate"], one["lift"])
        written, held, lift = ("-" if share is None else f"{share:.1%}" for share in shares)
        yield f"{name:<35}{written:>9}{held:>8}{lift:>8}"


_ENDS_OF_RATES: Final = frozenset({("csat", "low"), ("csat", "high")})
"""Ends of the interval of a rate; those of NPS are points, as its score is."""


def _business_lines(
    told: dict[str, Figures], campaigns: list[Figures], currency: str
) -> Iterator[str]:
    """A block per group, a line per figure; then the campaigns as a table."""
    for group, figures in told.items():
        yield group.replace("_", " ")
        for name, value in figures.items():
            of = "rate" if (group, name) in _ENDS_OF_RATES else name
            yield f"  {name.replace('_', ' '):<24}{_shown(of, value, currency):>16}"
    if campaigns:
        yield f"{'campaign':<26}{'reached':>9}{'orders':>8}{'revenue':>14}{'roi':>8}"
    for one in campaigns:
        roi = "" if one["roi"] is None else f"{one['roi']:.0%}"
        name = str(one["name"] or one["key"])[:25]
        yield (f"{name:<26}{one['customers']:>9,}{one['orders']:>8,}{one['revenue']:>14,f}{roi:>8}")


def _shown(name: str, value: object, currency: str) -> str:
    """A figure for people: a share in per cent, money in the workspace's currency."""
    match value:
        case None:
            return "-"
        case str():
            return value
        case float() if name.endswith(("rate", "share")):
            return f"{value:.1%}"
        case float():
            return f"{value:,.2f}"
        case Decimal():
            return f"{value:,f} {currency}"
        case _:
            return f"{value:,}"
